"""Bringing a database to the form that this version of its package expects: the ledger's, or another one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, MetaData, text

from hubquota.storage.engine import decision, reading
from hubquota.storage.tables import VERSION_TABLE, metadata

#: How alembic is run, for every set of migrations.
_ENVIRONMENT = Path(__file__).with_name("migrations")

#: Alembic keeps what it is at in globals of its modules: of two threads one waits, also where each has a database.
_ALEMBIC = Lock()


@dataclass(frozen=True)
class Migrations:
    """One set of migrations, for one kind of database."""

    #: The folder of the migrations' own files.
    versions: Path
    #: The tables as they are after all of them.
    metadata: MetaData
    #: Where the database notes how far they have come.
    version_table: str
    #: A number of its own for PostgreSQL's advisory lock: it keeps two of these migrations apart.
    lock: int


#: The ledger's.
LEDGER = Migrations(_ENVIRONMENT / "versions", metadata, VERSION_TABLE, 0x6875_6271_7561)


def migrate(engine: Engine, migrations: Migrations = LEDGER) -> None:
    """Create the tables, or bring them up to date. Safe to run again, and by several processes at once.

    Everything happens in one transaction: a migration that fails leaves the database as it was.

    Args:
        engine: the database.
        migrations: which tables it is to have; the ledger's if not given.
    """
    with _ALEMBIC, decision(engine) as connection:
        if engine.dialect.name == "postgresql":
            # A big migration may take longer than any statement of a running platform should.
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": migrations.lock})
        config = _config(migrations)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def is_current(engine: Engine, migrations: Migrations = LEDGER) -> bool:
    """Return whether the database has the form that this version of the package expects."""
    head = ScriptDirectory.from_config(_config(migrations)).get_current_head()
    with reading(engine) as connection:
        found = MigrationContext.configure(connection, opts={"version_table": migrations.version_table})
        return found.get_current_revision() == head


def _config(migrations: Migrations = LEDGER) -> Config:
    config = Config()
    # Paths go through a parser that gives "%" a meaning.
    config.set_main_option("script_location", str(_ENVIRONMENT).replace("%", "%%"))
    config.set_main_option("version_locations", str(migrations.versions).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    config.attributes["migrations"] = migrations
    return config
