"""How alembic runs the migrations: inside the transaction that `hubquota.storage.migrate` opened."""

from __future__ import annotations

from alembic import context
from hubquota.storage.purge_tables import purge_plan
from hubquota.storage.tables import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    # All tables there are: the purge's are in a module of their own, and know the ledger's.
    target_metadata=purge_plan.metadata,
    # SQLite can roll back changes of tables; alembic assumes that it cannot.
    transactional_ddl=True,
    version_table=VERSION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()
