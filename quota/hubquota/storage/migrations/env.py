"""How alembic runs the migrations: inside the transaction that `hubquota.storage.migrate` opened."""

from __future__ import annotations

from alembic import context

migrations = context.config.attributes["migrations"]
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=migrations.metadata,
    # SQLite can roll back changes of tables; alembic assumes that it cannot.
    transactional_ddl=True,
    version_table=migrations.version_table,
)
with context.begin_transaction():
    context.run_migrations()
