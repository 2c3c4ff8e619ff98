"""Asynchronous jobs (UWS 1.1), kept in a small SQLite table; their results are files beside it."""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

Phase = Literal["PENDING", "QUEUED", "EXECUTING", "COMPLETED", "ERROR", "ABORTED"]
ACTIVE: tuple[Phase, ...] = ("PENDING", "QUEUED", "EXECUTING")
ENDED: tuple[Phase, ...] = ("COMPLETED", "ERROR", "ABORTED")

_TABLE = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, phase TEXT NOT NULL, run_id TEXT, created TEXT NOT NULL,
    started TEXT, ended TEXT, destruction TEXT NOT NULL, seconds INTEGER NOT NULL, params TEXT NOT NULL,
    error TEXT, media_type TEXT, ending TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS jobs_by_owner ON jobs (owner, created);
CREATE INDEX IF NOT EXISTS jobs_by_destruction ON jobs (destruction);
"""


class UnknownJobError(Exception):
    """There is no such job, or it is somebody else's."""


class JobStateError(Exception):
    """A job cannot do that in the phase that it is in, or there are too many; the message says what to do."""


@dataclass(frozen=True)
class Job:
    """One job."""

    id: str
    owner: str
    phase: Phase
    run_id: str | None
    created: datetime
    started: datetime | None
    ended: datetime | None
    #: When it is removed, with its result.
    destruction: datetime
    #: How long it may run.
    seconds: int
    params: tuple[tuple[str, str], ...]
    error: str | None = None
    #: Of the result.
    media_type: str | None = None
    ending: str | None = None


class Jobs:
    """The jobs of everybody. Each method is one transaction and takes milliseconds; call them from threads."""

    def __init__(self, folder: Path, *, clock: Callable[[], datetime], most_each: int, keep: timedelta) -> None:
        """Open the jobs in a folder, which is made; what ran when the service ended last has failed."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder, self._clock, self._most, self._keep = folder, clock, most_each, keep
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(folder / "jobs.sqlite", check_same_thread=False, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.executescript(_TABLE)
        with self._transaction() as connection:
            connection.execute(
                "UPDATE jobs SET phase = 'ERROR', ended = ?, error = ? WHERE phase IN ('QUEUED', 'EXECUTING')",
                (self._now(), "The service was started anew while the job ran. Start it again as a new job."),
            )

    def close(self) -> None:
        """Close the table."""
        with self._lock:
            self._connection.close()

    def create(self, owner: str, params: Sequence[tuple[str, str]], *, seconds: int, run_id: str | None) -> Job:
        """Return a new job. Raises JobStateError where its owner has as many as one may."""
        now = self._clock()
        number = secrets.token_hex(8)
        with self._transaction() as connection:
            [count] = connection.execute("SELECT count(*) FROM jobs WHERE owner = ?", (owner,)).fetchone()
            if count >= self._most:
                raise JobStateError(
                    f"You have {count} jobs, as many as one may keep. Delete some of them, or wait until they "
                    "are removed."
                )
            connection.execute(
                "INSERT INTO jobs (id, owner, phase, run_id, created, destruction, seconds, params) "
                "VALUES (?, ?, 'PENDING', ?, ?, ?, ?, ?)",
                (number, owner, run_id, _text(now), _text(now + self._keep), seconds, json.dumps(list(params))),
            )
        return self.get(owner, number)

    def get(self, owner: str, number: str) -> Job:
        """Return a job of its owner's. Raises UnknownJobError."""
        with self._transaction() as connection:
            return self._get(connection, owner, number)

    def of_owner(self, owner: str) -> list[Job]:
        """Return somebody's jobs, the latest first."""
        with self._transaction() as connection:
            rows = connection.execute("SELECT * FROM jobs WHERE owner = ? ORDER BY created DESC, id", (owner,))
            return [_job(row) for row in rows]

    def queue(self, owner: str, number: str) -> Job:
        """Have a job that is being set up wait for its turn. Raises UnknownJobError, JobStateError."""
        return self._move(owner, number, ("PENDING",), "QUEUED")

    def begin(self, owner: str, number: str) -> Job:
        """Note that a job runs. Raises JobStateError where it was aborted before."""
        return self._move(owner, number, ("QUEUED",), "EXECUTING", started=self._now())

    def complete(self, owner: str, number: str, content: bytes, *, media_type: str, ending: str) -> Job:
        """Keep a job's result. Raises JobStateError where it was aborted, UnknownJobError where it was deleted."""
        new = self._folder / f"{number}.{secrets.token_hex(4)}.new"
        new.write_bytes(content)
        new.chmod(0o600)
        try:
            with self._transaction() as connection:
                if (job := self._get(connection, owner, number)).phase != "EXECUTING":
                    raise JobStateError(f"The job is {job.phase} and cannot become COMPLETED.")
                new.replace(self.result_path(number))
                connection.execute(
                    "UPDATE jobs SET phase = 'COMPLETED', ended = ?, media_type = ?, ending = ? WHERE id = ?",
                    (self._now(), media_type, ending, number),
                )
                return self._get(connection, owner, number)
        finally:
            new.unlink(missing_ok=True)

    def fail(self, owner: str, number: str, message: str) -> Job:
        """Note why a job failed."""
        return self._move(owner, number, ("QUEUED", "EXECUTING"), "ERROR", ended=self._now(), error=message)

    def abort(self, owner: str, number: str) -> Job:
        """Note that a job was taken back; one that has ended stays as it is."""
        with self._transaction() as connection:
            job = self._get(connection, owner, number)
            if job.phase in ACTIVE:
                connection.execute(
                    "UPDATE jobs SET phase = 'ABORTED', ended = ? WHERE id = ?", (self._now(), number)
                )
            return self._get(connection, owner, number)

    def change(
        self,
        owner: str,
        number: str,
        *,
        destruction: datetime | None = None,
        seconds: int | None = None,
        params: Sequence[tuple[str, str]] | None = None,
    ) -> Job:
        """Change what can be changed: the destruction at any time, the rest while the job is being set up."""
        with self._transaction() as connection:
            job = self._get(connection, owner, number)
            if (seconds is not None or params is not None) and job.phase != "PENDING":
                raise JobStateError(f"The job is {job.phase}; it can be changed only before it is started.")
            latest = job.created + self._keep
            changed = replace(
                job,
                destruction=job.destruction if destruction is None else min(destruction, latest),
                seconds=job.seconds if seconds is None else seconds,
                params=job.params if params is None else tuple(params),
            )
            connection.execute(
                "UPDATE jobs SET destruction = ?, seconds = ?, params = ? WHERE id = ?",
                (_text(changed.destruction), changed.seconds, json.dumps(changed.params), number),
            )
        return changed

    def delete(self, owner: str, number: str) -> None:
        """Remove a job and its result."""
        with self._transaction() as connection:
            self._get(connection, owner, number)
            connection.execute("DELETE FROM jobs WHERE id = ?", (number,))
        self._remove(number)

    def expire(self) -> list[str]:
        """Remove the jobs whose time has come; returns their numbers."""
        with self._transaction() as connection:
            rows = connection.execute("SELECT id FROM jobs WHERE destruction <= ?", (self._now(),)).fetchall()
            gone = [str(row["id"]) for row in rows]
            connection.executemany("DELETE FROM jobs WHERE id = ?", [(number,) for number in gone])
        for number in gone:
            self._remove(number)
        return gone

    def result_path(self, number: str) -> Path:
        """Return the file of a job's result."""
        return self._folder / f"{number}.result"

    def upload_path(self, number: str, part: str) -> Path:
        """Return the file of a table that came along with a job; `part` is the name of its part."""
        return self._folder / f"{number}.{part.encode().hex()[:120]}.upload"

    def _remove(self, number: str) -> None:
        for path in self._folder.glob(f"{number}.*"):
            path.unlink(missing_ok=True)

    def _move(self, owner: str, number: str, before: tuple[Phase, ...], after: Phase, **also: str) -> Job:
        with self._transaction() as connection:
            job = self._get(connection, owner, number)
            if job.phase not in before:
                raise JobStateError(f"The job is {job.phase} and cannot become {after}.")
            sets = "".join(f", {name} = ?" for name in also)
            connection.execute(
                f"UPDATE jobs SET phase = ?{sets} WHERE id = ?",  # noqa: S608  -- names of columns, written above
                (after, *also.values(), number),
            )
            return self._get(connection, owner, number)

    def _get(self, connection: sqlite3.Connection, owner: str, number: str) -> Job:
        row = connection.execute("SELECT * FROM jobs WHERE id = ? AND owner = ?", (number, owner)).fetchone()
        if row is None:
            raise UnknownJobError(f"You have no job {number}. It may have been deleted, or its time has come.")
        return _job(row)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def _now(self) -> str:
        return _text(self._clock())


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _job(row: sqlite3.Row) -> Job:
    values = dict(row)
    values["params"] = tuple((name, value) for name, value in json.loads(values["params"]))
    for name in ("created", "started", "ended", "destruction"):
        values[name] = _moment(values[name])
    return Job(**values)
