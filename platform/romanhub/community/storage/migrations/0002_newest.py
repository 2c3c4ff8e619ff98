"""When the newest versions became public, without reading what is said of each."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index."""
    op.create_index("version_newest", "version", ["entry_id", "number", "published_at"])
