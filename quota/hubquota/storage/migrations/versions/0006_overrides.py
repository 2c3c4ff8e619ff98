"""Overrides, caps on the members of projects, and what each member has spent.

What members of projects were charged before is counted from the journal.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables, and count what was spent before."""
    _create_overrides()
    _create_caps()
    op.execute(
        "INSERT INTO spending (allocation_id, person, charged) "
        "SELECT e.allocation_id, l.person, -sum(e.amount) FROM entry e "
        "JOIN lease l ON l.id = e.lease_id JOIN account a ON a.id = e.account_id "
        "WHERE e.kind = 'charge' AND a.kind = 'project' GROUP BY e.allocation_id, l.person"
    )
    for table in ("override", "cap"):
        _keep_append_only(table)


def _number() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _create_overrides() -> None:
    op.create_table(
        "override",
        sa.Column("id", _number(), primary_key=True),
        sa.Column("account_id", _number(), nullable=False),
        sa.Column("person", sa.Text()),
        sa.Column("limits", sa.Text()),
        sa.Column("until_at", sa.BigInteger()),
        sa.Column("withdraws_id", _number()),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="override_pkey"),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="override_account_id_fkey"),
        sa.ForeignKeyConstraint(["withdraws_id"], ["override.id"], name="override_withdraws_id_fkey"),
        sa.UniqueConstraint("idempotency_key", name="override_idempotency_key_key"),
        sa.CheckConstraint(
            "(withdraws_id IS NULL) = (limits IS NOT NULL) AND (limits IS NULL) = (until_at IS NULL)",
            name=op.f("override_kind_check"),
        ),
    )
    op.create_index("override_account", "override", ["account_id", "until_at"])
    there = sa.text("withdraws_id IS NOT NULL")
    op.create_index(
        "override_withdraws",
        "override",
        ["withdraws_id"],
        unique=True,
        sqlite_where=there,
        postgresql_where=there,
    )


def _create_caps() -> None:
    op.create_table(
        "cap",
        sa.Column("id", _number(), primary_key=True),
        sa.Column("account_id", _number(), nullable=False),
        sa.Column("member", sa.Text(), nullable=False),
        sa.Column("credits", sa.BigInteger()),
        sa.Column("workers", sa.BigInteger()),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="cap_pkey"),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="cap_account_id_fkey"),
        sa.CheckConstraint(
            "(credits IS NULL OR credits >= 0) AND (workers IS NULL OR workers >= 0)",
            name=op.f("cap_limits_check"),
        ),
    )
    op.create_index("cap_member", "cap", ["account_id", "member", "id"])
    op.create_table(
        "spending",
        sa.Column("allocation_id", _number(), nullable=False, autoincrement=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("charged", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("allocation_id", "person", name="spending_pkey"),
        sa.ForeignKeyConstraint(["allocation_id"], ["allocation.id"], name="spending_allocation_id_fkey"),
    )


def _keep_append_only(table: str) -> None:
    refusal = f"lines of the table {table} are only added: add another one instead"
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            f"CREATE FUNCTION {table}_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{refusal}'; END $$"
        )
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_append_only()"
        )
        return
    for event in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_append_only_{event.lower()} BEFORE {event} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{refusal}'); END"
        )
