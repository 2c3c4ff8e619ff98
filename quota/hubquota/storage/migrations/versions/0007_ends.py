"""Why a lease ended, as a word for programs, and what outside the ledger it was made from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns. Of leases that ended before, nobody said why but in the sentence."""
    # The words have no check of the database's own: SQLite could not add one without making the table anew.
    op.add_column("lease", sa.Column("end_kind", sa.Text()))
    op.add_column("lease", sa.Column("origin", sa.Text()))
    op.create_index("lease_person_ended", "lease", ["person", "ended_at"])
    given = sa.text("origin IS NOT NULL")
    op.create_index("lease_origin", "lease", ["origin"], unique=True, sqlite_where=given, postgresql_where=given)
