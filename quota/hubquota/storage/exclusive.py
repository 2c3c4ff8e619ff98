"""Work that takes longer than a transaction, and that only one process does at a time."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, text

#: How many files stand for the locks of a SQLite database.
_FILES = 64


@contextmanager
def exclusively(engine: Engine, kind: int, number: int) -> Iterator[bool]:
    """Yield whether nobody else is at work on a thing; while it is open, nobody else is.

    The lock ends with the process that has it, however that ends: on PostgreSQL it belongs to a connection,
    beside a SQLite file to an open file.

    Args:
        engine: the ledger's database.
        kind: what sort of thing; a number below 2³¹ that the caller chose.
        number: which one.
    """
    if engine.dialect.name == "postgresql":
        with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            lock = {"kind": kind, "number": number % 2**31}
            got = connection.execute(text("SELECT pg_try_advisory_lock(:kind, :number)"), lock).scalar_one()
            try:
                yield bool(got)
            finally:
                if got:
                    connection.execute(text("SELECT pg_advisory_unlock(:kind, :number)"), lock)
        return
    folder = Path(f"{engine.url.database}-locks")
    folder.mkdir(mode=0o700, exist_ok=True)
    # A few files for all things: two that share one wait for each other, which is harmless.
    with (folder / f"{kind:x}-{number % _FILES}").open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
