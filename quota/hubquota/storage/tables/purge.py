"""The purge: plans, the things in them, what was done to each, and accounts on hold."""

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
)

from hubquota.storage.tables.base import Number, metadata, partial_index

purge_plan = Table(
    "purge_plan",
    metadata,
    Column("id", Number, primary_key=True),
    Column("made_at", BigInteger, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("approved_at", BigInteger),
    Column("approved_by", Text),
    Column("override_reason", Text),
    Column("closed_at", BigInteger),
    Column("closed_reason", Text),
    CheckConstraint("(approved_at IS NULL) = (approved_by IS NULL)", name="approved"),
    CheckConstraint("(closed_at IS NULL) = (closed_reason IS NULL)", name="closed"),
)

purge_item = Table(
    "purge_item",
    metadata,
    Column("id", Number, primary_key=True),
    Column("plan_id", Number, ForeignKey("purge_plan.id"), nullable=False),
    Column("account_id", Number, ForeignKey("account.id"), nullable=False),
    Column("adapter", Text, nullable=False),
    Column("name", Text, nullable=False),
    # What was seen of it when the plan was made.
    Column("bytes", BigInteger, nullable=False),
    Column("files", BigInteger, nullable=False),
    Column("newest_at", BigInteger),
    Column("fingerprint", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("allocation_id", Number, ForeignKey("allocation.id"), nullable=False),
    # From here on, how far it has come, kept beside its events.
    Column("stage", Text, nullable=False),
    Column("stage_at", BigInteger, nullable=False),
    Column("doing", Text),
    Column("due_at", BigInteger),
    Column("told_days", BigInteger),
    Column("archive_digest", Text),
    Column("manifest_digest", Text),
    Column("archive_bytes", BigInteger),
    Column("archive_kept", Boolean, nullable=False),
    Column("quarantine_print", Text),
    Column("reason", Text),
    Column("asked_by", Text),
    Column("place", Text),
    # Whether an approved plan is about to take it, or has taken it and can give it back.
    Column("active", Boolean, nullable=False),
    UniqueConstraint("plan_id", "account_id", "adapter", "name"),
    CheckConstraint("bytes >= 0 AND files >= 0", name="amounts"),
    CheckConstraint(
        "stage IN ('planned', 'noticed', 'archived', 'quarantined', 'deleted', 'purged', 'restored', "
        "'left alone')",
        name="stage",
    ),
    CheckConstraint(
        "stage NOT IN ('archived', 'quarantined', 'deleted') OR (archive_digest IS NOT NULL AND archive_kept)",
        name="archived",
    ),
)
# One approved plan at a time is at work on a thing.
partial_index(
    "purge_item_active",
    purge_item.c.account_id,
    purge_item.c.adapter,
    purge_item.c.name,
    where=purge_item.c.active,
    unique=True,
)
Index("purge_item_account", purge_item.c.account_id, purge_item.c.id)

purge_event = Table(
    "purge_event",
    metadata,
    Column("id", Number, primary_key=True),
    Column("plan_id", Number, ForeignKey("purge_plan.id"), nullable=False),
    Column("item_id", Number, ForeignKey("purge_item.id")),
    Column("at", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("text", Text, nullable=False),
)
Index("purge_event_plan", purge_event.c.plan_id, purge_event.c.id)
Index("purge_event_item", purge_event.c.item_id, purge_event.c.id)

purge_hold = Table(
    "purge_hold",
    metadata,
    Column("id", Number, primary_key=True),
    Column("account_id", Number, ForeignKey("account.id"), nullable=False),
    Column("placed_at", BigInteger, nullable=False),
    Column("placed_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("lifted_at", BigInteger),
    Column("lifted_by", Text),
    # Empty where it was lifted before reasons were asked for.
    Column("lifted_reason", Text),
    CheckConstraint("(lifted_at IS NULL) = (lifted_by IS NULL)", name="lifted"),
)
# An account is on hold once at a time; earlier holds stay as history.
partial_index("purge_hold_current", purge_hold.c.account_id, where=purge_hold.c.lifted_at.is_(None), unique=True)
