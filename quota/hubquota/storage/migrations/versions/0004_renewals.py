"""What follows what, what was announced of an end, and plans of many renewals."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables, and note what has been renewed on request already."""
    _create_terms()
    _create_plans()
    op.create_index("lease_account_ended", "lease", ["account_id", "ended_at"])
    op.execute(
        "INSERT INTO renewal (allocation_id, following_id, made_at, actor) "
        "SELECT renews_id, allocation_id, decided_at, decided_by FROM request r "
        "WHERE decision = 'approved' AND renews_id IS NOT NULL AND allocation_id IS NOT NULL AND id = "
        "(SELECT min(s.id) FROM request s WHERE s.renews_id = r.renews_id AND s.decision = 'approved')"
    )


def _number() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _create_terms() -> None:
    op.create_table(
        "renewal",
        sa.Column("allocation_id", _number(), primary_key=True, autoincrement=False),
        sa.Column("following_id", _number(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("allocation_id", name="renewal_pkey"),
        sa.ForeignKeyConstraint(["allocation_id"], ["allocation.id"], name="renewal_allocation_id_fkey"),
        sa.ForeignKeyConstraint(["following_id"], ["allocation.id"], name="renewal_following_id_fkey"),
        sa.UniqueConstraint("following_id", name="renewal_following_id_key"),
    )
    op.create_table(
        "reminder",
        sa.Column("allocation_id", _number(), primary_key=True, autoincrement=False),
        sa.Column("end_at", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("allocation_id", "end_at", name="reminder_pkey"),
        sa.ForeignKeyConstraint(["allocation_id"], ["allocation.id"], name="reminder_allocation_id_fkey"),
    )
    op.create_table(
        "ending",
        sa.Column("allocation_id", _number(), primary_key=True, autoincrement=False),
        sa.Column("end_at", sa.BigInteger(), nullable=False),
        sa.Column("lapsed", sa.BigInteger(), nullable=False),
        sa.Column("told_at", sa.BigInteger()),
        sa.Column("grace_until", sa.BigInteger()),
        sa.Column("over_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("allocation_id", name="ending_pkey"),
        sa.ForeignKeyConstraint(["allocation_id"], ["allocation.id"], name="ending_allocation_id_fkey"),
        sa.CheckConstraint("lapsed >= 0", name=op.f("ending_lapsed_check")),
    )
    for name, column, where in (
        ("ending_untold", "allocation_id", "told_at IS NULL"),
        ("ending_grace", "grace_until", "grace_until IS NOT NULL AND over_at IS NULL"),
    ):
        op.create_index(name, "ending", [column], sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def _create_plans() -> None:
    op.create_table(
        "renewal_plan",
        sa.Column("token", sa.Text(), primary_key=True),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("token", name="renewal_plan_pkey"),
    )
    op.create_table(
        "renewal_item",
        sa.Column("token", sa.Text(), primary_key=True),
        sa.Column("position", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("allocation_id", _number(), nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("start_at", sa.BigInteger(), nullable=False),
        sa.Column("end_at", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("seen", sa.Text(), nullable=False),
        sa.Column("following_id", _number()),
        sa.PrimaryKeyConstraint("token", "position", name="renewal_item_pkey"),
        sa.ForeignKeyConstraint(["token"], ["renewal_plan.token"], name="renewal_item_token_fkey"),
        sa.ForeignKeyConstraint(["allocation_id"], ["allocation.id"], name="renewal_item_allocation_id_fkey"),
        sa.ForeignKeyConstraint(["following_id"], ["allocation.id"], name="renewal_item_following_id_fkey"),
        sa.CheckConstraint("amount > 0 AND end_at > start_at", name=op.f("renewal_item_amounts_check")),
    )
