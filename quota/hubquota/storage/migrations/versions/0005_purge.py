"""Purge plans, the things in them, what was done to each, and accounts on hold."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_REFUSAL = "what was done to a thing is append-only"


def upgrade() -> None:
    """Create the tables, and note with allocations what a purge has done to what was kept under them."""
    op.add_column("allocation", sa.Column("archived_at", sa.BigInteger()))
    op.add_column("allocation", sa.Column("purged_at", sa.BigInteger()))
    op.create_table(
        "purge_plan",
        sa.Column("id", _number(), primary_key=True),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("approved_at", sa.BigInteger()),
        sa.Column("approved_by", sa.Text()),
        sa.Column("override_reason", sa.Text()),
        sa.Column("closed_at", sa.BigInteger()),
        sa.Column("closed_reason", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="purge_plan_pkey"),
        sa.CheckConstraint(
            "(approved_at IS NULL) = (approved_by IS NULL)", name=op.f("purge_plan_approved_check")
        ),
        sa.CheckConstraint("(closed_at IS NULL) = (closed_reason IS NULL)", name=op.f("purge_plan_closed_check")),
    )
    _create_items()
    op.create_table(
        "purge_event",
        sa.Column("id", _number(), primary_key=True),
        sa.Column("plan_id", _number(), nullable=False),
        sa.Column("item_id", _number()),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="purge_event_pkey"),
        sa.ForeignKeyConstraint(["plan_id"], ["purge_plan.id"], name="purge_event_plan_id_fkey"),
        sa.ForeignKeyConstraint(["item_id"], ["purge_item.id"], name="purge_event_item_id_fkey"),
    )
    op.create_index("purge_event_plan", "purge_event", ["plan_id", "id"])
    op.create_index("purge_event_item", "purge_event", ["item_id", "id"])
    op.create_table(
        "purge_hold",
        sa.Column("id", _number(), primary_key=True),
        sa.Column("account_id", _number(), nullable=False),
        sa.Column("placed_at", sa.BigInteger(), nullable=False),
        sa.Column("placed_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("lifted_at", sa.BigInteger()),
        sa.Column("lifted_by", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="purge_hold_pkey"),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="purge_hold_account_id_fkey"),
        sa.CheckConstraint("(lifted_at IS NULL) = (lifted_by IS NULL)", name=op.f("purge_hold_lifted_check")),
    )
    _unique_where("purge_hold_current", "purge_hold", ["account_id"], "lifted_at IS NULL")
    _keep_append_only()


def _number() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _create_items() -> None:
    op.create_table(
        "purge_item",
        sa.Column("id", _number(), primary_key=True),
        sa.Column("plan_id", _number(), nullable=False),
        sa.Column("account_id", _number(), nullable=False),
        sa.Column("adapter", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("files", sa.BigInteger(), nullable=False),
        sa.Column("newest_at", sa.BigInteger()),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("allocation_id", _number(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("stage_at", sa.BigInteger(), nullable=False),
        sa.Column("doing", sa.Text()),
        sa.Column("due_at", sa.BigInteger()),
        sa.Column("told_days", sa.BigInteger()),
        sa.Column("archive_digest", sa.Text()),
        sa.Column("manifest_digest", sa.Text()),
        sa.Column("archive_bytes", sa.BigInteger()),
        sa.Column("archive_kept", sa.Boolean(), nullable=False),
        sa.Column("quarantine_print", sa.Text()),
        sa.Column("reason", sa.Text()),
        sa.Column("asked_by", sa.Text()),
        sa.Column("place", sa.Text()),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="purge_item_pkey"),
        sa.UniqueConstraint("plan_id", "account_id", "adapter", "name", name="purge_item_plan_id_key"),
        sa.ForeignKeyConstraint(["plan_id"], ["purge_plan.id"], name="purge_item_plan_id_fkey"),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="purge_item_account_id_fkey"),
        sa.ForeignKeyConstraint(["allocation_id"], ["allocation.id"], name="purge_item_allocation_id_fkey"),
        sa.CheckConstraint("bytes >= 0 AND files >= 0", name=op.f("purge_item_amounts_check")),
        sa.CheckConstraint(
            "stage IN ('planned', 'noticed', 'archived', 'quarantined', 'deleted', 'purged', 'restored', "
            "'left alone')",
            name=op.f("purge_item_stage_check"),
        ),
        sa.CheckConstraint(
            "stage NOT IN ('archived', 'quarantined', 'deleted') OR (archive_digest IS NOT NULL AND archive_kept)",
            name=op.f("purge_item_archived_check"),
        ),
    )
    _unique_where("purge_item_active", "purge_item", ["account_id", "adapter", "name"], "active")
    op.create_index("purge_item_account", "purge_item", ["account_id", "id"])


def _unique_where(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(
        name, table, columns, unique=True, sqlite_where=sa.text(where), postgresql_where=sa.text(where)
    )


def _keep_append_only() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION purge_event_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{_REFUSAL}'; END $$"
        )
        op.execute(
            "CREATE TRIGGER purge_event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON purge_event "
            "FOR EACH STATEMENT EXECUTE FUNCTION purge_event_append_only()"
        )
        return
    for event in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER purge_event_append_only_{event.lower()} BEFORE {event} ON purge_event "
            f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
        )
