"""Whatever happens to clusters, what is charged is what ran, and no more runs than is allowed."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from dask_gateway_server.backends.base import PublicException
from hubquota.models.clusters import cluster_key
from hubquota.models.kinds import CLUSTER, WORKER
from hubquota.models.overrides import Overridden
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from romanhub.dask.enforcer import PATIENCE
from romanhub.dask.facts import ClusterFacts, WorkerSize
from romanhub.dask.policy import Policy
from romanhub.dask.rounds import Rounds

from tests.platform.dask_clusters.world import World


@dataclass
class Process:
    """A worker that is said to run."""

    key: str
    lease: int
    began: datetime
    rate: int
    ended: datetime | None = None


@dataclass
class Running:
    """A cluster that is said to run."""

    facts: ClusterFacts
    wanted: int = 0
    workers: list[Process] = field(default_factory=list)
    #: Whether its scheduler does as it is told.
    obeys: bool = True
    alive: bool = True

    @property
    def going_on(self) -> list[Process]:
        return [one for one in self.workers if one.ended is None]


class FakeEngine:
    """Runs nothing: it keeps a list of clusters and workers, and says of them what an engine would.

    Stands in for processes and pods, because thousands of them in a second, at times of the test's choosing,
    cannot run here.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.found: dict[str, Running] = {}
        self.history: list[Process] = []
        self.policy = Policy(world.ledger, world.tiers_file, self.sizes, now=world.clock)
        self.rounds = Rounds(self.policy, self)

    # Facts.

    def sizes(self) -> dict[str, WorkerSize]:
        return {name: one.facts.size for name, one in self.found.items()}

    def clusters(self) -> list[ClusterFacts]:
        return [self.facts(one) for one in self.found.values() if one.alive]

    def facts(self, one: Running) -> ClusterFacts:
        known = one.facts
        return ClusterFacts(
            known.name, known.owner, known.account, known.size, tuple(each.key for each in one.going_on)
        )

    def known(self, cluster: str) -> bool:
        return cluster in self.found

    def running(self) -> set[str]:
        schedulers = {cluster_key(name) for name, one in self.found.items() if one.alive}
        return schedulers | {each.key for one in self.found.values() for each in one.going_on}

    def coming(self) -> set[str]:
        return set()

    # What an engine does.

    def noting(self) -> set[str]:
        return set()

    async def retire(self, cluster: str, count: int) -> None:
        one = self.found[cluster]
        one.wanted = count
        if one.obeys:
            for process in one.going_on[count:]:
                await self.end(process)

    def end_workers(self, cluster: str, keys: list[str]) -> None:
        for process in self.found[cluster].going_on:
            if process.key in keys:
                self.rounds_later.append(self.end(process))

    async def stop_cluster(self, cluster_name: str, failed: bool = False) -> None:
        one = self.found[cluster_name]
        if one.alive:
            await self.policy.stopping(cluster_name, failed=failed)
            for process in one.going_on:
                await self.end(process)
            one.alive = False
            await self.policy.cluster_ended(cluster_name, self.world.now, failed=failed)

    def spawn(self, task: Coroutine[Any, Any, None]) -> None:
        self.rounds_later.append(task)

    rounds_later: list[Coroutine[Any, Any, None]]

    async def start(self, facts: ClusterFacts, *, obeys: bool) -> None:
        await self.policy.check_cluster(facts)
        await self.policy.admit_cluster(facts)
        self.found[facts.name] = Running(facts, obeys=obeys)
        await self.policy.cluster_began(facts.name, self.world.now)

    async def grow(self, one: Running) -> None:
        """Do what a gateway does with a heartbeat."""
        ending = self.rounds.enforcer.ending(one.facts.name)
        missing = one.wanted - len(one.going_on)
        if one.alive and missing > 0 and not ending:
            taken = {each.key for each in one.workers}
            for lease in await self.policy.admit_workers(self.facts(one), missing, taken):
                assert await self.policy.began(lease.id, self.world.now)
                process = Process(lease.key, lease.id, self.world.now, lease.rate)
                one.workers.append(process)
                self.history.append(process)

    async def end(self, process: Process) -> None:
        if process.ended is None:
            process.ended = self.world.now
            await self.policy.ended(process.lease, self.world.now)

    async def round(self) -> None:
        """Look once, as the gateway does from time to time, and do what was to be done beside it."""
        self.rounds_later = []
        await self.rounds.compare()
        await self.rounds.enforcer.enforce()
        for task in self.rounds_later:
            await task


class Clusters(RuleBasedStateMachine):
    """Two accounts, clusters that come and go, limits that change, and processes that die."""

    @initialize(obeys=st.booleans())
    def begin(self, obeys: bool) -> None:
        self.folder = tempfile.TemporaryDirectory()
        dask = "clusters: 2, workers: 6, worker_cores: 2, worker_memory_gib: 8, cores: 8"
        self.world = World(Path(self.folder.name), dask)
        self.runner = asyncio.Runner()
        self.engine = FakeEngine(self.world)
        self.obeys = obeys
        self.number = 0
        self.world.ledger.open_account("eve", "explorer", 0, actor="test")
        for person in ("ada", "eve"):
            self.world.serve(person)

    def run(self, task: Coroutine[Any, Any, None]) -> bool:
        try:
            self.runner.run(task)
        except PublicException as refusal:
            assert "\n" not in str(refusal)
            return False
        return True

    def alive(self) -> list[Running]:
        return [one for one in self.engine.found.values() if one.alive]

    @rule(account=st.sampled_from(["ada", "survey"]), cores=st.sampled_from([1, 2]))
    def start(self, account: str, cores: int) -> None:
        self.number += 1
        facts = ClusterFacts(f"c{self.number}", "ada", account, WorkerSize(cores, 4 * cores))
        self.run(self.engine.start(facts, obeys=self.obeys))

    @precondition(lambda self: self.alive())
    @rule(data=st.data(), wanted=st.integers(0, 9))
    def scale(self, data: st.DataObject, wanted: int) -> None:
        one = data.draw(st.sampled_from(self.alive()))
        one.wanted = wanted
        for process in one.going_on[wanted:]:
            self.run(self.engine.end(process))
        self.run(self.engine.grow(one))

    @rule(seconds=st.sampled_from([1, 7, 60, 599, 1800]))
    def turn(self, seconds: int) -> None:
        """Let time pass in steps of a round, in all of which there is work."""
        for _ in range(-(-seconds // 300)):
            for one in self.alive():
                self.engine.policy.note_activity(one.facts.name, 0)
            self.world.clock.turn(min(seconds, 300))
            self.run(self.engine.round())
            for one in self.alive():
                self.run(self.engine.grow(one))

    @precondition(lambda self: any(one.going_on for one in self.alive()))
    @rule(data=st.data())
    def kill_worker(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from([one for one in self.alive() if one.going_on]))
        self.run(self.engine.end(data.draw(st.sampled_from(one.going_on))))
        self.run(self.engine.grow(one))

    @precondition(lambda self: self.alive())
    @rule(data=st.data())
    def kill_scheduler(self, data: st.DataObject) -> None:
        """Its workers live on until they are ended."""
        one = data.draw(st.sampled_from(self.alive()))
        self.run(self.engine.policy.cluster_ended(one.facts.name, self.world.now, failed=True))
        self.world.clock.turn(5)
        self.run(self.engine.stop_cluster(one.facts.name, failed=True))

    @precondition(lambda self: self.alive())
    @rule(data=st.data())
    def stop(self, data: st.DataObject) -> None:
        self.run(self.engine.stop_cluster(data.draw(st.sampled_from(self.alive())).facts.name))

    @precondition(lambda self: self.alive())
    @rule(data=st.data(), most=st.integers(0, 3))
    def limit(self, data: st.DataObject, most: int) -> None:
        one = data.draw(st.sampled_from(self.alive()))
        self.world.ledger.limit_cluster(one.facts.name, most, actor="admin", reason="x")

    @rule(workers=st.integers(0, 6))
    def override(self, workers: int) -> None:
        self.number += 1
        until = self.world.now + timedelta(minutes=20)
        given = Overridden(workers=workers)
        self.world.ledger.give_override("ada", given, until, actor="admin", reason="x", key=str(self.number))

    @rule(workers=st.one_of(st.none(), st.integers(0, 4)))
    def cap(self, workers: int | None) -> None:
        self.world.ledger.set_cap("survey", "ada", workers=workers, actor="eve", reason="x")

    @rule(account=st.sampled_from(["ada", "survey"]), seconds=st.integers(0, 4000))
    def leave(self, account: str, seconds: int) -> None:
        """Leave an account what some seconds of a worker cost."""
        self.number += 1
        change = 40_000 * seconds - self.world.ledger.balance(account).available
        if change:
            self.world.ledger.correct(account, change, actor="admin", reason="x", key=f"k{self.number}")

    @invariant()
    def charged_is_what_ran(self) -> None:
        if not hasattr(self, "engine"):
            return
        for process in self.engine.history:
            lease = self.world.ledger.lease(process.lease)
            assert lease is not None
            assert (lease.started_at, lease.rate) == (process.began, process.rate)
            assert lease.ended_at == process.ended
            if process.ended is not None:
                assert lease.charged == process.rate * int((process.ended - process.began).total_seconds())
        begun = {lease.key for lease in self.world.ledger.open_leases(WORKER) if lease.started_at is not None}
        assert begun == {each.key for one in self.engine.found.values() for each in one.going_on}
        assert {one.name for one in self.world.ledger.clusters()} == {one.facts.name for one in self.alive()}

    @invariant()
    def limits_hold_once_everybody_had_time(self) -> None:
        if not hasattr(self, "engine") or not any(one.going_on for one in self.alive()):
            return
        self.run(self.engine.round())
        self.world.clock.turn(int(PATIENCE.total_seconds()))
        for one in self.alive():
            self.engine.policy.note_activity(one.facts.name, 0)
        self.run(self.engine.round())
        ledger, tiers = self.world.ledger, self.world.tiers
        for account in ("ada", "survey"):
            running = [one for one in self.alive() if one.facts.account == account]
            workers = sum(len(one.going_on) for one in running)
            cores = sum(len(one.going_on) * one.facts.size.cores for one in running)
            dask = ledger.entitlement(tiers, account, "ada").tier.dask
            assert workers <= dask.workers
            assert cores <= dask.most_cores
            for one in running:
                told = ledger.instruction(one.facts.name)
                assert told is None or told.most is None or len(one.going_on) <= told.most

    def teardown(self) -> None:
        if hasattr(self, "engine"):
            for one in self.alive():
                self.run(self.engine.stop_cluster(one.facts.name))
            assert self.world.ledger.open_leases(WORKER) == self.world.ledger.open_leases(CLUSTER) == []
            assert self.world.ledger.verify() == []
            assert all(lease.reason for lease in self.world.ledger.statement("ada", limit=200).ended)
            self.runner.close()
            self.world.engine.dispose()
            self.folder.cleanup()


TestClusters = Clusters.TestCase
TestClusters.settings = settings(
    max_examples=10,
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


async def test_a_refused_race_leaves_one_cluster_and_one_credit(world: World) -> None:
    """Ten ask at the same moment, of a gateway that has one event loop."""
    world.tiers_path.write_text(world.tiers_path.read_text().replace("clusters: 1", "clusters: 10", 1))
    left = world.ledger.balance("ada").available - 40_000 * 600
    world.ledger.correct("ada", -left, actor="admin", reason="x", key="c")
    engine = FakeEngine(world)
    asked = [ClusterFacts(f"c{number}", "ada", "ada", WorkerSize(1, 4)) for number in range(10)]
    answers = await asyncio.gather(*(engine.policy.admit_cluster(one) for one in asked), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, PublicException)]
    assert (len(refused), answers.count(None)) == (9, 1)
    assert all("The balance of ada is 0.00 credits" in str(answer) for answer in refused)
    assert len(world.ledger.open_leases(CLUSTER)) == len(world.ledger.open_leases(WORKER)) == 1


async def test_what_a_gateway_missed_is_closed_when_it_was_last_seen(world: World) -> None:
    """After SIGKILL: a worker and a scheduler that ended meanwhile, and an admission of which nothing came."""
    world.serve("ada")
    one = world.cluster("one", "ada", "ada")
    worker = world.work("one")
    world.clock.turn(50)
    world.ledger.seen([worker.key, cluster_key("one")])
    seen = world.now
    world.clock.turn(100)
    engine = FakeEngine(world)
    engine.found["one"] = Running(one, alive=True)
    engine.found["one"].alive = False
    await engine.rounds.compare()
    ended = world.ledger.lease(worker.id)
    assert ended is not None
    assert (ended.ended_at, ended.charged) == (seen, worker.rate * 50)
    last = world.ledger.last_end("ada", CLUSTER)
    assert last is not None
    assert (last.ended_at, last.end_kind) == (seen, "ended")


async def test_a_cluster_goes_on_where_a_suspension_is_lifted_in_time(world: World) -> None:
    world.serve("ada")
    engine = FakeEngine(world)
    await engine.start(ClusterFacts("one", "ada", "ada", WorkerSize(1, 4)), obeys=False)
    one = engine.found["one"]
    one.wanted = 2
    await engine.grow(one)
    (allocation,) = world.ledger.allocations("ada")
    world.ledger.suspend(allocation.id, actor="admin", reason="A question.", key="s")
    await engine.round()
    reason = world.ledger.cluster("one").lease.reason
    assert reason is not None
    assert "A question." in reason
    world.clock.turn(5)
    world.ledger.resume(allocation.id, actor="admin", reason="Answered.", key="r")
    engine.policy.note_activity("one", 0)
    await engine.round()
    assert (world.ledger.cluster("one").lease.reason, len(one.going_on)) == (None, 2)
    assert engine.rounds.enforcer.order("one") is None
    # An administrator's own stop stands, whatever else pays again.
    world.ledger.stop_cluster("one", actor="admin", reason="Maintenance.")
    await engine.round()
    await engine.policy.announce("one", [], None, None)
    world.clock.turn(60)
    await engine.round()
    await engine.round()
    last = world.ledger.last_end("ada", CLUSTER)
    assert last is not None
    assert (last.reason, last.end_kind) == ("admin stopped this cluster: Maintenance.", "admin")
    assert {lease.reason for lease in world.ledger.statement("ada").ended if lease.kind == WORKER} == {
        "admin stopped this cluster: Maintenance."
    }
