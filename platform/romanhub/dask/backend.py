"""Dask Gateway on one machine: clusters of local processes, under the policy."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dask_gateway_server.backends.base import PublicException
from dask_gateway_server.backends.db_base import JobStatus
from dask_gateway_server.models import User
from hubquota.models.clusters import cluster_key
from traitlets import Unicode

from romanhub.dask.charged import REPORTER, ChargedBackend, account_of, size_of
from romanhub.dask.facts import ClusterFacts, WorkerSize
from romanhub.dask.options import REGION
from romanhub.dask.orders import Order
from romanhub.dask.payers import ENDED, NOT_STARTED
from romanhub.dask.ready import ReadyStarts
from romanhub.dask.rounds import Rounds
from romanhub.local.processes import birth, is_alive
from romanhub.local.system_users import SystemUsers, can_separate


class LocalClusterBackend(ChargedBackend, ReadyStarts):
    """Runs schedulers and workers as local processes of their owner's system user.

    A lease opens when its process is made and closes at the moment at which the process ends, so that what is
    charged is what ran, whatever a heartbeat says.
    """

    homes = Unicode(config=True, help="The folder that holds the users' home folders.")

    async def do_setup(self) -> None:
        """Take up what runs since before this gateway started."""
        self.rounds = Rounds(self.policy, self)
        self._users = SystemUsers(Path(self.homes), separate=can_separate())
        #: The state of each process that runs, by its lease's key.
        self._running: dict[str, dict[str, Any]] = {}
        for cluster in self.db.name_to_cluster.values():
            if cluster.status >= JobStatus.STOPPED:
                continue
            self._follow_scheduler(cluster)
            for worker in cluster.workers.values():
                if worker.status < JobStatus.STOPPED:
                    self._follow_worker(worker)
        self.task_pool.spawn(self.rounds.run())
        self.keep_ready()

    # Facts -----------------------------------------------------------------------------------------------

    def clusters(self) -> list[ClusterFacts]:
        """Return the clusters that have not been told to end, the oldest first."""
        return [_facts(cluster) for cluster in sorted(self.db.active_clusters(), key=lambda one: one.id)]

    def facts(self, cluster: str) -> ClusterFacts | None:
        """Return what is known of a cluster that has not been told to end."""
        found = self.db.get_cluster(cluster)
        return _facts(found) if found is not None and found.is_active() else None

    def sizes(self) -> dict[str, WorkerSize]:
        """Return the sizes of the workers of all clusters of which anything is known, by name."""
        return {name: size_of(cluster.config) for name, cluster in list(self.db.name_to_cluster.items())}

    def known(self, cluster: str) -> bool:
        """Return whether the gateway has a record of a cluster."""
        return self.db.get_cluster(cluster) is not None

    def running(self) -> set[str]:
        """Return the keys of the leases of all processes that run now."""
        return {key for key, state in self._running.items() if lives(state)}

    def coming(self) -> set[str]:
        """Return the keys of the leases of all processes that are about to be started."""
        found = set()
        for cluster in self.db.active_clusters():
            if "pid" not in cluster.state:
                found.add(cluster_key(cluster.name))
            found |= {
                worker.state["key"]
                for worker in cluster.active_workers()
                if "key" in worker.state and "pid" not in worker.state
            }
        return found

    def noting(self) -> set[str]:
        """Return nothing: the end of a process is noted at once."""
        return set()

    async def order(self, cluster: str) -> Order | None:
        """Return what was ordered of a cluster; it stays known after the cluster has ended for it."""
        return self.rounds.enforcer.order(cluster)

    def why_ended(self, cluster_name: str) -> str:
        """Return why a cluster's worker has ended: what was ordered of the cluster, or that it just has."""
        order = self.rounds.enforcer.order(cluster_name)
        return ENDED if order is None else order.reason

    async def retire(self, cluster: str, count: int) -> None:
        """Have a cluster's scheduler retire workers down to a number."""
        found = self.db.get_cluster(cluster)
        if found is not None and found.status == JobStatus.RUNNING:
            # Past the policy's own check, which refuses what the owner asks of a cluster that is to end.
            await super(ChargedBackend, self).forward_message_to_scheduler(
                found.to_model(), {"op": "scale", "count": count}
            )

    def end_workers(self, cluster: str, keys: list[str]) -> None:
        """End workers' processes now."""
        found = [one for one in self.db.get_cluster(cluster).active_workers() if one.state.get("key") in keys]
        self.db.update_workers([(one, {"target": JobStatus.STOPPED, "close_expected": True}) for one in found])
        for one in found:
            self.queue.put(one)

    def spawn(self, task: Coroutine[Any, Any, None]) -> None:
        """Have something done beside everything else."""
        self.task_pool.spawn(task)

    # Clusters --------------------------------------------------------------------------------------------

    def get_scheduler_command(self, cluster: Any) -> list[str]:
        """Return the scheduler's command line, with the module that reports when there was work last."""
        command: list[str] = super().get_scheduler_command(cluster)
        return [*command, "--preload", REPORTER]

    async def start_cluster(self, user: User, cluster_options: dict[str, Any]) -> str:
        """Admit a cluster, then start it.

        Raises
        ------
        PublicException
            A refusal in one line: the limit or the balance, what would fit, and how to ask for more.
        """
        options, config = await self.process_cluster_options(user, cluster_options)
        configured = config.to_dict()
        asked = ClusterFacts("", user.name, account_of(options, user.name), size_of(configured))
        await self.policy.check_cluster(asked)
        try:
            self._users.lookup(user.name)
        except KeyError:
            raise PublicException("Start a server once first: it makes the home that a cluster runs in.") from None
        cluster = self.db.create_cluster(user.name, options, configured)
        try:
            await self.policy.admit_cluster(_facts(cluster), options.get(REGION, ""))
        except BaseException:
            # Nothing was made for it. The gateway clears away what ended long ago.
            self.db.update_cluster(cluster, status=JobStatus.FAILED, target=JobStatus.FAILED, stop_time=1)
            raise
        self.log.info("Created cluster %s for user %s", cluster.name, user.name)
        self.queue.put(cluster)
        name: str = cluster.name
        return name

    async def do_start_cluster(self, cluster: Any) -> AsyncIterator[dict[str, Any]]:
        """Start the scheduler of a cluster that was admitted."""
        if not await self.policy.is_admitted(cluster.name):
            raise RuntimeError(f"cluster {cluster.name} was not admitted")
        born: dict[str, Any] = {}
        async for state in super().do_start_cluster(cluster):
            born = _with_birth(state)
            yield born
        await self.policy.cluster_began(cluster.name, _moment(born))
        self._follow_scheduler(cluster)
        self.rounds.changed()

    async def do_stop_cluster(self, cluster: Any) -> None:
        """End a cluster's scheduler; where its process is gone, the number may be somebody else's by now."""
        if lives(cluster.state):
            await super().do_stop_cluster(cluster)
        elif "workdir" in cluster.state:
            self.cleanup_working_directory(cluster.state["workdir"])

    async def _cluster_to_stopped(self, cluster: Any) -> None:
        """Close the cluster's lease, where the end of its scheduler has not closed it yet."""
        alive = lives(cluster.state)
        await super()._cluster_to_stopped(cluster)
        self._running.pop(cluster_key(cluster.name), None)
        failed = cluster.status == JobStatus.FAILED
        await self.policy.cluster_ended(cluster.name, self.policy.now() if alive else None, failed=failed)

    async def do_check_clusters(self, clusters: list[Any]) -> list[bool]:
        """Which clusters' schedulers run."""
        return [lives(cluster.state) for cluster in clusters]

    # Workers ---------------------------------------------------------------------------------------------

    async def _check_cluster_scale(self, cluster: Any) -> None:
        """Admit the workers that a cluster lacks as one batch, and start those that are admitted."""
        missing = cluster.count - len(cluster.active_workers())
        if missing <= 0 or cluster.worker_start_failure_count >= self.worker_start_failure_limit:
            await super()._check_cluster_scale(cluster)
            return
        taken = {worker.state["key"] for worker in cluster.workers.values() if "key" in worker.state}
        leases = await self.policy.admit_workers(_facts(cluster), missing, taken)
        for lease in leases:
            if not cluster.is_active():
                await self.policy.ended(lease.id, None, NOT_STARTED)
                continue
            worker = self.db.create_worker(cluster)
            self.db.update_worker(worker, state={"lease": lease.id, "key": lease.key})
            self.queue.put(worker)

    async def do_start_worker(self, worker: Any) -> AsyncIterator[dict[str, Any]]:
        """Start the process of a worker that was admitted."""
        admitted = {name: worker.state[name] for name in ("lease", "key")}
        born: dict[str, Any] = {}
        async for state in super().do_start_worker(worker):
            born = {**_with_birth(state), **admitted}
            yield born
        if not await self.policy.began(admitted["lease"], _moment(born)):
            raise RuntimeError(f"worker {worker.name} began too late for its lease")
        self._follow_worker(worker)
        self.rounds.changed()

    async def do_stop_worker(self, worker: Any) -> None:
        """End a worker's process, then its lease."""
        alive = lives(worker.state)
        try:
            if alive:
                await super().do_stop_worker(worker)
        finally:
            await self._let_go(worker, alive)

    async def _worker_to_stopped(self, worker: Any) -> None:
        """Let go of the lease of a worker whose process was never started."""
        never = worker.status == JobStatus.CREATED
        await super()._worker_to_stopped(worker)
        if never:
            await self._let_go(worker, alive=False)

    async def _let_go(self, worker: Any, alive: bool) -> None:
        self._running.pop(worker.state.get("key", ""), None)
        if "lease" in worker.state:
            at = self.policy.now() if alive else None
            await self.policy.ended(worker.state["lease"], at, self.why_ended(worker.cluster.name))

    async def do_check_workers(self, workers: list[Any]) -> list[bool]:
        """Which workers run."""
        return [lives(worker.state) for worker in workers]

    # Ends ------------------------------------------------------------------------------------------------

    def _follow_worker(self, worker: Any) -> None:
        if "lease" in worker.state and "pid" in worker.state:
            lease: int = worker.state["lease"]
            name = worker.cluster.name
            self._follow(
                worker.state["key"],
                worker.state,
                lambda at: self.policy.ended(lease, at, self.why_ended(name)),
            )

    def _follow_scheduler(self, cluster: Any) -> None:
        if "pid" in cluster.state:
            self._follow(cluster_key(cluster.name), cluster.state, lambda at: self._scheduler_ended(cluster, at))

    async def _scheduler_ended(self, cluster: Any, at: datetime) -> None:
        """Close the cluster's lease; where nobody asked for it, end the workers, which have nothing to do."""
        await self.policy.cluster_ended(cluster.name, at, failed=cluster.is_active())
        if cluster.is_active():
            await self.stop_cluster(cluster.name, failed=True)

    def _follow(self, key: str, state: dict[str, Any], then: Any) -> None:
        """Note the moment at which a process ends, whatever ends it.

        Of a process that has ended already nothing is noted: the next comparison closes its lease.
        """
        try:
            descriptor = os.pidfd_open(state["pid"])
        except ProcessLookupError:
            return
        if not lives(state):
            os.close(descriptor)
            return
        self._running[key] = state
        loop = asyncio.get_running_loop()

        def ended() -> None:
            at = self.policy.now()
            loop.remove_reader(descriptor)
            os.close(descriptor)
            self._running.pop(key, None)
            self.rounds.changed()
            self.task_pool.spawn(then(at))

        loop.add_reader(descriptor, ended)


def lives(state: dict[str, Any]) -> bool:
    """Whether the process that a worker's or a cluster's state tells of is still that one, and runs."""
    return "pid" in state and is_alive(state["pid"], state.get("birth"))


def _facts(cluster: Any) -> ClusterFacts:
    workers = sorted(cluster.active_workers(), key=lambda one: one.id)
    return ClusterFacts(
        name=cluster.name,
        owner=cluster.username,
        account=account_of(cluster.options, cluster.username),
        size=size_of(cluster.config),
        workers=tuple(worker.state["key"] for worker in workers if "key" in worker.state),
    )


def _with_birth(state: dict[str, Any]) -> dict[str, Any]:
    """The state with the time at which its process was made: a number alone may come back as another's."""
    return {**state, "birth": birth(state["pid"])} if "pid" in state else state


def _moment(state: dict[str, Any]) -> datetime:
    """When the process of a state was made; now where it has ended by now."""
    born = state.get("birth")
    return datetime.now(UTC) if born is None else datetime.fromtimestamp(born, UTC)
