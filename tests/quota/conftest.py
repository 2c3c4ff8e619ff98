"""Fixtures of the quota package's tests: databases of both kinds, a clock to turn, and a real hub."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hubquota.models.tiers import Tiers
from hubquota.services.ledger import Ledger
from hubquota.services.tiersfile import load_tiers
from hubquota.storage.engine import make_engine
from hubquota.storage.migrate import migrate
from hubquota.storage.tables import metadata
from psycopg import sql
from sqlalchemy import Engine

from tests.quota.support import Clock, Hub, Postgres, new_hub
from tests.support.platform import shared_environments

HERE = Path(__file__).parent


@pytest.fixture
def clock() -> Clock:
    """A clock that the test turns."""
    return Clock()


@pytest.fixture
def database(sqlite_template: Path, tmp_path: Path) -> str:
    """The address of a ledger of its own, on SQLite."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'ledger.sqlite')}"


@pytest.fixture
def seed() -> int:
    """Another history every time; give it here to see one again."""
    return time.time_ns() % 1_000_000


@pytest.fixture(scope="session")
def tiers() -> Tiers:
    """The tiers that the platform comes with."""
    return load_tiers(HERE.parents[1] / "hub_config" / "tiers.yaml")


# Databases ---------------------------------------------------------------------------------------------


def _postgres_command(name: str) -> str | None:
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(versions[-1]) if versions else shutil.which(name)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL server, started for the session."""
    initdb, server = _postgres_command("initdb"), _postgres_command("postgres")
    if initdb is None or server is None:
        message = "PostgreSQL's server (initdb, postgres) is not installed; its tests are left out."
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    # PostgreSQL refuses to run as root, and a socket's path has to be short.
    base = tempfile.mkdtemp(prefix="quota-pg-")
    identity: dict[str, Any] = {}
    user = "quota"
    if os.geteuid() == 0:
        names = {entry.pw_name for entry in pwd.getpwall()}
        who = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
        os.chown(base, who.pw_uid, who.pw_gid)
        identity = {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}
    subprocess.run(
        [initdb, "-D", f"{base}/data", "-U", user, "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C"],
        check=True,
        capture_output=True,
        cwd=base,
        **identity,
    )
    options = {
        "listen_addresses": "",
        "unix_socket_directories": base,
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
    }
    found = Postgres(
        folder=base,
        user=user,
        command=[server, "-D", f"{base}/data", *(f"--{name}={value}" for name, value in options.items())],
        identity=identity,
    )
    try:
        found.start()
        yield found
    finally:
        found.stop()
        shutil.rmtree(base, ignore_errors=True)


@pytest.fixture(scope="session")
def migrated_postgres(postgres: Postgres) -> str:
    """The name of a PostgreSQL database that is set up."""
    postgres.new_database("migrated")
    engine = make_engine(postgres.url("migrated"))
    migrate(engine)
    engine.dispose()
    return "migrated"


@pytest.fixture(scope="session")
def bare_postgres(postgres: Postgres) -> str:
    """The name of a PostgreSQL database for what sets databases up."""
    postgres.new_database("bare")
    return "bare"


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database that is set up and empty."""
    path = tmp_path_factory.mktemp("template") / "ledger.sqlite"
    engine = make_engine(f"sqlite:///{path}")
    migrate(engine)
    engine.dispose()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database without tables, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    server: Postgres = request.getfixturevalue("postgres")
    name: str = request.getfixturevalue("bare_postgres")
    with server.connect(name) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return server.url(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Returns the address of a database that is set up and empty at every call, once of each kind."""
    if request.param == "sqlite":
        template: Path = request.getfixturevalue("sqlite_template")

        def copy() -> str:
            folder = Path(tempfile.mkdtemp(dir=tmp_path))
            return f"sqlite:///{shutil.copy(template, folder / 'ledger.sqlite')}"

        return copy
    server: Postgres = request.getfixturevalue("postgres")
    name: str = request.getfixturevalue("migrated_postgres")

    def empty() -> str:
        with server.connect(name) as connection:
            # Emptied rather than made anew: a database takes PostgreSQL a hundred times as long.
            connection.execute("SET session_replication_role = replica")  # the journal's trigger sleeps
            names = sql.SQL(", ").join(sql.Identifier(name) for name in metadata.tables)
            connection.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY").format(names))
        return server.url(name)

    return empty


@pytest.fixture
def url(new_url: Callable[[], str]) -> str:
    """The address of a database that is set up and empty, once of each kind."""
    return new_url()


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """An engine on that database."""
    made = make_engine(url)
    yield made
    made.dispose()


@pytest.fixture
def ledger(engine: Engine, clock: Clock) -> Ledger:
    """A ledger on that database, by the clock that the test turns."""
    return Ledger(engine, clock)


# A hub -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["hub-6", "hub-5"])
def hub_library(request: pytest.FixtureRequest) -> Path | None:
    """Where the JupyterHub is that runs, if not the tests' own: once the newer, once the older."""
    if request.param == "hub-6":
        return None
    (library,) = Path(shared_environments()).glob("tests-hub-5/lib/python3*/site-packages")
    return library


@pytest.fixture(scope="module")
def hub(
    hub_library: Path | None, tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> Iterator[Hub]:
    """A real JupyterHub, started once for a module's tests; once of each version."""
    folder = tmp_path_factory.mktemp("hub")
    database = shutil.copy(sqlite_template, folder / "ledger.sqlite")
    database_url = f"sqlite:///{database}"
    engine = make_engine(database_url)
    made = new_hub(folder, database_url, Ledger(engine), library=hub_library)
    try:
        made.start()
        assert made.version.startswith("5." if hub_library else "6.")
        yield made
    finally:
        made.close()
        engine.dispose()
