"""The ends of terms: what follows what, what was announced, and what was previewed."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    and_,
)

from hubquota.storage.tables.base import Number, metadata, partial_index

# What follows what. An allocation is followed by one other at most, whoever renews it and however often.
renewal = Table(
    "renewal",
    metadata,
    Column("allocation_id", Number, ForeignKey("allocation.id"), primary_key=True, autoincrement=False),
    Column("following_id", Number, ForeignKey("allocation.id"), nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    UniqueConstraint("following_id"),
)

# What was granted beside another allocation of its tier. What follows on one of these is one of them, too.
additional = Table(
    "additional",
    metadata,
    Column("allocation_id", Number, ForeignKey("allocation.id"), primary_key=True, autoincrement=False),
)

# That an end was announced; an extension makes another end, which is announced anew.
reminder = Table(
    "reminder",
    metadata,
    Column("allocation_id", Number, ForeignKey("allocation.id"), primary_key=True, autoincrement=False),
    Column("end_at", BigInteger, primary_key=True, autoincrement=False),
    Column("made_at", BigInteger, nullable=False),
)

# What is still to be done about an allocation whose books are closed: the sweep that closes them adds it.
ending = Table(
    "ending",
    metadata,
    Column("allocation_id", Number, ForeignKey("allocation.id"), primary_key=True, autoincrement=False),
    Column("end_at", BigInteger, nullable=False),
    Column("lapsed", BigInteger, nullable=False),
    # When its owner was told.
    Column("told_at", BigInteger),
    # Until when what was kept under it stays; empty where the account had another allocation by then.
    Column("grace_until", BigInteger),
    Column("over_at", BigInteger),
    CheckConstraint("lapsed >= 0", name="lapsed"),
)
partial_index("ending_untold", ending.c.allocation_id, where=ending.c.told_at.is_(None))
_in_grace = and_(ending.c.grace_until.is_not(None), ending.c.over_at.is_(None))
partial_index("ending_grace", ending.c.grace_until, where=_in_grace)

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
    Column("allocation_id", Number, ForeignKey("allocation.id"), nullable=False),
    Column("tier", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("start_at", BigInteger, nullable=False),
    Column("end_at", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    # What was known of the allocation then: where any of it has changed, it is left alone.
    Column("seen", Text, nullable=False),
    Column("following_id", Number, ForeignKey("allocation.id")),
    CheckConstraint("amount > 0 AND end_at > start_at", name="amounts"),
)
