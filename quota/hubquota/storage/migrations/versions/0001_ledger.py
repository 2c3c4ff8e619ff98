"""Accounts, leases and the journal that nobody can rewrite."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_REFUSAL = "the journal is append-only: post a correction instead"


def upgrade() -> None:
    """Create the ledger."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "account",
        sa.Column("id", number, primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("balance", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="account_pkey"),
        sa.UniqueConstraint("name", name="account_name_key"),
    )
    op.create_table(
        "lease",
        sa.Column("id", number, primary_key=True),
        sa.Column("account_id", number, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("rate", sa.BigInteger(), nullable=False),
        sa.Column("set_aside", sa.BigInteger(), nullable=False),
        sa.Column("admitted_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger()),
        sa.Column("seen_at", sa.BigInteger()),
        sa.Column("ended_at", sa.BigInteger()),
        sa.Column("charged", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="lease_pkey"),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="lease_account_id_fkey"),
        sa.CheckConstraint("rate >= 0 AND set_aside >= 0 AND charged >= 0", name=op.f("lease_amounts_check")),
        sa.CheckConstraint(
            "ended_at IS NULL OR started_at IS NULL OR ended_at >= started_at",
            name=op.f("lease_order_check"),
        ),
        sa.CheckConstraint("ended_at IS NOT NULL OR charged = 0", name=op.f("lease_charged_at_end_check")),
    )
    still_open = sa.text("ended_at IS NULL")
    op.create_index(
        "lease_open_key",
        "lease",
        ["key"],
        unique=True,
        sqlite_where=still_open,
        postgresql_where=still_open,
    )
    op.create_index(
        "lease_open_account",
        "lease",
        ["account_id"],
        sqlite_where=still_open,
        postgresql_where=still_open,
    )
    op.create_index("lease_account", "lease", ["account_id", "id"])
    op.create_table(
        "entry",
        sa.Column("id", number, primary_key=True),
        sa.Column("account_id", number, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("balance_after", sa.BigInteger(), nullable=False),
        sa.Column("lease_id", number),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="entry_pkey"),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="entry_account_id_fkey"),
        sa.ForeignKeyConstraint(["lease_id"], ["lease.id"], name="entry_lease_id_fkey"),
        sa.UniqueConstraint("idempotency_key", name="entry_idempotency_key_key"),
        sa.CheckConstraint("kind IN ('grant', 'charge', 'correction')", name=op.f("entry_kind_check")),
        sa.CheckConstraint("amount <> 0", name=op.f("entry_amount_check")),
    )
    op.create_index("entry_account", "entry", ["account_id", "id"])
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION entry_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{_REFUSAL}'; END $$"
        )
        op.execute(
            "CREATE TRIGGER entry_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON entry "
            "FOR EACH STATEMENT EXECUTE FUNCTION entry_append_only()"
        )
    else:
        for event in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER entry_append_only_{event.lower()} BEFORE {event} ON entry "
                f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
            )
