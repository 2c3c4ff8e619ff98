"""An index of what is open: without it SQLite reads every lease that there ever was to find those to extend."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index."""
    is_open = sa.text("ended_at IS NULL")
    op.create_index("lease_open", "lease", ["id"], sqlite_where=is_open, postgresql_where=is_open)
