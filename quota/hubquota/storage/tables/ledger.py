"""The ledger itself: allocations, leases with their segments and holds, and the journal."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from hubquota.storage.tables.base import Number, metadata, partial_index

allocation = Table(
    "allocation",
    metadata,
    Column("id", Number, primary_key=True),
    Column("account_id", Number, ForeignKey("account.id"), nullable=False),
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
    # What purges say; see `hubquota.storage.purge_ends`.
    Column("archived_at", BigInteger),
    Column("purged_at", BigInteger),
)
# An admission reads the allocations whose books are open only, however many there were before.
partial_index("allocation_open_account", allocation.c.account_id, where=allocation.c.lapsed_at.is_(None))
partial_index("allocation_open_end", allocation.c.end_at, where=allocation.c.lapsed_at.is_(None))
Index("allocation_account", allocation.c.account_id, allocation.c.id)

lease = Table(
    "lease",
    metadata,
    Column("id", Number, primary_key=True),
    Column("account_id", Number, ForeignKey("account.id"), nullable=False),
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
    # Why it ended, as a word for programs; on an open lease, why it is about to be stopped.
    Column("end_kind", Text),
    # What outside the ledger it was made from, so that nothing is made into a lease twice.
    Column("origin", Text),
    CheckConstraint("rate >= 0 AND charged >= 0", name="amounts"),
    CheckConstraint("ended_at IS NULL OR started_at IS NULL OR ended_at >= started_at", name="order"),
    CheckConstraint("(started_at IS NULL) = (settled_at IS NULL)", name="settled"),
    CheckConstraint("started_at IS NOT NULL OR charged = 0", name="charged_if_begun"),
)
# What is open has indexes of its own: they stay small and together, so that an admission neither reads nor changes
# more the longer the history is. No condition here names the begin: so PostgreSQL can note one without touching an
# index.
_open, _ended = lease.c.ended_at.is_(None), lease.c.ended_at.is_not(None)
# One open lease a key, whoever asks and however many ask at once.
partial_index("lease_open_key", lease.c.key, where=_open, unique=True)
# Whoever looks at all that is open does so in the order of the admissions, and reads nothing of what has ended.
partial_index("lease_open", lease.c.id, where=_open)
# An admission reads the account's open leases.
partial_index("lease_open_account", lease.c.account_id, where=_open)
partial_index("lease_open_person", lease.c.person, where=_open)
# Whether an account was used of late is asked of every one whose term is about to end.
partial_index("lease_ended_account", lease.c.account_id, lease.c.ended_at, where=_ended)
# The hub's pages read why a person's last server ended, and an adoption when what had the key ended.
partial_index("lease_ended_person", lease.c.person, lease.c.ended_at, where=_ended)
partial_index("lease_origin", lease.c.origin, where=lease.c.origin.is_not(None), unique=True)

segment = Table(
    "segment",
    metadata,
    Column("id", Number, primary_key=True),
    Column("lease_id", Number, ForeignKey("lease.id"), nullable=False),
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
    Column("id", Number, primary_key=True),
    Column("lease_id", Number, ForeignKey("lease.id"), nullable=False),
    Column("allocation_id", Number, ForeignKey("allocation.id"), nullable=False),
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
    Column("id", Number, primary_key=True),
    Column("account_id", Number, ForeignKey("account.id"), nullable=False),
    Column("allocation_id", Number, ForeignKey("allocation.id"), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("balance_after", BigInteger, nullable=False),
    Column("allocation_after", BigInteger, nullable=False),
    # The end that a grant, an extension or a revocation gives the allocation; empty for no end.
    Column("end_at", BigInteger),
    Column("lease_id", Number, ForeignKey("lease.id")),
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
Index("entry_lease", entry.c.lease_id, entry.c.id)
# The journal of all accounts is read by time, and what people did, which is little of it, by kind and by actor.
Index("entry_at", entry.c.at, entry.c.id)
_act = text("kind <> 'charge'")
partial_index("entry_act_kind", entry.c.kind, entry.c.at, entry.c.id, where=_act)
partial_index("entry_act_actor", entry.c.actor, entry.c.at, entry.c.id, where=_act)
# The last line that added credits, without reading the charges since.
_added = text("amount > 0")
partial_index("entry_added", entry.c.account_id, entry.c.id, where=_added)
