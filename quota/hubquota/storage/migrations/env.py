"""How alembic runs the migrations: inside the transaction that `hubquota.storage.migrate` opened."""

from __future__ import annotations

from alembic import context
from hubquota.storage.tables import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite can roll back changes of tables; alembic assumes that it cannot.
    transactional_ddl=True,
    version_table=VERSION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()
