"""The hub's own notes for while the ledger's database does not answer: a file beside the hub.

It has what the hub started then, and of whom the ledger said last that they may start nothing, or no more than a
clean-up server. It is a SQLite database that is synchronised with the disk at every note, so that what a user was
allowed is known after any crash of the hub, and so is what has still to be written to the ledger.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from hubquota.models.ledger import Refusal
from hubquota.models.stops import EndKind
from hubquota.storage.times import moment, seconds

_TABLES = (
    """
CREATE TABLE IF NOT EXISTS allowed (
    id TEXT PRIMARY KEY,
    person TEXT NOT NULL,
    key TEXT NOT NULL,
    tier TEXT NOT NULL,
    label TEXT NOT NULL,
    rate INTEGER NOT NULL,
    allowed_at INTEGER NOT NULL,
    stop_at INTEGER NOT NULL,
    started_at INTEGER,
    ended_at INTEGER,
    reason TEXT,
    end_kind TEXT,
    posted_at INTEGER
)
""",
    """
CREATE TABLE IF NOT EXISTS refusal (
    person TEXT PRIMARY KEY,
    "limit" TEXT NOT NULL,
    message TEXT NOT NULL,
    clean_up INTEGER NOT NULL
)
""",
)
_WAITING = """
SELECT id, person, key, tier, label, rate, stop_at, started_at, ended_at, reason, end_kind
FROM allowed
WHERE posted_at IS NULL AND (person = ? OR ? IS NULL) AND ((key = ? AND ended_at IS NULL) OR ? IS NULL)
ORDER BY allowed_at, rowid
"""


@dataclass(frozen=True, slots=True)
class Allowed:
    """A start that the hub allowed without the ledger."""

    id: str
    person: str
    key: str
    #: The tier that the rules say for the person; for an account that is to be opened.
    tier: str
    label: str
    #: Units a second while it runs.
    rate: int
    #: When it is stopped at the latest, while the ledger does not know of it.
    stop_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    reason: str | None
    end_kind: EndKind | None


class AllowanceFile:
    """The file. Threads and processes may share it; every method is one transaction."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def allow(
        self,
        *,
        person: str,
        key: str,
        tier: str,
        label: str,
        rate: int,
        starts: int,
        now: datetime,
        stop_at: datetime,
    ) -> Allowed | None:
        """Note a start, or return None if as many of the person's wait to be written to the ledger already.

        Raises:
            sqlite3.Error: the file cannot be written.
        """
        with self._open() as connection:
            waiting = "SELECT count(*) FROM allowed WHERE person = ? AND posted_at IS NULL"
            if connection.execute(waiting, (person,)).fetchone()[0] >= starts:
                return None
            number = uuid4().hex
            connection.execute(
                "INSERT INTO allowed (id, person, key, tier, label, rate, allowed_at, stop_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (number, person, key, tier, label, rate, seconds(now), seconds(stop_at)),
            )
        return Allowed(number, person, key, tier, label, rate, stop_at, None, None, None, None)

    def begin(self, number: str, at: datetime) -> None:
        """Note since when it runs."""
        with self._open() as connection:
            connection.execute("UPDATE allowed SET started_at = ? WHERE id = ?", (seconds(at), number))

    def end(self, number: str, at: datetime, *, reason: str, kind: EndKind) -> None:
        """Note until when it ran, and why it ended. What never began is forgotten: there is nothing to write."""
        with self._open() as connection:
            connection.execute("DELETE FROM allowed WHERE id = ? AND started_at IS NULL", (number,))
            connection.execute(
                "UPDATE allowed SET ended_at = max(started_at, ?), reason = ?, end_kind = ? "
                "WHERE id = ? AND ended_at IS NULL",
                (seconds(at), reason, kind, number),
            )

    def waiting(self, *, person: str | None = None, key: str | None = None) -> list[Allowed]:
        """Return what the ledger does not know of yet, in order: all, a person's, or what runs under a key."""
        if not self.path.exists():
            return []
        with self._open() as connection:
            rows = connection.execute(_WAITING, (person, person, key, key)).fetchall()
        return [_view(row) for row in rows]

    def posted(self, allowed: Allowed, now: datetime) -> bool:
        """Note that the ledger knows of it as it was. Return False if it has ended meanwhile."""
        with self._open() as connection:
            changed = connection.execute(
                "UPDATE allowed SET posted_at = ? WHERE id = ? AND ended_at IS ?",
                (seconds(now), allowed.id, None if allowed.ended_at is None else seconds(allowed.ended_at)),
            ).rowcount
        return changed == 1

    def refusals(self) -> dict[str, Refusal]:
        """Return what the ledger said last of those who may not start as anybody, by their names.

        Raises:
            sqlite3.Error: the file cannot be read.
        """
        if not self.path.exists():
            return {}
        with self._open() as connection:
            rows = connection.execute('SELECT person, "limit", message, clean_up FROM refusal').fetchall()
        return {person: Refusal(limit, message, bool(clean_up)) for person, limit, message, clean_up in rows}

    def note(self, person: str, refusal: Refusal | None) -> None:
        """Note what the ledger said of somebody; None that they may start as anybody.

        Raises:
            sqlite3.Error: the file cannot be written.
        """
        with self._open() as connection:
            connection.execute("DELETE FROM refusal WHERE person = ?", (person,))
            if refusal is not None:
                values = (person, refusal.limit, refusal.message, refusal.clean_up)
                connection.execute("INSERT INTO refusal VALUES (?, ?, ?, ?)", values)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self.path, timeout=5, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN IMMEDIATE")
            for table in _TABLES:
                connection.execute(table)
            yield connection
            connection.execute("COMMIT")
        finally:
            connection.close()


def _view(row: tuple[str, str, str, str, str, int, int, int | None, int | None, str | None, EndKind]) -> Allowed:
    number, person, key, tier, label, rate, stop_at, started_at, ended_at, reason, kind = row
    return Allowed(
        number, person, key, tier, label, rate, moment(stop_at), moment(started_at), moment(ended_at), reason, kind
    )
