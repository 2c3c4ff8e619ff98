"""Carrying out orders on a scheduler that does not obey: it is the owner's code."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from datetime import timedelta
from typing import Any

import pytest
from romanhub.dask.enforcer import LAST_PATIENCE, PATIENCE, Enforcer
from romanhub.dask.facts import ClusterFacts, WorkerSize
from romanhub.dask.orders import Order, Orders

from tests.quota.support import Clock


class Deaf:
    """An engine with one cluster whose scheduler ignores every message, and a policy that orders as it is told.

    Stands in for both because a real scheduler would have to be broken for it, and a real ledger timed to it.
    """

    def __init__(self, workers: int, clock: Clock) -> None:
        self.workers = [f"dask-worker:one/{number}" for number in range(workers)]
        self.now = clock
        self.found = Orders()
        self.announced: list[tuple[int, str | None]] = []
        self.asked: list[int] = []
        self.stopped = False

    # What runs.

    def clusters(self) -> list[ClusterFacts]:
        one = ClusterFacts("one", "ada", "survey", WorkerSize(1, 4), tuple(self.workers))
        return [] if self.stopped else [one]

    def known(self, _cluster: str) -> bool:
        return True

    def running(self) -> set[str]:
        return set(self.workers)

    def coming(self) -> set[str]:
        return set()

    def noting(self) -> set[str]:
        return set()

    async def retire(self, _cluster: str, count: int) -> None:
        self.asked.append(count)

    def end_workers(self, cluster: str, keys: list[str]) -> None:
        assert cluster == "one"
        self.workers = [key for key in self.workers if key not in keys]

    async def stop_cluster(self, cluster_name: str, failed: bool = False) -> None:
        assert cluster_name == "one"
        self.stopped = not failed

    def spawn(self, task: Coroutine[Any, Any, None]) -> None:
        with pytest.raises(StopIteration):
            task.send(None)

    # What says what has to stop.

    async def orders(self, _clusters: Sequence[ClusterFacts]) -> Orders:
        return self.found

    async def announce(self, _cluster: str, keys: Sequence[str], reason: str | None, _kind: object) -> None:
        self.announced.append((len(keys), reason))


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_workers_are_given_time_then_ended_and_the_cluster_after_them(clock: Clock) -> None:
    gateway = Deaf(3, clock)
    enforcer = Enforcer(gateway, gateway)
    assert await enforcer.enforce() is None
    gateway.found = Orders({"one": Order("one", 0, "Fewer.", final=False)})
    await enforcer.enforce()
    gateway.found = Orders({"one": Order("one", 0, "Spent.", final=True)})
    ends = clock.now + LAST_PATIENCE
    for seconds in (0, 10, LAST_PATIENCE.total_seconds() - 11):
        clock.turn(int(seconds))
        # It looks again in time, whatever else is due.
        assert await enforcer.enforce() == ends
        assert (len(gateway.workers), gateway.stopped) == (3, False)
    # Asked once for each order, and announced before.
    assert (gateway.asked, gateway.announced) == ([0, 0], [(3, "Spent.")])
    clock.turn(1)
    await enforcer.enforce()
    assert (gateway.workers, gateway.stopped) == ([], False)
    gateway.found = Orders()
    await enforcer.enforce()
    assert gateway.stopped
    await enforcer.enforce()
    order = enforcer.order("one")
    assert order is not None
    assert (order.reason, enforcer.ending("one")) == ("Spent.", True)


async def test_only_what_is_too_much_is_ended_the_newest_first(clock: Clock) -> None:
    gateway = Deaf(3, clock)
    enforcer = Enforcer(gateway, gateway)
    gateway.found = Orders({"one": Order("one", 2, "Fewer.", final=False)}, next_at=clock.now)
    assert await enforcer.enforce() == clock.now
    clock.turn(int(PATIENCE.total_seconds()))
    await enforcer.enforce()
    assert gateway.workers == ["dask-worker:one/0", "dask-worker:one/1"]
    gateway.found = Orders()
    await enforcer.enforce()
    assert (enforcer.order("one"), gateway.stopped, gateway.announced) == (None, False, [])


async def test_a_limit_that_is_raised_by_half_counts_at_once(clock: Clock) -> None:
    gateway = Deaf(4, clock)
    enforcer = Enforcer(gateway, gateway)
    for allowed in (1, 3):
        gateway.found = Orders({"one": Order("one", allowed, "Fewer.", final=False)})
        await enforcer.enforce()
    clock.turn(int(PATIENCE.total_seconds()))
    await enforcer.enforce()
    assert len(gateway.workers) == 3


async def test_workers_go_on_where_something_pays_again(clock: Clock) -> None:
    gateway = Deaf(2, clock)
    enforcer = Enforcer(gateway, gateway)
    gateway.found = Orders({"one": Order("one", 0, "Spent.", final=True)})
    await enforcer.enforce()
    # Ended processes that the gateway still lists are no workers that go on.
    gateway.found = Orders()
    await enforcer.enforce()
    assert gateway.announced == [(2, "Spent.")]
    gateway.found = Orders(working=frozenset({"one"}))
    await enforcer.enforce()
    assert gateway.announced == [(2, "Spent."), (2, None)]
    clock.now += timedelta(hours=1)
    await enforcer.enforce()
    assert (len(gateway.workers), gateway.stopped, enforcer.order("one")) == (2, False, None)


async def test_what_pays_again_may_still_be_less_than_before(clock: Clock) -> None:
    gateway = Deaf(3, clock)
    enforcer = Enforcer(gateway, gateway)
    gateway.found = Orders({"one": Order("one", 0, "Spent.", final=True)})
    await enforcer.enforce()
    gateway.found = Orders({"one": Order("one", 1, "Fewer.", final=False)}, working=frozenset({"one"}))
    await enforcer.enforce()
    assert gateway.announced == [(3, "Spent."), (3, None)]
    assert (gateway.asked, enforcer.ending("one")) == ([0, 1], False)


async def test_a_cluster_without_workers_ends_at_once(clock: Clock) -> None:
    gateway = Deaf(0, clock)
    gateway.found = Orders({"one": Order("one", 0, "It was without work.", final=True, kind="idle")})
    await Enforcer(gateway, gateway).enforce()
    assert (gateway.stopped, gateway.announced) == (True, [(0, "It was without work.")])


async def test_a_worker_whose_stop_was_announced_is_ended_at_once(clock: Clock) -> None:
    gateway = Deaf(2, clock)
    gateway.found = Orders(named=frozenset({"dask-worker:one/0"}))
    await Enforcer(gateway, gateway).enforce()
    assert gateway.workers == ["dask-worker:one/1"]
