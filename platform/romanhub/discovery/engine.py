"""Runs queries on the store: locked up, with limits of time, memory and rows."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow as pa

from romanhub.discovery import functions
from romanhub.discovery.store import Place
from romanhub.discovery.tables import Contents

#: What makes the database a room without doors: no files, no network, no extensions, no names of Python's, and no
#: way to change any of it. It is set once the store's file is open.
_LOCKED = (
    "enable_external_access = false",
    "autoinstall_known_extensions = false",
    "autoload_known_extensions = false",
    "allow_community_extensions = false",
    "python_enable_replacements = false",
    "lock_configuration = true",
)


class QueryFailedError(Exception):
    """The database could not answer; the message says why in words that its sender can use."""


class TooLongError(QueryFailedError):
    """The query took longer than it may."""


class CancelledError(QueryFailedError):
    """The query was taken back while it ran."""


class NotReadyError(Exception):
    """There is no index yet."""


@dataclass(frozen=True)
class Limits:
    """What one query may take."""

    seconds: float
    rows: int


@dataclass
class Statement:
    """A statement of the database's own SQL, with what it reads beside the store."""

    sql: str
    parameters: Sequence[Any] = ()
    #: Tables that exist for this statement alone, by the names that it knows them by.
    beside: Mapping[str, pa.Table] = field(default_factory=dict)


class Stop:
    """Stops a query that runs, or is about to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self.reason: type[QueryFailedError] | None = None

    def now(self, reason: type[QueryFailedError] = CancelledError) -> None:
        """Stop the query; without one, the next one does not start."""
        with self._lock:
            self.reason = self.reason or reason
            if self._connection is not None:
                self._connection.interrupt()

    @contextmanager
    def watching(self, connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """Have `now` stop what runs on the connection. Raises CancelledError where it was called before."""
        with self._lock:
            if self.reason is not None:
                raise self.reason("The query was taken back.")
            self._connection = connection
        try:
            yield
        finally:
            with self._lock:
                self._connection = None


class Store:
    """One store, open for reading."""

    def __init__(self, path: str, *, threads: int, memory: str) -> None:
        # A query that needs more memory than it may fails; it never fills the disk instead.
        settings: dict[str, Any] = {"threads": threads, "memory_limit": memory, "temp_directory": ""}
        self.connection = duckdb.connect(path, read_only=True, config=settings)
        functions.register(self.connection)
        for locked in _LOCKED:
            self.connection.execute(f"SET {locked}")
        row: Any = self.connection.execute("SELECT document FROM contents").fetchone()
        self.contents = Contents.model_validate_json(row[0])

    def close(self) -> None:
        """Close the store once the queries on it have ended."""
        self.connection.close()


class Engine:
    """The current store. Its methods wait; call them from threads."""

    def __init__(self, place: Place, *, threads: int, memory: str) -> None:
        self._place, self._threads, self._memory = place, threads, memory
        self._lock = threading.Lock()
        self._store: Store | None = None
        self._stamp: tuple[int, int] | None = None

    def store(self) -> Store:
        """Return the current store, opened anew where another has become current. Raises NotReadyError."""
        with self._lock:
            try:
                status = self._place.pointer.stat()
            except FileNotFoundError:
                raise NotReadyError("The archive's index has not been built yet.") from None
            stamp = status.st_mtime_ns, status.st_ino
            if self._store is None or stamp != self._stamp:
                current = self._place.current()
                if current is None:
                    raise NotReadyError("The archive's index has not been built yet.")
                path = str(self._place.root / current.store)
                # What still runs on the one before keeps it open.
                self._store = Store(path, threads=self._threads, memory=self._memory)
                self._stamp = stamp
            return self._store

    def run(self, store: Store, statement: Statement, limits: Limits, stop: Stop | None = None) -> pa.Table:
        """Run one statement and return its rows.

        Raises QueryFailedError, TooLongError, CancelledError.
        """
        stop = stop or Stop()
        cursor = store.connection.cursor()
        clock = threading.Timer(limits.seconds, stop.now, [TooLongError])
        clock.daemon = True
        try:
            for name, table in statement.beside.items():
                cursor.register(name, table)
            with stop.watching(cursor):
                clock.start()
                relation = cursor.sql(statement.sql, params=list(statement.parameters))
                found: pa.Table = relation.to_arrow_table()
                return found
        except duckdb.InterruptException:
            if stop.reason is TooLongError:
                raise TooLongError(
                    f"The query took longer than the {limits.seconds:.0f} seconds that it may. Ask for a smaller "
                    "part of the sky or fewer columns, or run it as an asynchronous job, which may take longer."
                ) from None
            raise CancelledError("The query was taken back.") from None
        except duckdb.OutOfMemoryException:
            raise QueryFailedError(
                "The query needs more memory than one query may have. Ask for a smaller part of the sky, fewer "
                "columns, or sort less."
            ) from None
        except duckdb.Error as error:
            raise QueryFailedError(f"The query could not be run: {_first_line(error)}") from None
        finally:
            clock.cancel()
            cursor.close()


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
