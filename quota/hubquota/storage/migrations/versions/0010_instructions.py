"""What administrators say of clusters that run: at most so many workers, or an end."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table, whose lines are only added."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "instruction",
        sa.Column("id", number, primary_key=True),
        sa.Column("lease_id", number, nullable=False),
        sa.Column("most", sa.BigInteger()),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="instruction_pkey"),
        sa.ForeignKeyConstraint(["lease_id"], ["lease.id"], name="instruction_lease_id_fkey"),
        sa.CheckConstraint("most IS NULL OR most >= 0", name=op.f("instruction_most_check")),
    )
    op.create_index("instruction_lease", "instruction", ["lease_id", "id"])
    refusal = "lines of the table instruction are only added: add another one instead"
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION instruction_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{refusal}'; END $$"
        )
        op.execute(
            "CREATE TRIGGER instruction_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON instruction "
            "FOR EACH STATEMENT EXECUTE FUNCTION instruction_append_only()"
        )
        return
    for event in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER instruction_append_only_{event.lower()} BEFORE {event} ON instruction "
            f"BEGIN SELECT RAISE(ABORT, '{refusal}'); END"
        )
