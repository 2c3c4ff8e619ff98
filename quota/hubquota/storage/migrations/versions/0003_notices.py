"""Notices, their deliveries, and what people have said about them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "notice",
        sa.Column("id", number, primary_key=True),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("optional", sa.Boolean(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("read_at", sa.BigInteger()),
        sa.Column("routed_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="notice_pkey"),
        sa.UniqueConstraint("person", "key", name="notice_person_key"),
    )
    op.create_index("notice_person_id", "notice", ["person", "id"])
    _partial_index("notice_unread", "notice", "person", "read_at IS NULL")
    _partial_index("notice_unrouted", "notice", "id", "routed_at IS NULL")
    op.create_table(
        "delivery",
        sa.Column("id", number, primary_key=True),
        sa.Column("notice_id", number, nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_try_at", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger()),
        sa.Column("given_up_at", sa.BigInteger()),
        sa.Column("last_error", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="delivery_pkey"),
        sa.ForeignKeyConstraint(["notice_id"], ["notice.id"], name="delivery_notice_id_fkey"),
        sa.UniqueConstraint("notice_id", "channel", name="delivery_notice_id_key"),
        sa.CheckConstraint("sent_at IS NULL OR given_up_at IS NULL", name=op.f("delivery_one_end_check")),
    )
    _partial_index("delivery_due", "delivery", "next_try_at", "sent_at IS NULL AND given_up_at IS NULL")
    _partial_index("delivery_given_up", "delivery", "id", "given_up_at IS NOT NULL")
    op.create_table(
        "notice_opt_out",
        sa.Column("person", sa.Text(), primary_key=True),
        sa.Column("kind", sa.Text(), primary_key=True),
        sa.Column("since_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("person", "kind", name="notice_opt_out_pkey"),
    )
    op.create_table(
        "notice_address",
        sa.Column("person", sa.Text(), primary_key=True),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("noted_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("person", name="notice_address_pkey"),
    )


def _partial_index(name: str, table: str, column: str, where: str) -> None:
    op.create_index(name, table, [column], sqlite_where=sa.text(where), postgresql_where=sa.text(where))
