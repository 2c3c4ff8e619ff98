"""Whether an admission costs the same however many accounts there are, and however long the journal is.

On SQLite, on disk, in this process. Each ledger is measured in turn with the smallest one, for accounts drawn at
random; the figure is the median of the admissions alone.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from pathlib import Path
from random import Random
from statistics import median

from hubquota.services.ledger import Ledger
from hubquota.storage.engine import make_engine

from tests.bench import history
from tests.bench.hubs import alternate
from tests.bench.rows import Row

#: So many rounds of so many admissions on each side.
ROUNDS, ADMISSIONS = 5, 300

#: How many accounts, with so many lines of the journal each time; the first is what the others are compared with.
ACCOUNTS, LINES = (100, 1_000, 10_000, 100_000), 200_000

#: How many lines of the journal, with so many accounts each time; and beyond, where a benchmark may take minutes.
JOURNALS, FEW = (10_000, 100_000, 1_000_000), 100
LONGEST = 10_000_000

GOAL = "<= 1.5"


def measure() -> list[Row]:
    """Measure with up to 100,000 accounts, and with up to a million lines."""
    accounts = [
        _compare(f"admission-growth: {number:,} accounts", (ACCOUNTS[0], LINES), (number, LINES))
        for number in ACCOUNTS[1:]
    ]
    journals = [
        _compare(f"admission-growth: {lines:,} lines of the journal", (FEW, JOURNALS[0]), (FEW, lines))
        for lines in JOURNALS[1:]
    ]
    return accounts + journals


def measure_full() -> list[Row]:
    """Measure with ten million lines: making them takes minutes and three gigabytes of disk."""
    name = f"admission-growth-full: {LONGEST:,} lines of the journal"
    return [_compare(name, (FEW, JOURNALS[0]), (FEW, LONGEST))]


def _compare(name: str, small: tuple[int, int], big: tuple[int, int]) -> Row:
    with tempfile.TemporaryDirectory(prefix="romanhub-bench-", dir="/var/tmp") as folder:
        few, many = (
            _Side(Path(folder) / f"{which}.sqlite", *size) for which, size in (("small", small), ("big", big))
        )
        for side in (few, many):
            side.admit()
        mine, theirs = alternate(many.admit, few.admit, ROUNDS)
        for side in (few, many):
            side.engine.dispose()
    return Row(
        name=name,
        value=1e6 * median(itertools.chain(*mine)),
        unit="µs",
        against=f"{small[0]:,} accounts, {small[1]:,} lines",
        versus=1e6 * median(itertools.chain(*theirs)),
        goal=GOAL,
        runs=ROUNDS * ADMISSIONS,
    )


class _Side:
    """A ledger of a size, and how long admissions take there."""

    def __init__(self, path: Path, accounts: int, lines: int) -> None:
        self.engine = make_engine(history.make(path, accounts=accounts, entries=lines))
        self._ledger = Ledger(self.engine)
        self._accounts = accounts
        self._dice = Random(accounts)
        self._numbers = itertools.count()

    def admit(self) -> list[float]:
        """Admit, and cancel again outside of the figure; return the seconds of each admission."""
        times: list[float] = []
        for _ in range(ADMISSIONS):
            name = f"user-{self._dice.randint(1, self._accounts):06}"
            key = f"server:{name}/{next(self._numbers)}"
            started = time.perf_counter()
            lease = self._ledger.admit(name, kind="server", key=key, label="Small server", rate=history.RATE)
            times.append(time.perf_counter() - started)
            self._ledger.cancel(lease.id, "The benchmark is over.")
        return times
