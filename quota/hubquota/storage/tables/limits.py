"""Limits other than the tier's: overrides, members' caps and what they have spent, and what clusters are told."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Table, Text, UniqueConstraint

from hubquota.storage.tables.base import Number, metadata, partial_index

# Append-only, as the journal: an override is given, and perhaps withdrawn by a second line.
override = Table(
    "override",
    metadata,
    Column("id", Number, primary_key=True),
    Column("account_id", Number, ForeignKey("account.id"), nullable=False),
    # Whom it is for; empty for everybody who draws on the account.
    Column("person", Text),
    # The limits as JSON, and until when they hold; empty in a line that withdraws another.
    Column("limits", Text),
    Column("until_at", BigInteger),
    Column("withdraws_id", Number, ForeignKey("override.id")),
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("idempotency_key", Text, nullable=False),
    UniqueConstraint("idempotency_key"),
    CheckConstraint(
        "(withdraws_id IS NULL) = (limits IS NOT NULL) AND (limits IS NULL) = (until_at IS NULL)", name="kind"
    ),
)
# An admission reads those that are not over only, however many there were before.
Index("override_account", override.c.account_id, override.c.until_at)
partial_index(
    "override_withdraws", override.c.withdraws_id, where=override.c.withdraws_id.is_not(None), unique=True
)

# Append-only: of a member's caps on a project, the last one counts.
cap = Table(
    "cap",
    metadata,
    Column("id", Number, primary_key=True),
    Column("account_id", Number, ForeignKey("account.id"), nullable=False),
    Column("member", Text, nullable=False),
    Column("credits", BigInteger),
    Column("workers", BigInteger),
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    CheckConstraint("(credits IS NULL OR credits >= 0) AND (workers IS NULL OR workers >= 0)", name="limits"),
)
Index("cap_member", cap.c.account_id, cap.c.member, cap.c.id)

# What each person was charged on each allocation of a project: kept beside the journal in the transaction
# that adds the line, so that a cap is decided without reading the journal.
spending = Table(
    "spending",
    metadata,
    Column("allocation_id", Number, ForeignKey("allocation.id"), primary_key=True, autoincrement=False),
    Column("person", Text, primary_key=True),
    Column("charged", BigInteger, nullable=False),
)

# Append-only: of what administrators say of a cluster that runs, the last one counts.
instruction = Table(
    "instruction",
    metadata,
    Column("id", Number, primary_key=True),
    Column("lease_id", Number, ForeignKey("lease.id"), nullable=False),
    # How many workers it may have at most; empty for that it has to stop.
    Column("most", BigInteger),
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    CheckConstraint("most IS NULL OR most >= 0", name="most"),
)
Index("instruction_lease", instruction.c.lease_id, instruction.c.id)
