"""Carrying out orders on a scheduler that does not obey: it is the owner's code."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from dask_gateway_server.backends.db_base import JobStatus
from romanhub.dask.enforcer import PATIENCE, Enforcer
from romanhub.dask.orders import Order, Orders

from tests.quota.support import Clock


class Deaf:
    """A gateway with one cluster whose scheduler ignores every message.

    Stands in for the gateway because a real scheduler would have to be broken for it.
    """

    def __init__(self, workers: int) -> None:
        self.workers = [SimpleNamespace(id=number, ended=False) for number in range(workers)]
        self.cluster = SimpleNamespace(name="one", active_workers=self.active)
        self.found = Orders()
        self.announced: list[tuple[int, str | None]] = []
        self.asked: list[int] = []
        self.stopped = False
        self.db = self.queue = self.task_pool = self

    def active(self) -> list[Any]:
        return [worker for worker in self.workers if not worker.ended]

    def active_clusters(self) -> list[Any]:
        return [] if self.stopped else [self.cluster]

    def get_cluster(self, _name: str) -> Any:
        return self.cluster

    def update_workers(self, updates: list[tuple[Any, dict[str, Any]]]) -> None:
        for worker, update in updates:
            assert update == {"target": JobStatus.STOPPED, "close_expected": True}
            worker.ended = True

    def put(self, worker: Any) -> None:
        assert worker.ended

    def spawn(self, task: Any) -> None:
        task.close()

    def payer(self, _cluster: Any) -> tuple[str, str]:
        return "survey", "ada"

    async def orders(self, _clusters: object, _now: object) -> Orders:
        return self.found

    async def announce(self, keys: list[str], reason: str | None) -> None:
        self.announced.append((len(keys), reason))

    def scale(self, _cluster: Any, count: int) -> Any:
        self.asked.append(count)
        return SimpleNamespace(close=lambda: None)

    async def stop_cluster(self, _name: str, failed: bool = False) -> None:
        self.stopped = not failed


@pytest.fixture
def clock() -> Clock:
    return Clock()


def key(worker: Any) -> str:
    return f"dask-worker:one/{worker.id}"


async def test_workers_are_given_time_then_ended_and_the_cluster_after_them(clock: Clock) -> None:
    gateway = Deaf(3)
    enforcer = Enforcer(gateway, key, clock)
    assert await enforcer.enforce() is None
    gateway.found = Orders({"one": Order("one", 0, "Fewer.", final=False)})
    await enforcer.enforce()
    gateway.found = Orders({"one": Order("one", 0, "Spent.", final=True)})
    for seconds in (0, 10, PATIENCE.total_seconds() - 11):
        clock.turn(int(seconds))
        await enforcer.enforce()
        assert (len(gateway.active()), gateway.stopped) == (3, False)
    # Asked once for each order, and announced before.
    assert (gateway.asked, gateway.announced) == ([0, 0], [(3, "Spent.")])
    clock.turn(1)
    await enforcer.enforce()
    assert (gateway.active(), gateway.stopped) == ([], False)
    gateway.found = Orders()
    await enforcer.enforce()
    assert gateway.stopped
    await enforcer.enforce()
    order = enforcer.order("one")
    assert order is not None
    assert order.reason == "Spent."


async def test_only_what_is_too_much_is_ended_the_newest_first(clock: Clock) -> None:
    gateway = Deaf(3)
    enforcer = Enforcer(gateway, key, clock)
    gateway.found = Orders({"one": Order("one", 2, "Fewer.", final=False)}, next_at=clock.now)
    assert await enforcer.enforce() == clock.now
    clock.turn(int(PATIENCE.total_seconds()))
    await enforcer.enforce()
    assert [worker.id for worker in gateway.active()] == [0, 1]
    gateway.found = Orders()
    await enforcer.enforce()
    assert (enforcer.order("one"), gateway.stopped, gateway.announced) == (None, False, [])


async def test_workers_go_on_where_something_pays_again(clock: Clock) -> None:
    gateway = Deaf(2)
    enforcer = Enforcer(gateway, key, clock)
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
    assert (len(gateway.active()), gateway.stopped, enforcer.order("one")) == (2, False, None)


async def test_a_worker_whose_stop_was_announced_is_ended_at_once(clock: Clock) -> None:
    gateway = Deaf(2)
    gateway.found = Orders(named=frozenset({"dask-worker:one/0"}))
    await Enforcer(gateway, key, clock).enforce()
    assert [worker.id for worker in gateway.active()] == [1]
