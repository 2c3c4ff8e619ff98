"""Many at once, on both databases: by threads, and by processes."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from hubquota.models.ledger import Refused
from hubquota.models.money import rate_of, to_units
from hubquota.services.ledger import Ledger
from hubquota.storage.engine import make_engine

from tests.quota.support import HERE, Clock

RATE = rate_of("0.15")
NEEDED = RATE * 600


def together(number: int, act: Callable[[int], object]) -> list[object]:
    """Let so many threads act at one moment; return what each returned, or the refusal."""
    start = threading.Barrier(number)

    def racer(index: int) -> object:
        start.wait()
        try:
            return act(index)
        except Refused as refused:
            return refused

    with ThreadPoolExecutor(number) as threads:
        return list(threads.map(racer, range(number)))


@pytest.fixture
def busy_ledger(url: str) -> Ledger:
    """A ledger by the real clock, patient enough for a crowd."""
    return Ledger(make_engine(url, timeout=300))


@pytest.mark.parametrize("room", [1, 3])
def test_of_many_threads_as_many_start_as_the_balance_has_room_for(busy_ledger: Ledger, room: int) -> None:
    busy_ledger.open_account("ada", "explorer", NEEDED * (room + 1) - 1, actor="test")
    outcomes = together(
        12,
        lambda index: busy_ledger.admit(
            "ada", kind="server", key=f"server:ada/{index}", label="A server", rate=RATE
        ),
    )
    refusals = [outcome for outcome in outcomes if isinstance(outcome, Refused)]
    assert len(outcomes) - len(refusals) == room == len(busy_ledger.open_leases())
    assert {refusal.limit for refusal in refusals} == {"budget"}


def test_of_many_threads_one_gets_the_key(busy_ledger: Ledger) -> None:
    busy_ledger.open_account("ada", "explorer", to_units(50), actor="test")
    outcomes = together(
        8,
        lambda _: busy_ledger.admit("ada", kind="server", key="server:ada/", label="A server", rate=RATE),
    )
    assert sum(not isinstance(outcome, Refused) for outcome in outcomes) == 1


def test_a_limit_holds_against_many_threads(busy_ledger: Ledger) -> None:
    busy_ledger.open_account("ada", "explorer", to_units(50), actor="test")
    together(
        12,
        lambda index: busy_ledger.admit(
            "ada", kind="dask-worker", key=f"dask-worker:{index}", label="A worker", rate=RATE, limit=4
        ),
    )
    assert len(busy_ledger.open_leases()) == 4


def test_an_account_that_many_open_is_granted_one_budget(busy_ledger: Ledger) -> None:
    together(8, lambda _: busy_ledger.open_account("ada", "explorer", to_units(50), actor="test"))
    assert busy_ledger.balance("ada").posted == to_units(50)


def test_a_grant_and_a_close_that_many_ask_for_count_once(busy_ledger: Ledger) -> None:
    busy_ledger.open_account("ada", "explorer", to_units(1), actor="test")
    lease = busy_ledger.admit("ada", kind="server", key="server:ada/", label="A server", rate=RATE)
    busy_ledger.begin(lease.id)

    def act(index: int) -> object:
        if index % 3 == 0:
            return busy_ledger.grant("ada", to_units(1), actor="test", reason="x", key="once")
        if index % 3 == 1:
            return busy_ledger.close(lease.id, reason="x")
        return busy_ledger.seen([lease.key])

    together(12, act)
    closed = busy_ledger.lease(lease.id)
    assert closed is not None
    assert busy_ledger.balance("ada").posted == to_units(2) - closed.charged
    assert busy_ledger.verify() == []


def test_threads_that_do_everything_at_once_neither_block_nor_break_anything(busy_ledger: Ledger) -> None:
    for name in ("ada", "bob"):
        busy_ledger.open_account(name, "explorer", to_units(50), actor="test")

    def act(index: int) -> object:
        name = ("ada", "bob")[index % 2]
        for number in range(6):
            key = f"server:{name}/{index}-{number}"
            lease = busy_ledger.admit(name, kind="server", key=key, label="A server", rate=RATE)
            busy_ledger.begin(lease.id)
            # Keys of both accounts, in another order in every thread.
            keys = [open_lease.key for open_lease in busy_ledger.open_leases()]
            busy_ledger.seen(keys if index % 3 else reversed(keys))
            busy_ledger.close(lease.id, reason="x")
            busy_ledger.statement(name)
        return None

    assert together(6, act) == [None] * 6
    assert busy_ledger.open_leases() == []
    assert busy_ledger.verify() == []


def test_transfers_both_ways_and_starts_at_once_neither_block_nor_lose_anything(busy_ledger: Ledger) -> None:
    for name in ("ada", "bob"):
        busy_ledger.open_account(name, "explorer", NEEDED * 10, actor="test")
    ada, bob = (busy_ledger.allocations(name)[0].id for name in ("ada", "bob"))

    def act(index: int) -> None:
        name, pair = (("ada", (ada, bob)), ("bob", (bob, ada)))[index % 2]
        for number in range(5):
            busy_ledger.transfer(*pair, NEEDED // 7, actor="test", reason="x", key=f"{index}-{number}")
            key = f"server:{name}/{index}-{number}"
            lease = busy_ledger.admit(name, kind="server", key=key, label="A server", rate=RATE)
            busy_ledger.begin(lease.id)
            busy_ledger.extend(lease.id, ahead=601)
            busy_ledger.sweep()
            busy_ledger.close(lease.id, reason="x")

    assert together(6, act) == [None] * 6
    charged = sum(lease.charged for name in ("ada", "bob") for lease in busy_ledger.statement(name).ended)
    assert sum(busy_ledger.balance(name).posted for name in ("ada", "bob")) == NEEDED * 20 - charged
    assert busy_ledger.verify() == []


def test_an_allocation_that_many_sweep_lapses_once(url: str) -> None:
    clock = Clock()
    ledger = Ledger(make_engine(url, timeout=300), clock)
    for number in range(20):
        ledger.open_account(f"user-{number}", "explorer", 5, actor="test", term_days=1)
    clock.turn(86_400)
    swept = together(4, lambda _: ledger.sweep().lapsed)
    assert sum(number for number in swept if isinstance(number, int)) == 20
    assert ledger.verify() == []


def test_sights_of_the_same_leases_in_other_orders_do_not_wait_for_each_other(url: str) -> None:
    engine, ticks = make_engine(url, timeout=300), itertools.count()
    # Later at every look, so that each sight has something to write.
    ledger = Ledger(engine, lambda: datetime(2026, 11, 22, tzinfo=UTC) + timedelta(seconds=next(ticks)))
    ledger.open_account("ada", "explorer", to_units(50), actor="test")
    keys = [f"server:ada/{number}" for number in range(40)]
    for key in keys:
        ledger.begin(ledger.admit("ada", kind="server", key=key, label="A server", rate=1).id)

    def act(index: int) -> int:
        return sum(ledger.seen(keys[index:] if number % 2 else keys) for number in range(8))

    assert all(together(6, act))
    engine.dispose()


def test_of_many_processes_as_many_start_as_the_balance_has_room_for(busy_ledger: Ledger, url: str) -> None:
    room, tries = 10, 8
    busy_ledger.open_account("ada", "explorer", NEEDED * (room + 1) - 1, actor="test")
    paths = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    racers = [
        subprocess.Popen(
            [sys.executable, str(HERE / "racer.py"), url, str(index), str(tries), str(RATE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=paths,
        )
        for index in range(3)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    admitted = [int(racer.communicate(timeout=300)[0]) for racer in racers]
    assert sum(admitted) == room == len(busy_ledger.open_leases())
    assert busy_ledger.verify() == []
