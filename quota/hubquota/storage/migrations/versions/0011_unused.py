"""Fewer indexes: each of these was kept up at every start and every end, and no query needs it.

`lease_account_ended` finds an account's leases, and those of them that are open, as well as two others did.
`lease_open` finds the starts that nobody told of again; without `lease_waiting`, whose condition names the begin,
PostgreSQL can note a begin without touching any index.
"""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Drop the indexes."""
    for name in ("lease_account", "lease_open_account", "lease_waiting"):
        op.drop_index(name, "lease")
    op.drop_index("request_renews", "request")
