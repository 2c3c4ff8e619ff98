"""Why a hold was lifted, and who ended somebody's part in a project."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns. Of what was lifted or ended before, nobody noted that."""
    op.add_column("purge_hold", sa.Column("lifted_reason", sa.Text()))
    op.add_column("membership", sa.Column("ended_by", sa.Text()))
