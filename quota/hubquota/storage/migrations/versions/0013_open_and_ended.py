"""Indexes of open leases and of those that ended, each by itself.

One index of both is as large as all leases that there ever were, and with every start a page somewhere in it
changes. What is open is little, and lies together.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Put four indexes in the place of two."""
    for name, columns, where in (
        ("lease_open_account", ["account_id"], "ended_at IS NULL"),
        ("lease_open_person", ["person"], "ended_at IS NULL"),
        ("lease_ended_account", ["account_id", "ended_at"], "ended_at IS NOT NULL"),
        ("lease_ended_person", ["person", "ended_at"], "ended_at IS NOT NULL"),
    ):
        some = sa.text(where)
        op.create_index(name, "lease", columns, sqlite_where=some, postgresql_where=some)
    for name in ("lease_account_ended", "lease_person_ended"):
        op.drop_index(name, "lease")
