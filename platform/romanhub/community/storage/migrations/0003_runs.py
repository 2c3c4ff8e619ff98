"""Runs: who pays, where the result is, how often it was tried, and that somebody took it back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, and the outcome."""
    with op.batch_alter_table("run") as table:
        table.add_column(sa.Column("account", sa.Text()))
        table.add_column(sa.Column("size", sa.Text()))
        table.add_column(sa.Column("result", sa.Text()))
        table.add_column(sa.Column("tries", sa.Integer(), nullable=False, server_default="0"))
        table.drop_constraint(op.f("run_outcome_check"), type_="check")
        table.create_check_constraint(
            op.f("run_outcome_check"), "outcome IN ('passed', 'failed', 'refused', 'lost', 'cancelled')"
        )
    op.create_index(
        "run_server", "run", ["server"], unique=True, sqlite_where=sa.text("server IS NOT NULL"),
        postgresql_where=sa.text("server IS NOT NULL"),
    )  # fmt: skip
