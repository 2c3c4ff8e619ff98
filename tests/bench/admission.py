"""What one decision of the ledger costs on SQLite, in this very process.

A decision is an admission, its begin and its close with a charge: three transactions. It is compared with the
least that any ledger could do: one immediate transaction of the bare `sqlite3`, which updates one balance and
inserts one line. Both databases are on disk and write ahead.
"""

from __future__ import annotations

import itertools
import sqlite3
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from hubquota.services.ledger import Ledger
from hubquota.storage.engine import make_engine
from hubquota.storage.migrate import migrate

from tests.bench.hubs import alternate
from tests.bench.rows import Row

#: So many rounds of so many decisions on each side.
ROUNDS, DECISIONS = 5, 400

#: Units a second; a size at 0.04 credits an hour has this rate (see `hubquota.models.money`).
RATE = 40_000

#: More than the benchmark can spend, in units.
BUDGET = 10**15

_BARE = """
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
    CREATE TABLE entry (id INTEGER PRIMARY KEY, account_id INTEGER NOT NULL, amount INTEGER NOT NULL);
    INSERT INTO account VALUES (1, 0);
"""


def measure() -> list[Row]:
    """Take decisions on our ledger and bare transactions in turn."""
    with tempfile.TemporaryDirectory(prefix="romanhub-bench-", dir="/var/tmp") as name:
        folder = Path(name)
        ledger = _ledger(folder / "ledger.sqlite")
        transact = bare(folder / "bare.sqlite")
        numbers = itertools.count()
        admissions: list[float] = []

        def decide() -> None:
            started = time.perf_counter()
            lease = ledger.admit(
                "ada", kind="server", key=f"server:ada/{next(numbers)}", label="Small server", rate=RATE
            )
            admissions.append(time.perf_counter() - started)
            ledger.begin(lease.id)
            ledger.close(lease.id, reason="The server was stopped.")

        for _ in range(DECISIONS // 10):
            decide()
            transact()
        admissions.clear()
        mine, theirs = alternate(lambda: _times(decide), lambda: _times(transact), ROUNDS)
        if wrong := ledger.verify():
            raise AssertionError(f"The ledger does not add up: {wrong}")
    whole, least = [time for times in mine for time in times], [time for times in theirs for time in times]
    against = "one bare sqlite3 transaction"
    runs = ROUNDS * DECISIONS
    return [
        Row(
            name="admission-sqlite",
            value=1e6 * median(whole), versus=1e6 * median(least),
            unit="µs", against=against, runs=runs,
        ),
        Row(
            name="admission-sqlite: the admission alone",
            value=1e6 * median(admissions), versus=1e6 * median(least),
            unit="µs", against=against, runs=runs,
        ),
        Row(
            name="admission-sqlite: decisions",
            value=len(whole) / sum(whole), versus=len(least) / sum(least),
            unit="a second", against=against, runs=runs,
        ),
    ]  # fmt: skip


def _ledger(path: Path) -> Ledger:
    """A ledger with one account, whose clock moves on by a second whenever it is read: every close charges."""
    engine = make_engine(f"sqlite:///{path}")
    migrate(engine)
    ticks = itertools.count()
    began = datetime(2026, 1, 1, tzinfo=UTC)
    ledger = Ledger(engine, clock=lambda: began + timedelta(seconds=next(ticks)))
    ledger.open_account("ada", "explorer", BUDGET, actor="benchmark")
    return ledger


def bare(path: Path) -> Callable[[], None]:
    """The least that any ledger could do, on a database of its own."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(_BARE)

    def transact() -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE account SET balance = balance - ? WHERE id = 1", (RATE,))
        connection.execute("INSERT INTO entry (account_id, amount) VALUES (1, ?)", (-RATE,))
        connection.execute("COMMIT")

    return transact


def _times(act: Callable[[], None]) -> list[float]:
    """How long each of one round's acts took, in seconds."""
    times = []
    for _ in range(DECISIONS):
        started = time.perf_counter()
        act()
        times.append(time.perf_counter() - started)
    return times
