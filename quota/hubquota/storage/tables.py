"""The ledger's tables. Amounts are whole units; times are whole seconds since 1970 in UTC."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    and_,
)

#: Where the migrations note how far they have come.
VERSION_TABLE = "hubquota_version"

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)

#: SQLite numbers rows by itself only in a column that is exactly INTEGER.
_Id = BigInteger().with_variant(Integer, "sqlite")

account = Table(
    "account",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("tier", Text, nullable=False),
    Column("balance", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("name"),
)

membership = Table(
    "membership",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("account_id", _Id, ForeignKey("account.id"), nullable=False),
    Column("member", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("since_at", BigInteger, nullable=False),
    Column("until_at", BigInteger),
    Column("actor", Text, nullable=False),
    CheckConstraint("role IN ('member', 'pi')", name="role"),
)
# A person has one role in a project at a time; what they had before stays as history.
Index(
    "membership_current",
    membership.c.account_id,
    membership.c.member,
    unique=True,
    sqlite_where=membership.c.until_at.is_(None),
    postgresql_where=membership.c.until_at.is_(None),
)
Index("membership_member", membership.c.member)

allocation = Table(
    "allocation",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("account_id", _Id, ForeignKey("account.id"), nullable=False),
    Column("tier", Text, nullable=False),
    Column("renewable", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("granted_by", Text, nullable=False),
    Column("granted_at", BigInteger, nullable=False),
    Column("start_at", BigInteger, nullable=False),
    # From here on, what the journal says, kept beside it so that a decision need not read the journal.
    Column("balance", BigInteger, nullable=False),
    Column("end_at", BigInteger),
    Column("suspended_at", BigInteger),
    Column("revoked_at", BigInteger),
    Column("lapsed_at", BigInteger),
)
# An admission reads the allocations whose books are open only, however many there were before.
Index(
    "allocation_open_account",
    allocation.c.account_id,
    sqlite_where=allocation.c.lapsed_at.is_(None),
    postgresql_where=allocation.c.lapsed_at.is_(None),
)
Index(
    "allocation_open_end",
    allocation.c.end_at,
    sqlite_where=allocation.c.lapsed_at.is_(None),
    postgresql_where=allocation.c.lapsed_at.is_(None),
)
Index("allocation_account", allocation.c.account_id, allocation.c.id)

lease = Table(
    "lease",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("account_id", _Id, ForeignKey("account.id"), nullable=False),
    Column("person", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("rate", BigInteger, nullable=False),
    Column("admitted_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("seen_at", BigInteger),
    # Up to when it is charged; from its begin on.
    Column("settled_at", BigInteger),
    Column("ended_at", BigInteger),
    Column("charged", BigInteger, nullable=False),
    Column("reason", Text),
    CheckConstraint("rate >= 0 AND charged >= 0", name="amounts"),
    CheckConstraint("ended_at IS NULL OR started_at IS NULL OR ended_at >= started_at", name="order"),
    CheckConstraint("(started_at IS NULL) = (settled_at IS NULL)", name="settled"),
    CheckConstraint("started_at IS NOT NULL OR charged = 0", name="charged_if_begun"),
)
# One open lease a key, whoever asks and however many ask at once.
Index(
    "lease_open_key",
    lease.c.key,
    unique=True,
    sqlite_where=lease.c.ended_at.is_(None),
    postgresql_where=lease.c.ended_at.is_(None),
)
# An admission reads the account's open leases only: its cost does not grow with the account's history.
Index(
    "lease_open_account",
    lease.c.account_id,
    sqlite_where=lease.c.ended_at.is_(None),
    postgresql_where=lease.c.ended_at.is_(None),
)
Index("lease_account", lease.c.account_id, lease.c.id)
# Whoever looks at all that is open reads nothing of what has ended.
Index(
    "lease_open",
    lease.c.id,
    sqlite_where=lease.c.ended_at.is_(None),
    postgresql_where=lease.c.ended_at.is_(None),
)

# The sweep looks for starts that nobody ever heard of again.
Index(
    "lease_waiting",
    lease.c.admitted_at,
    sqlite_where=and_(lease.c.ended_at.is_(None), lease.c.started_at.is_(None)),
    postgresql_where=and_(lease.c.ended_at.is_(None), lease.c.started_at.is_(None)),
)

segment = Table(
    "segment",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("lease_id", _Id, ForeignKey("lease.id"), nullable=False),
    Column("rate", BigInteger, nullable=False),
    Column("from_at", BigInteger, nullable=False),
    Column("until_at", BigInteger),
    Column("charged", BigInteger, nullable=False),
    CheckConstraint("until_at IS NULL OR until_at >= from_at", name="order"),
)
Index("segment_lease", segment.c.lease_id, segment.c.id)

hold = Table(
    "hold",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("lease_id", _Id, ForeignKey("lease.id"), nullable=False),
    Column("allocation_id", _Id, ForeignKey("allocation.id"), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("covers_until", BigInteger, nullable=False),
    # From here on nobody respects it, whether it has been cleared away or not.
    Column("expires_at", BigInteger, nullable=False),
    CheckConstraint("amount > 0", name="amount"),
)
Index("hold_lease", hold.c.lease_id, hold.c.id)
Index("hold_allocation", hold.c.allocation_id)
Index("hold_expires", hold.c.expires_at)

entry = Table(
    "entry",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("account_id", _Id, ForeignKey("account.id"), nullable=False),
    Column("allocation_id", _Id, ForeignKey("allocation.id"), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("balance_after", BigInteger, nullable=False),
    Column("allocation_after", BigInteger, nullable=False),
    # The end that a grant, an extension or a revocation gives the allocation; empty for no end.
    Column("end_at", BigInteger),
    Column("lease_id", _Id, ForeignKey("lease.id")),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("idempotency_key", Text, nullable=False),
    UniqueConstraint("idempotency_key"),
    CheckConstraint(
        "kind IN ('grant', 'supplement', 'extension', 'transfer-out', 'transfer-in', 'charge', 'correction', "
        "'suspension', 'resumption', 'revocation', 'expiry')",
        name="kind",
    ),
    CheckConstraint(
        "amount <> 0 OR kind IN ('grant', 'extension', 'suspension', 'resumption', 'revocation', 'expiry')",
        name="amount",
    ),
)
Index("entry_account", entry.c.account_id, entry.c.id)
Index("entry_allocation", entry.c.allocation_id, entry.c.id)
Index("entry_lease", entry.c.lease_id)

request = Table(
    "request",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("account_id", _Id, ForeignKey("account.id"), nullable=False),
    Column("tier", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    # The allocation that it asks to follow; empty for a first one.
    Column("renews_id", _Id, ForeignKey("allocation.id")),
    Column("justification", Text, nullable=False),
    Column("results", Text, nullable=False),
    # What the term that it follows had used when it was asked for.
    Column("used", BigInteger, nullable=False),
    Column("asked_by", Text, nullable=False),
    Column("asked_at", BigInteger, nullable=False),
    Column("decision", Text),
    Column("decided_by", Text),
    Column("decided_at", BigInteger),
    Column("decision_reason", Text),
    Column("allocation_id", _Id, ForeignKey("allocation.id")),
    CheckConstraint("decision IN ('approved', 'denied', 'withdrawn')", name="decision"),
    CheckConstraint("(decision IS NULL) = (decided_at IS NULL)", name="decided"),
    CheckConstraint("amount > 0 AND used >= 0", name="amounts"),
)
# Two people who ask for the same thing at once make one request.
Index(
    "request_open",
    request.c.account_id,
    request.c.tier,
    unique=True,
    sqlite_where=request.c.decided_at.is_(None),
    postgresql_where=request.c.decided_at.is_(None),
)
Index("request_account", request.c.account_id, request.c.id)
Index("request_renews", request.c.renews_id)
