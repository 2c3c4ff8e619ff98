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
    text,
)
from sqlalchemy.dialects import postgresql

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

# The ends of every account's name, in one case: what a search for a part of a name looks through. They are
# compared letter by letter, whatever language the database is set up for.
account_part = Table(
    "account_part",
    metadata,
    Column("part", Text().with_variant(postgresql.TEXT(collation="C"), "postgresql"), primary_key=True),
    Column("account_id", _Id, ForeignKey("account.id"), primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
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
    # What purges say; see `hubquota.storage.purge_ends`.
    Column("archived_at", BigInteger),
    Column("purged_at", BigInteger),
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
    # Why it ended, as a word for programs; on an open lease, why it is about to be stopped.
    Column("end_kind", Text),
    # What outside the ledger it was made from, so that nothing is made into a lease twice.
    Column("origin", Text),
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
# Whether an account was used of late is asked of every one whose term is about to end.
Index("lease_account_ended", lease.c.account_id, lease.c.ended_at)
# The hub's pages read why a person's last server ended, and an adoption when what had the key ended.
Index("lease_person_ended", lease.c.person, lease.c.ended_at)
Index(
    "lease_origin",
    lease.c.origin,
    unique=True,
    sqlite_where=lease.c.origin.is_not(None),
    postgresql_where=lease.c.origin.is_not(None),
)
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
Index("entry_lease", entry.c.lease_id, entry.c.id)
# The journal of all accounts is read by time, and what people did, which is little of it, by kind and by actor.
Index("entry_at", entry.c.at, entry.c.id)
_act = text("kind <> 'charge'")
Index("entry_act_kind", entry.c.kind, entry.c.at, entry.c.id, sqlite_where=_act, postgresql_where=_act)
Index("entry_act_actor", entry.c.actor, entry.c.at, entry.c.id, sqlite_where=_act, postgresql_where=_act)
# The last line that added credits, without reading the charges since.
_added = text("amount > 0")
Index("entry_added", entry.c.account_id, entry.c.id, sqlite_where=_added, postgresql_where=_added)

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
# The queue, however many have been decided before.
Index(
    "request_queue",
    request.c.id,
    sqlite_where=request.c.decided_at.is_(None),
    postgresql_where=request.c.decided_at.is_(None),
)

notice = Table(
    "notice",
    metadata,
    Column("id", _Id, primary_key=True),
    # Somebody may be told of something before they have an account.
    Column("person", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("optional", Boolean, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("read_at", BigInteger),
    # When it was decided by which channels it goes out; empty as long as no deliverer has looked at it.
    Column("routed_at", BigInteger),
    UniqueConstraint("person", "key"),
)
Index("notice_person_id", notice.c.person, notice.c.id)
Index(
    "notice_unread",
    notice.c.person,
    sqlite_where=notice.c.read_at.is_(None),
    postgresql_where=notice.c.read_at.is_(None),
)
Index(
    "notice_unrouted",
    notice.c.id,
    sqlite_where=notice.c.routed_at.is_(None),
    postgresql_where=notice.c.routed_at.is_(None),
)

delivery = Table(
    "delivery",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("notice_id", _Id, ForeignKey("notice.id"), nullable=False),
    Column("channel", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    # Whoever tries moves it on first: nobody else tries before then, and somebody does if the first one dies.
    Column("next_try_at", BigInteger, nullable=False),
    Column("sent_at", BigInteger),
    Column("given_up_at", BigInteger),
    Column("last_error", Text),
    UniqueConstraint("notice_id", "channel"),
    CheckConstraint("sent_at IS NULL OR given_up_at IS NULL", name="one_end"),
)
_undelivered = and_(delivery.c.sent_at.is_(None), delivery.c.given_up_at.is_(None))
Index("delivery_due", delivery.c.next_try_at, sqlite_where=_undelivered, postgresql_where=_undelivered)
Index(
    "delivery_given_up",
    delivery.c.id,
    sqlite_where=delivery.c.given_up_at.is_not(None),
    postgresql_where=delivery.c.given_up_at.is_not(None),
)

notice_opt_out = Table(
    "notice_opt_out",
    metadata,
    Column("person", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("since_at", BigInteger, nullable=False),
)

notice_address = Table(
    "notice_address",
    metadata,
    Column("person", Text, primary_key=True),
    Column("address", Text, nullable=False),
    Column("noted_at", BigInteger, nullable=False),
)

# What follows what. An allocation is followed by one other at most, whoever renews it and however often.
renewal = Table(
    "renewal",
    metadata,
    Column("allocation_id", _Id, ForeignKey("allocation.id"), primary_key=True, autoincrement=False),
    Column("following_id", _Id, ForeignKey("allocation.id"), nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    UniqueConstraint("following_id"),
)

# That an end was announced; an extension makes another end, which is announced anew.
reminder = Table(
    "reminder",
    metadata,
    Column("allocation_id", _Id, ForeignKey("allocation.id"), primary_key=True, autoincrement=False),
    Column("end_at", BigInteger, primary_key=True, autoincrement=False),
    Column("made_at", BigInteger, nullable=False),
)

# What is still to be done about an allocation whose books are closed: the sweep that closes them adds it.
ending = Table(
    "ending",
    metadata,
    Column("allocation_id", _Id, ForeignKey("allocation.id"), primary_key=True, autoincrement=False),
    Column("end_at", BigInteger, nullable=False),
    Column("lapsed", BigInteger, nullable=False),
    # When its owner was told.
    Column("told_at", BigInteger),
    # Until when what was kept under it stays; empty where the account had another allocation by then.
    Column("grace_until", BigInteger),
    Column("over_at", BigInteger),
    CheckConstraint("lapsed >= 0", name="lapsed"),
)
Index(
    "ending_untold",
    ending.c.allocation_id,
    sqlite_where=ending.c.told_at.is_(None),
    postgresql_where=ending.c.told_at.is_(None),
)
_in_grace = and_(ending.c.grace_until.is_not(None), ending.c.over_at.is_(None))
Index("ending_grace", ending.c.grace_until, sqlite_where=_in_grace, postgresql_where=_in_grace)

# What an administrator was shown before renewing many; its token is a digest of it.
renewal_plan = Table(
    "renewal_plan",
    metadata,
    Column("token", Text, primary_key=True),
    Column("made_at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
)
renewal_item = Table(
    "renewal_item",
    metadata,
    Column("token", Text, ForeignKey("renewal_plan.token"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("allocation_id", _Id, ForeignKey("allocation.id"), nullable=False),
    Column("tier", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("start_at", BigInteger, nullable=False),
    Column("end_at", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    # What was known of the allocation then: where any of it has changed, it is left alone.
    Column("seen", Text, nullable=False),
    Column("following_id", _Id, ForeignKey("allocation.id")),
    CheckConstraint("amount > 0 AND end_at > start_at", name="amounts"),
)

# Append-only, as the journal: an override is given, and perhaps withdrawn by a second line.
override = Table(
    "override",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("account_id", _Id, ForeignKey("account.id"), nullable=False),
    # Whom it is for; empty for everybody who draws on the account.
    Column("person", Text),
    # The limits as JSON, and until when they hold; empty in a line that withdraws another.
    Column("limits", Text),
    Column("until_at", BigInteger),
    Column("withdraws_id", _Id, ForeignKey("override.id")),
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
Index(
    "override_withdraws",
    override.c.withdraws_id,
    unique=True,
    sqlite_where=override.c.withdraws_id.is_not(None),
    postgresql_where=override.c.withdraws_id.is_not(None),
)

# Append-only: of a member's caps on a project, the last one counts.
cap = Table(
    "cap",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("account_id", _Id, ForeignKey("account.id"), nullable=False),
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
    Column("allocation_id", _Id, ForeignKey("allocation.id"), primary_key=True, autoincrement=False),
    Column("person", Text, primary_key=True),
    Column("charged", BigInteger, nullable=False),
)
