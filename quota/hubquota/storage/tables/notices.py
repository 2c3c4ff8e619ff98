"""What people are told, and how it reaches them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    and_,
)

from hubquota.storage.tables.base import Number, metadata, partial_index

notice = Table(
    "notice",
    metadata,
    Column("id", Number, primary_key=True),
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
partial_index("notice_unread", notice.c.person, where=notice.c.read_at.is_(None))
partial_index("notice_unrouted", notice.c.id, where=notice.c.routed_at.is_(None))

delivery = Table(
    "delivery",
    metadata,
    Column("id", Number, primary_key=True),
    Column("notice_id", Number, ForeignKey("notice.id"), nullable=False),
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
partial_index("delivery_due", delivery.c.next_try_at, where=_undelivered)
partial_index("delivery_given_up", delivery.c.id, where=delivery.c.given_up_at.is_not(None))

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
