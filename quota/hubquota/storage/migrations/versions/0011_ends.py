"""When what was kept under an allocation was moved to the archive, and when it was gone for good."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

#: What was taken after each last term of an account, by the last plan that took anything.
_TAKEN = sa.text("""
SELECT thing.account_id,
       thing.allocation_id AS upto,
       SUM(CASE WHEN thing.stage = 'restored' THEN 1 ELSE 0 END) AS back,
       SUM(CASE WHEN thing.stage = 'purged' THEN 0 ELSE 1 END) AS away,
       MIN((SELECT MIN(at) FROM purge_event WHERE item_id = thing.id AND kind = 'quarantine: ended')) AS archived,
       MAX((SELECT MAX(at) FROM purge_event WHERE item_id = thing.id AND kind = 'discard: ended')) AS purged
FROM purge_item AS thing
JOIN (
    SELECT account_id, MAX(plan_id) AS plan_id FROM purge_item
    WHERE stage IN ('quarantined', 'deleted', 'purged', 'restored') GROUP BY account_id, allocation_id
) AS newest ON newest.account_id = thing.account_id AND newest.plan_id = thing.plan_id
WHERE thing.stage IN ('quarantined', 'deleted', 'purged', 'restored')
GROUP BY thing.account_id, thing.allocation_id
ORDER BY thing.allocation_id DESC
""")

_NOTE = sa.text(
    "UPDATE allocation SET archived_at = :archived, purged_at = :purged "
    "WHERE account_id = :account AND id <= :upto"
)


def upgrade() -> None:
    """Add the columns, and fill them in from what purges have done so far."""
    op.add_column("allocation", sa.Column("archived_at", sa.BigInteger()))
    op.add_column("allocation", sa.Column("purged_at", sa.BigInteger()))
    connection = op.get_bind()
    for row in connection.execute(_TAKEN).all():
        archived = None if row.back else row.archived
        facts = {"archived": archived, "purged": None if row.back or row.away else row.purged}
        connection.execute(_NOTE, {**facts, "account": row.account_id, "upto": row.upto})
