"""Scratch space with an end, and what was read of the data."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables."""
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "scratch",
        sa.Column("id", number, nullable=False),
        sa.Column("account_id", number, nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("gib", sa.BigInteger(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False),
        sa.Column("lease_id", number, nullable=False),
        sa.Column("ended_at", sa.BigInteger()),
        sa.Column("reason", sa.Text()),
        sa.Column("used", sa.BigInteger()),
        sa.Column("measured_at", sa.BigInteger()),
        sa.Column("aside_at", sa.BigInteger()),
        sa.Column("cleared_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="scratch_pkey"),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="scratch_account_id_fkey"),
        sa.ForeignKeyConstraint(["lease_id"], ["lease.id"], name="scratch_lease_id_fkey"),
        sa.CheckConstraint("gib > 0 AND ends_at > made_at", name=op.f("scratch_size_check")),
    )
    there = sa.text("cleared_at IS NULL")
    op.create_index(
        "scratch_name", "scratch", ["account_id", "name"], unique=True, sqlite_where=there, postgresql_where=there
    )
    op.create_index("scratch_there", "scratch", ["id"], sqlite_where=there, postgresql_where=there)
    op.create_table(
        "data_read",
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("cluster", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("person", "day", "dataset", "region", "cluster", name="data_read_pkey"),
        sa.CheckConstraint("bytes >= 0 AND requests >= 0", name=op.f("data_read_amounts_check")),
    )
    op.create_index("data_read_day", "data_read", ["day"])
    op.create_table(
        "data_report",
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("report", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("person", "report", name="data_report_pkey"),
    )
    op.create_index("data_report_at", "data_report", ["at"])
