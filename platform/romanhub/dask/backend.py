"""Dask Gateway on one machine: clusters of local processes, within the tier, charged by the ledger."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from dask_gateway_server.backends.base import PublicException
from dask_gateway_server.models import User
from dask_gateway_server.options import Options
from hubquota.models.kinds import WORKER
from hubquota.models.ledger import Lease, Refused
from hubquota.models.tiers import Tiers
from hubquota.services.ledger import Ledger, utc_now
from hubquota.services.tiersfile import TiersFile
from hubquota.storage.engine import make_engine
from traitlets import Unicode

from romanhub.dask.enforcer import Enforcer
from romanhub.dask.folders import OwnFolders
from romanhub.dask.options import ACCOUNT, cluster_options
from romanhub.dask.orders import Orders, cluster_of, orders_for
from romanhub.dask.payers import ACTOR, ENDED, NOT_STARTED, Payers, check_start, payers_for
from romanhub.local.processes import birth, is_alive
from romanhub.local.system_users import SystemUsers, can_separate

#: How long a decision of the ledger may take, in seconds, before the answer is no.
DEADLINE = 10.0

#: How often the ledger is compared with the processes, in seconds. After a crash of the gateway, a worker
#: that died meanwhile is charged to within this much.
WATCH_PERIOD = 15.0

#: How long to gather starts and ends of workers before looking at what they change, in seconds.
GATHER = 1.0

#: How long after its admission a worker may still be about to begin.
STARTING = timedelta(minutes=2)

T = TypeVar("T")


class LocalClusterBackend(OwnFolders):
    """Runs schedulers and workers as local processes of their owner's system user.

    A worker's lease opens when its process is started and closes at the moment the process ends, so that what
    is charged is what ran, whatever a heartbeat says. The scheduler is free.
    """

    homes = Unicode(config=True, help="The folder that holds the users' home folders.")

    tiers_file = Unicode(config=True, help="The tiers file.")

    database_url = Unicode(config=True, help="The ledger's database.")

    environment = Unicode(config=True, help="The identity of the workers' environment; none is asked for without.")

    async def do_setup(self) -> None:
        """Open the ledger and read the tiers."""
        self._tiers_file = TiersFile(self.tiers_file)
        self._ledger = Ledger(make_engine(self.database_url))
        self._users = SystemUsers(Path(self.homes), separate=can_separate())
        # Held while a cluster is admitted, so that two requests at once cannot both be the last one allowed.
        self._admission = asyncio.Lock()
        self._now = utc_now
        #: The state of each worker that runs, by its lease's key.
        self._running: dict[str, dict[str, Any]] = {}
        for cluster in self.db.active_clusters():
            for worker in cluster.active_workers():
                if worker.state.get("lease") is not None:
                    self._follow(_key(worker), worker.state)
        self._enforcer = Enforcer(self, _key, self._now)
        #: Set when a worker has started or ended: when what pays for the others ends has changed then.
        self._changed = asyncio.Event()
        self.task_pool.spawn(self._watch_workers())

    async def get_cluster_options(self, user: User) -> Options:
        """What the user may choose by their entitlements on the accounts that they may draw on."""
        return cluster_options(await self._payers(user), self.environment)

    async def start_cluster(self, user: User, cluster_options: dict[str, Any]) -> str:
        """Admit a cluster within the cap of the account that is to pay and its balance, then start it.

        Raises
        ------
        PublicException
            A refusal in one line: the limit, and how to ask for more.
        """
        async with self._admission:
            payers = await self._payers(user)
            account = cluster_options.get(ACCOUNT, payers.default)
            # One that is about to end because nothing pays for it is none that could be stopped first.
            running = [
                cluster.name
                for cluster in self.db.active_clusters()
                if self.payer(cluster)[0] == account and not self._ending(cluster.name)
            ]
            await self._decide(lambda: check_start(self._ledger, self._tiers, payers, account, user.name, running))
            try:
                self._users.lookup(user.name)
            except KeyError:
                raise PublicException(
                    "Start a server once first: it makes the home that a cluster runs in."
                ) from None
            name: str = await super().start_cluster(user, {**cluster_options, ACCOUNT: account})
            return name

    async def on_cluster_heartbeat(self, cluster_name: str, msg: dict[str, Any]) -> None:
        """Take what the cluster says of itself, as far as it may say it.

        The owner's code holds the cluster's token and can say anything. A dashboard's address would be served
        on the platform's own address, to everybody and without sign-in, so none is taken. No more workers are
        started than the tier and the balance have room for: each one refused would count as a failed start.
        """
        msg["dashboard_address"] = ""
        cluster = self.db.get_cluster(cluster_name)
        if cluster is not None:
            msg["count"] = min(msg["count"], await self._room(cluster))
        await super().on_cluster_heartbeat(cluster_name, msg)

    def _ending(self, cluster_name: str) -> bool:
        """Whether a cluster was told to end because nothing pays for its workers."""
        order = self._enforcer.order(cluster_name)
        return order is not None and order.final

    async def _room(self, cluster: Any) -> int:
        """How many workers the cluster may have: what the account that pays leaves beside the others."""
        order = self._enforcer.order(cluster.name)
        allowed: int = sys.maxsize if order is None else order.allowed
        if self._ending(cluster.name):
            return 0
        account, person = self.payer(cluster)

        def count() -> int:
            found = self._ledger.open_leases(WORKER, account=account)
            own: int = sum(cluster_of(lease.key) == cluster.name for lease in found)
            try:
                entitlement = self._ledger.entitlement(self._tiers, account, person)
                entitlement.check()
            except Refused:
                return own
            dask = entitlement.tier.dask
            more: int = self._ledger.room(account, person=person, kind=WORKER, rate=dask.rate, limit=dask.workers)
            return own + more

        room: int = await self._decide(count)
        return min(room, allowed)

    # Limits while a cluster runs -------------------------------------------------------------------------

    def payer(self, cluster: Any) -> tuple[str, str]:
        """The account that pays for a cluster, and whose cluster it is."""
        owner: str = cluster.username
        account: str = cluster.options.get(ACCOUNT, owner)
        return account, owner

    async def orders(self, clusters: dict[str, tuple[str, str]], now: datetime) -> Orders:
        """Ask the ledger what has to stop."""
        return await self._decide(lambda: orders_for(self._ledger, self._tiers, clusters, now))

    async def announce(self, keys: list[str], reason: str | None) -> None:
        """Note why workers are about to be stopped, or that they are not after all."""

        def note() -> None:
            for key in keys:
                lease = self._ledger.open_lease(key)
                if lease is not None:
                    self._ledger.announce_stop(lease.id, reason)

        await self._decide(note)

    async def scale(self, cluster: Any, count: int) -> None:
        """Have a cluster's scheduler retire workers down to a number."""
        await super().forward_message_to_scheduler(cluster.to_model(), {"op": "scale", "count": count})

    async def forward_message_to_scheduler(self, cluster: Any, msg: dict[str, Any]) -> None:
        """Pass on what the owner asks of a scheduler; where its workers had to stop, say why instead."""
        order = self._enforcer.order(cluster.name)
        if order is not None and (order.final or msg.get("count", 0) > order.allowed):
            raise PublicException(" ".join(f"No more workers can start. {order.reason} {self._tiers.ask}".split()))
        await super().forward_message_to_scheduler(cluster, msg)

    # Processes -------------------------------------------------------------------------------------------

    async def do_start_cluster(self, cluster: Any) -> AsyncIterator[dict[str, Any]]:
        """Start a cluster's scheduler, and keep when its process was made."""
        async for state in super().do_start_cluster(cluster):
            yield _with_birth(state)

    async def do_stop_cluster(self, cluster: Any) -> None:
        """End a cluster's scheduler; where its process is gone, the number may be somebody else's by now."""
        if lives(cluster.state):
            await super().do_stop_cluster(cluster)
        elif "workdir" in cluster.state:
            self.cleanup_working_directory(cluster.state["workdir"])

    async def do_check_clusters(self, clusters: list[Any]) -> list[bool]:
        """Which clusters' schedulers run."""
        return [lives(cluster.state) for cluster in clusters]

    async def do_check_workers(self, workers: list[Any]) -> list[bool]:
        """Which workers run."""
        return [lives(worker.state) for worker in workers]

    async def do_start_worker(self, worker: Any) -> AsyncIterator[dict[str, Any]]:
        """Start a worker's process under a lease."""
        cluster = worker.cluster
        account, person = self.payer(cluster)

        def admit() -> Lease:
            entitlement = self._ledger.entitlement(self._tiers, account, person)
            entitlement.check()
            return self._ledger.admit(
                account,
                person=person,
                kind=WORKER,
                key=_key(worker),
                label="Dask worker",
                rate=entitlement.tier.dask.rate,
                limit=entitlement.tier.dask.workers,
                ask=self._tiers.ask,
                # A name is given to one worker: what is open under it is a leftover of a crash.
                settle_leftover=True,
            )

        lease = await self._decide(admit)
        try:
            async for state in super().do_start_worker(worker):
                born = {**_with_birth(state), "lease": lease.id}
                yield born
            await self._decide(lambda: self._ledger.begin(lease.id))
        except BaseException:
            await self._decide(lambda: self._ledger.close(lease.id, reason=NOT_STARTED, actor=ACTOR))
            raise
        self._follow(_key(worker), born)
        self._changed.set()

    async def do_stop_worker(self, worker: Any) -> None:
        """End a worker's process, then its lease."""
        alive, lease = lives(worker.state), worker.state.get("lease")
        try:
            if alive:
                await super().do_stop_worker(worker)
        finally:
            self._running.pop(_key(worker), None)
            if lease is not None:
                await self._close(lease, self._now() if alive else None)

    def _follow(self, key: str, state: dict[str, Any]) -> None:
        """Close the worker's lease at the moment at which its process ends, whatever ends it.

        Of a process that has ended already nothing is noted: the next comparison closes its lease.
        """
        lease: int = state["lease"]
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
            at = self._now()
            loop.remove_reader(descriptor)
            os.close(descriptor)
            self._running.pop(key, None)
            self._changed.set()
            self.task_pool.spawn(self._close(lease, at))

        loop.add_reader(descriptor, ended)

    async def _watch_workers(self) -> None:
        """Compare the ledger's open leases with the processes, and stop what its account no longer allows.

        At the start, from time to time, when a worker has started or ended, and at the moment that is due next.
        """
        while True:
            due: datetime | None = None
            self._changed.clear()
            try:
                await self._compare()
                due = await self._enforcer.enforce()
            except asyncio.CancelledError:
                raise
            except Exception:
                self.log.warning("The workers could not be compared with the ledger", exc_info=True)
            pause = WATCH_PERIOD
            if due is not None:
                pause = min(pause, max(1.0, (due - self._now()).total_seconds()))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), pause)
                # A cluster's workers start and end together; one look is for all of them.
                await asyncio.sleep(GATHER)

    async def _compare(self) -> None:
        """Note which workers run; close the leases of those that ended while nobody looked."""
        leases = await self._decide(lambda: self._ledger.open_leases(WORKER))
        alive = {key for key, state in self._running.items() if lives(state)}
        await self._decide(lambda: self._ledger.seen(alive))
        for lease in leases:
            starting = lease.started_at is None and self._now() - lease.admitted_at < STARTING
            if lease.key not in alive and not starting:
                await self._close(lease.id, None)

    async def _close(self, lease: int, at: datetime | None) -> None:
        """Close a worker's lease at a time, or where that is not known, at the last one it was seen."""

        def close() -> None:
            found = self._ledger.lease(lease)
            if found is None:
                return
            order = self._enforcer.order(cluster_of(found.key))
            ended = ENDED if order is None else order.reason
            reason = NOT_STARTED if found.started_at is None else ended
            self._ledger.close(lease, reason=reason, at=at or found.last_alive, actor=ACTOR)

        await self._decide(close)

    @property
    def _tiers(self) -> Tiers:
        """The tiers, read again when their file changes."""
        return self._tiers_file.current()

    async def _payers(self, user: User) -> Payers:
        """The accounts that the user may draw on; their own is opened where they have none yet."""
        groups = set(user.groups)
        return await self._decide(lambda: payers_for(self._ledger, self._tiers, user.name, groups))

    async def _decide(self, decision: Callable[[], T]) -> T:
        """Ask the ledger, off the event loop and with a deadline; no answer is a no."""
        try:
            return await asyncio.wait_for(asyncio.to_thread(decision), DEADLINE)
        except Refused as refusal:
            raise PublicException(" ".join(str(refusal).split())) from None
        except TimeoutError:
            raise PublicException("The ledger does not answer, so nothing can start. Try again later.") from None


def lives(state: dict[str, Any]) -> bool:
    """Whether the process that a worker's or a cluster's state tells of is still that one, and runs."""
    return "pid" in state and is_alive(state["pid"], state.get("birth"))


def _with_birth(state: dict[str, Any]) -> dict[str, Any]:
    """The state with the time at which its process was made: a number alone may come back as another's."""
    return {**state, "birth": birth(state["pid"])} if "pid" in state else state


def _key(worker: Any) -> str:
    return f"dask-worker:{worker.cluster.name}/{worker.name}"
