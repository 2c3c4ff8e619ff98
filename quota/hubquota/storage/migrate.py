"""Bringing the ledger's database to the form that this version of the package expects."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text

from hubquota.storage.engine import decision, reading
from hubquota.storage.tables import VERSION_TABLE

#: A number of our own for PostgreSQL's advisory lock: it keeps two migrations apart.
_LOCK = 0x6875_6271_7561


def migrate(engine: Engine) -> None:
    """Create the tables, or bring them up to date. Safe to run again, and by several processes at once.

    Everything happens in one transaction: a migration that fails leaves the database as it was.
    """
    with decision(engine) as connection:
        if engine.dialect.name == "postgresql":
            # A big migration may take longer than any statement of a running platform should.
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def is_current(engine: Engine) -> bool:
    """Return whether the database has the form that this version of the package expects."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    with reading(engine) as connection:
        found = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        return found.get_current_revision() == head


def _config() -> Config:
    config = Config()
    # The path goes through a parser that gives "%" a meaning.
    folder = Path(__file__).with_name("migrations")
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
