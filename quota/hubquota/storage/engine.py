"""Connections to the ledger's database: SQLite on one machine, PostgreSQL in a cluster."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Dialect, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from hubquota.storage.prepared import send

_IMMEDIATE = "hubquota_immediate"

#: Whose turn it is, for each engine on SQLite, and how many seconds a thread waits for its own.
_turns: WeakKeyDictionary[Engine, Lock] = WeakKeyDictionary()
_TURN = 1.0


def make_engine(url: str, *, timeout: float = 5.0) -> Engine:
    """Return an engine on the ledger's database. Nothing is connected yet.

    Args:
        url: a database address, such as ``sqlite:////srv/quota/ledger.sqlite`` or
            ``postgresql+psycopg://user@host/name``.
        timeout: seconds that a connection, a lock or one statement may take before it fails.

    Raises:
        ValueError: the address is neither a SQLite file nor PostgreSQL.
    """
    parsed = make_url(url)
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        if parsed.database in (None, "", ":memory:"):
            raise ValueError("The ledger is shared by processes: give it a SQLite file, not memory.")
        # SQLite's cache is each connection's own, and what another one wrote empties it: so the one that was used
        # last is used again.
        connecting = {"timeout": timeout}
        engine = create_engine(parsed, connect_args=connecting, hide_parameters=True, pool_use_lifo=True)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    if backend == "postgresql":
        milliseconds = int(timeout * 1000)
        engine = create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args={
                "connect_timeout": max(2, int(timeout)),
                "options": f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds}",
            },
        )

        @event.listens_for(engine, "do_connect")
        def patient(_dialect: Dialect, _record: Any, arguments: Any, parameters: Any) -> Any:
            # Imported here: who keeps a ledger in SQLite need not have the driver.
            from hubquota.storage.postgres import connect

            return connect(arguments, parameters, timeout=timeout)

        return engine
    raise ValueError(f"The ledger runs on SQLite or PostgreSQL, not on {backend}.")


@contextmanager
def decision(engine: Engine, *, patience: int | None = None) -> Iterator[Connection]:
    """Open the one transaction of a decision: it reads, decides and writes before anybody else writes.

    On SQLite it takes the write lock at once, so that what was read cannot have changed at the write. On
    PostgreSQL whoever decides locks the account's row first, to the same end.

    Args:
        engine: the ledger's database.
        patience: on PostgreSQL, how many milliseconds a lock of a row is waited for, where that is less than
            the engine's own time.
    """
    with (
        _turn(engine),
        engine.connect() as connection,
        connection.execution_options(**{_IMMEDIATE: True}).begin(),
    ):
        if patience is not None and engine.dialect.name == "postgresql":
            send(connection, f"SET LOCAL lock_timeout = {int(patience)}")
        yield connection


@contextmanager
def _turn(engine: Engine) -> Iterator[None]:
    """Let this process's threads write to SQLite one after the other.

    SQLite would do so too, but whoever finds it locked sleeps for milliseconds and then tries its luck again.
    """
    lock = _turns.setdefault(engine, Lock()) if engine.dialect.name == "sqlite" else None
    # Who waits in vain goes on all the same: SQLite says then what is wrong, after its own time.
    taken = lock is not None and lock.acquire(timeout=_TURN)
    try:
        yield
    finally:
        if lock is not None and taken:
            lock.release()


@contextmanager
def reading(engine: Engine, *, patience: int | None = None) -> Iterator[Connection]:
    """Open a transaction that sees one moment of the database, however many statements it takes.

    Args:
        engine: the ledger's database.
        patience: how many seconds one statement may take on PostgreSQL, where that is another number than the
            engine's own. SQLite has no such limit.
    """
    if engine.dialect.name == "postgresql":
        engine = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with engine.connect() as connection, connection.begin():
        if patience is None or engine.dialect.name != "postgresql":
            yield connection
            return
        send(connection, f"SET LOCAL statement_timeout = {int(patience * 1000)}")
        # What waits for the answer has to be as patient.
        driver: Any = connection.connection.driver_connection
        usual = driver.longest
        driver.longest = usual + patience
        try:
            yield connection
        finally:
            driver.longest = usual


def took_too_long(error: DBAPIError) -> bool:
    """Return whether the database gave a statement up because it took longer than it may (SQLSTATE 57014)."""
    return getattr(error.orig, "sqlstate", None) == "57014"


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    # The driver would open transactions by itself, and too late; `_begin_sqlite` does it instead.
    connection.isolation_level = None
    cursor = connection.cursor()
    try:
        # Switching the journal takes a lock, so only the first connection of all does it.
        if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            # Whoever has the file locked is switching it, and SQLite does not wait for that.
            with suppress(sqlite3.OperationalError):
                cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.execute("PRAGMA foreign_keys = ON")
    finally:
        cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    immediate = connection.get_execution_options().get(_IMMEDIATE, False)
    send(connection, "BEGIN IMMEDIATE" if immediate else "BEGIN")
