"""What pages and exports read in one indexed look: parts of names, the journal by time, kind and actor."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

#: How much of each end of a name was kept when this form was made.
_LETTERS = 24
#: How many accounts' parts are written at once.
_ACCOUNTS = 1000


def upgrade() -> None:
    """Add the table and the indexes, and note the parts of the names that there are."""
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    part = op.create_table(
        "account_part",
        sa.Column("part", sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql"), nullable=False),
        sa.Column("account_id", number, nullable=False),
        sa.PrimaryKeyConstraint("part", "account_id", name="account_part_pkey"),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="account_part_account_id_fkey"),
        sqlite_with_rowid=False,
    )
    _note_parts(part)
    op.drop_index("entry_lease", "entry")
    op.create_index("entry_lease", "entry", ["lease_id", "id"])
    op.create_index("entry_at", "entry", ["at", "id"])
    _partial_index("entry_act_kind", "entry", ["kind", "at", "id"], "kind <> 'charge'")
    _partial_index("entry_act_actor", "entry", ["actor", "at", "id"], "kind <> 'charge'")
    _partial_index("entry_added", "entry", ["account_id", "id"], "amount > 0")
    _partial_index("request_queue", "request", ["id"], "decided_at IS NULL")


def _note_parts(part: sa.Table) -> None:
    connection, last = op.get_bind(), 0
    following = sa.text("SELECT id, name FROM account WHERE id > :last ORDER BY id LIMIT :number")
    while rows := connection.execute(following, {"last": last, "number": _ACCOUNTS}).all():
        found = [
            {"part": end, "account_id": number}
            for number, name in rows
            for end in {name.casefold()[start:][:_LETTERS] for start in range(len(name.casefold()))}
        ]
        if found:
            connection.execute(sa.insert(part), found)
        last = rows[-1].id


def _partial_index(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
