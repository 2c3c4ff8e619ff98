"""Which allocations were granted beside another one of their tier; those do not renew themselves."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table, and find out about the allocations that there are, in the order of their grants."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "additional",
        sa.Column("allocation_id", number, primary_key=True, autoincrement=False),
        sa.PrimaryKeyConstraint("allocation_id", name="additional_pkey"),
        sa.ForeignKeyConstraint(["allocation_id"], ["allocation.id"], name="additional_allocation_id_fkey"),
    )
    connection = op.get_bind()
    # Of most accounts there are no two of a tier.
    rows = connection.execute(
        sa.text(
            "SELECT a.id, a.account_id, a.tier, a.renewable, a.revoked_at, a.start_at, a.end_at, "
            "r.allocation_id AS follows FROM allocation a LEFT JOIN renewal r ON r.following_id = a.id "
            "WHERE EXISTS (SELECT 1 FROM allocation o WHERE o.account_id = a.account_id AND o.tier = a.tier "
            "AND o.id <> a.id) ORDER BY a.account_id, a.tier, a.id"
        )
    )
    found: set[int] = set()
    whose: tuple[int, str] | None = None
    bases: list[sa.Row[Any]] = []
    for row in rows:
        if whose != (row.account_id, row.tier):
            whose, bases = (row.account_id, row.tier), []
        beside = any(
            one.renewable and one.revoked_at is None and (one.end_at is None or one.end_at > row.start_at)
            for one in bases
        )
        if row.follows in found if row.follows is not None else beside:
            found.add(row.id)
        else:
            bases.append(row)
    if found:
        connection.execute(
            sa.text("INSERT INTO additional (allocation_id) VALUES (:number)"), [{"number": one} for one in found]
        )
