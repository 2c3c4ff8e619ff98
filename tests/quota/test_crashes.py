"""Processes that are killed at any moment, and databases that fall over under them: what is left adds up.

Each test prints its seed. With the same seed the processes ask for the same things; where the kills hit them is up
to the machine.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import pytest
from hubquota.services.ledger import Ledger
from hubquota.storage.engine import make_engine
from hubquota.storage.tables import entry
from sqlalchemy import Engine, select
from sqlalchemy.exc import OperationalError

from tests.quota.support import HERE, Postgres, eventually, reconcile

ACCOUNTS = ("ada", "bob", "survey")

#: How many kills, and how long the processes are left alone before each, in seconds at most.
KILLS, PEACE = 25, 0.15


class Crowd:
    """Processes that act on one ledger, to be killed."""

    def __init__(self, url: str, notes: Path, seed: int) -> None:
        self.dice = Random(seed)
        self._numbers = iter(range(1_000_000))
        self._source = subprocess.Popen(
            [sys.executable, str(HERE / "crasher.py"), url, str(notes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        self._answer("ready\n")
        self.pids: list[int] = []

    def add(self) -> None:
        """Let another process act."""
        assert self._source.stdin is not None
        self._source.stdin.write(f"p{next(self._numbers)} {self.dice.randint(0, 2**32)}\n")
        self._source.stdin.flush()
        self.pids.append(int(self._answer()))

    def kill(self) -> None:
        """Kill one of them, wherever it is."""
        victim = self.dice.choice(self.pids)
        self.pids.remove(victim)
        os.kill(victim, signal.SIGKILL)

    def end(self) -> None:
        """Kill them all."""
        while self.pids:
            self.kill()
        self._source.kill()
        self._source.wait()

    def _answer(self, expected: str | None = None) -> str:
        assert self._source.stdout is not None
        line = self._source.stdout.readline()
        assert line == expected or (expected is None and line), line
        return line


@contextmanager
def crowd(url: str, notes: Path, seed: int) -> Iterator[Crowd]:
    print(f"seed {seed}")
    found = Crowd(url, notes, seed)
    try:
        for _ in range(3):
            found.add()
        yield found
    finally:
        found.end()


@pytest.fixture
def prepared(url: str) -> Iterator[tuple[Engine, Ledger]]:
    """A ledger with somebody who has little, somebody who has more, and a project, by the real clock."""
    engine = make_engine(url, timeout=20)
    ledger = Ledger(engine)
    ledger.open_account("ada", "explorer", 900_000, actor="test")
    ledger.open_account("bob", "explorer", 20_000, actor="test")
    ledger.open_project("survey", "explorer", pi="ada", actor="test")
    ledger.grant("survey", 700_000, actor="test", reason="x", key="first")
    yield engine, ledger
    engine.dispose()


def check(ledger: Ledger) -> None:
    """See that whatever is there adds up, and that nothing is set aside that was not granted."""
    assert ledger.verify() == []
    for name in ACCOUNTS:
        for allocation in ledger.allocations(name):
            assert 0 <= allocation.held <= allocation.balance, allocation


def wait_for_work(ledger: Ledger, notes: Path) -> None:
    """Let the processes be until there is something to check."""

    def enough() -> bool:
        ended = sum(lease.started_at is not None for name in ACCOUNTS for lease in ledger.statement(name).ended)
        return ended > 10 and len(notes.read_text().split()) > 10

    eventually(enough, "leases that ran and acts that were answered")


def check_in_the_end(engine: Engine, ledger: Ledger, notes: Path) -> None:
    """See that everything is closed, exact, and as it was answered."""
    alive = {lease.id: lease.last_alive for lease in ledger.open_leases()}
    reconcile(ledger)
    check(ledger)
    assert ledger.open_leases() == []
    started = 0
    for name in ACCOUNTS:
        statement = ledger.statement(name, limit=100_000)
        assert statement.balance.set_aside == statement.balance.accrued == 0
        charged = dict.fromkeys((lease.id for lease in statement.ended), 0)
        for line in statement.entries:
            if line.kind == "charge":
                assert line.lease_id is not None
                charged[line.lease_id] -= line.amount
        for lease in statement.ended:
            segments = ledger.segments(lease.id)
            ran = [(one.rate, one.start, one.end) for one in segments]
            cost = sum(rate * int((end - start).total_seconds()) for rate, start, end in ran if end is not None)
            assert lease.charged == charged[lease.id] == cost
            started += bool(segments)
            if segments:
                assert (segments[0].start, segments[-1].end) == (lease.started_at, lease.ended_at)
            if alive.get(lease.id) is not None:
                # Nobody could use it after it was last seen.
                assert lease.ended_at == alive[lease.id]
    assert started
    with engine.connect() as connection:
        keys = set(connection.scalars(select(entry.c.idempotency_key)))
    assert set(notes.read_text().split()) <= keys, "what was answered with yes is gone"


def test_processes_that_are_killed_at_any_moment_leave_a_ledger_that_adds_up(
    prepared: tuple[Engine, Ledger], url: str, tmp_path: Path, seed: int
) -> None:
    engine, ledger = prepared
    with crowd(url, tmp_path / "notes", seed) as processes:
        for number in range(KILLS):
            time.sleep(processes.dice.uniform(0, PEACE))
            processes.kill()
            if number % 5 == 0:
                check(ledger)  # while the others go on
            processes.add()
        wait_for_work(ledger, tmp_path / "notes")
    check_in_the_end(engine, ledger, tmp_path / "notes")


@pytest.fixture
def own_postgres(postgres: Postgres, migrated_postgres: str) -> Iterator[Postgres]:
    """The server, whose commits are on disk when they are answered; it runs again afterwards."""

    def commits(kept: str) -> None:
        with postgres.connect() as connection:
            connection.execute(f"ALTER DATABASE {migrated_postgres} SET synchronous_commit = {kept}")

    commits("on")
    try:
        yield postgres
    finally:
        if postgres.process is None or postgres.process.poll() is not None:
            postgres.start()
        commits("off")


def kill_backend(server: Postgres, dice: Random) -> None:
    """Kill the process of one session in the middle of a transaction. PostgreSQL then ends all sessions itself."""
    with server.connect() as connection:

        def in_a_transaction() -> list[tuple[int]]:
            return connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND datname = 'migrated' "
                "AND pid <> pg_backend_pid() AND state <> 'idle'"
            ).fetchall()

        found = eventually(in_a_transaction, "a session that is in a transaction")
        with suppress(ProcessLookupError):
            os.kill(dice.choice(found)[0], signal.SIGKILL)


def restart(server: Postgres, _dice: Random) -> None:
    """Shut the server down at once, and start it again."""
    server.stop()
    server.start()


@pytest.mark.parametrize("new_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize(("fall", "times"), [(kill_backend, 4), (restart, 2)])
def test_a_database_that_falls_over_loses_nothing_that_it_answered(
    own_postgres: Postgres,
    prepared: tuple[Engine, Ledger],
    url: str,
    fall: Callable[[Postgres, Random], None],
    times: int,
    tmp_path: Path,
    seed: int,
) -> None:
    engine, ledger = prepared
    with crowd(url, tmp_path / "notes", seed) as processes:
        for _ in range(times):
            time.sleep(processes.dice.uniform(0.2, 0.5))
            fall(own_postgres, processes.dice)
            # It takes a moment to come back, in which everybody is turned away.
            eventually(lambda: _checked(ledger), "an answer from PostgreSQL after its fall")
            processes.kill()
            processes.add()
        wait_for_work(ledger, tmp_path / "notes")
    check_in_the_end(engine, ledger, tmp_path / "notes")


def _checked(ledger: Ledger) -> bool:
    try:
        check(ledger)
    except OperationalError:
        return False
    return True
