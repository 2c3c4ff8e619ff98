"""A browser, for what has to be seen in one; and the catalogue on each kind of database."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hubquota.storage.engine import make_engine
from hubquota.storage.migrate import migrate
from playwright.sync_api import Browser
from psycopg import sql
from romanhub.community.storage.tables import MIGRATIONS, metadata

from tests.platform.community.shelf import Shelf
from tests.quota.conftest import postgres
from tests.quota.support import Postgres
from tests.support.browser import chromium

__all__ = ["postgres"]  # the fixture


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="session")
def catalogue_in_postgres(postgres: Postgres) -> str:
    """The name of a PostgreSQL database that has the catalogue's tables."""
    postgres.new_database("community")
    engine = make_engine(postgres.url("community"))
    migrate(engine, MIGRATIONS)
    engine.dispose()
    return "community"


@pytest.fixture(scope="session")
def catalogue_in_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database that has the catalogue's tables, and nothing in them."""
    path = tmp_path_factory.mktemp("template") / "community.sqlite"
    engine = make_engine(f"sqlite:///{path}")
    migrate(engine, MIGRATIONS)
    engine.dispose()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def catalogue_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database with the catalogue's tables and nothing in them, once of each kind."""
    if request.param == "sqlite":
        template: Path = request.getfixturevalue("catalogue_in_sqlite")
        return f"sqlite:///{shutil.copy(template, tmp_path / 'community.sqlite')}"
    server: Postgres = request.getfixturevalue("postgres")
    name: str = request.getfixturevalue("catalogue_in_postgres")
    with server.connect(name) as connection:
        connection.execute("SET session_replication_role = replica")  # the acts' trigger sleeps
        names = sql.SQL(", ").join(sql.Identifier(one) for one in metadata.tables)
        connection.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY").format(names))
    return server.url(name)


@pytest.fixture
def shelf(catalogue_url: str) -> Iterator[Shelf]:
    """A catalogue on each kind of database."""
    engine = make_engine(catalogue_url)
    yield Shelf(engine)
    engine.dispose()
