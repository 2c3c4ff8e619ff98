"""Dask Gateway on one machine: clusters of local processes, within the tier, charged by the ledger."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from dask_gateway_server.backends.base import PublicException
from dask_gateway_server.backends.local import LocalBackend
from dask_gateway_server.models import User
from dask_gateway_server.options import Options
from hubquota.models.ledger import Refused
from hubquota.models.tiers import Tier, Tiers
from hubquota.services.ledger import MINIMUM_SECONDS, Ledger, utc_now
from hubquota.services.tiersfile import TiersFile
from hubquota.storage.engine import make_engine
from traitlets import Unicode

from romanhub.dask.options import cluster_options
from romanhub.local.processes import birth, is_alive
from romanhub.local.system_users import SystemUsers, become, can_separate

#: The kind of lease that a running worker holds in the ledger.
WORKER = "dask-worker"

#: Who closes a worker's lease, in the journal.
ACTOR = "dask-gateway"

#: How long a decision of the ledger may take, in seconds, before the answer is no.
DEADLINE = 10.0

#: How often the ledger is compared with the processes, in seconds. After a crash of the gateway, a worker
#: that died meanwhile is charged to within this much.
WATCH_PERIOD = 15.0

#: How long after its admission a worker may still be about to begin.
STARTING = timedelta(minutes=2)

#: Why a lease ended that never began.
NOT_STARTED = "The worker did not start."

#: The folder of a cluster that its owner may write.
WORK = "work"

T = TypeVar("T")


class LocalClusterBackend(LocalBackend):  # type: ignore[misc]
    """Runs schedulers and workers as local processes of their owner's system user.

    A worker's lease opens when its process is started and closes at the moment the process ends, so that what
    is charged is what ran, whatever a heartbeat says. The scheduler is free.
    """

    homes = Unicode(config=True, help="The folder that holds the users' home folders.")

    tiers_file = Unicode(config=True, help="The tiers file.")

    database_url = Unicode(config=True, help="The ledger's database.")

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
        self.task_pool.spawn(self._watch_workers())

    async def get_cluster_options(self, user: User) -> Options:
        """What the user's tier lets them choose."""
        return cluster_options(await self._tier(user))

    async def start_cluster(self, user: User, cluster_options: dict[str, Any]) -> str:
        """Admit a cluster within the tier's cap and the balance, then start it.

        Raises
        ------
        PublicException
            A refusal in one line: the limit, and how to ask for more.
        """
        async with self._admission:
            tier = await self._tier(user)
            running = [c for c in self.db.active_clusters() if c.username == user.name]
            if len(running) >= tier.dask.clusters:
                names = ", ".join(cluster.name for cluster in running) or "none"
                raise PublicException(
                    f"Your tier, {tier.title}, allows {tier.dask.clusters} Dask "
                    f"{'cluster' if tier.dask.clusters == 1 else 'clusters'} at a time and you have "
                    f"{len(running)} ({names}). Stop one first. {self._tiers.ask}"
                )
            balance = await self._decide(lambda: self._ledger.balance(user.name))
            if balance.available <= 0:
                raise PublicException(f"Your balance is used up, so no Dask cluster can start. {self._tiers.ask}")
            try:
                self._users.lookup(user.name)
            except KeyError:
                raise PublicException(
                    "Start a server once first: it makes the home that a cluster runs in."
                ) from None
            name: str = await super().start_cluster(user, cluster_options)
            return name

    def make_preexec_fn(self, cluster: Any) -> Callable[[], None]:
        """Run the cluster's processes as its owner's system user, in the one folder that is theirs."""
        return become(self._users.lookup(cluster.username), Path(cluster.state["workdir"]) / WORK)

    def setup_working_directory(self, cluster: Any) -> str:
        """Make the cluster's folder, with its credentials and a folder to work in.

        The gateway goes on writing here as root, so the owner may change nothing but the folder to work in:
        a link put in the place of another would have root write where it points.
        """
        system = self._users.lookup(cluster.username)
        group = system.gid if system else -1
        workdir = Path(self.clusters_directory) / cluster.name
        certificates = Path(self.get_certs_directory(str(workdir)))
        for folder, mode in ((workdir, 0o750), (certificates, 0o750)):
            folder.mkdir(0o700)
            os.chown(folder, -1, group)
            folder.chmod(mode)
        Path(self.get_logs_directory(str(workdir))).mkdir(0o700)
        certificate, key = self._get_tls_paths(str(workdir))
        for path, content in ((certificate, cluster.tls_cert), (key, cluster.tls_key)):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
            with os.fdopen(descriptor, "wb") as file:
                os.fchown(descriptor, -1, group)
                file.write(content)
        work = workdir / WORK
        work.mkdir(0o700)
        if system:
            os.chown(work, system.uid, system.gid, follow_symlinks=False)
        return str(workdir)

    def get_env(self, cluster: Any) -> dict[str, str]:
        """The environment of a cluster's process: its owner's home, as a notebook has it."""
        env: dict[str, str] = super().get_env(cluster)
        system = self._users.lookup(cluster.username)
        env["HOME"] = str(self._users.home(cluster.username))
        env["USER"] = system.name if system else cluster.username
        # What does not fit into memory is not for a folder that everybody can write.
        env["DASK_TEMPORARY_DIRECTORY"] = str(Path(cluster.state["workdir"]) / WORK)
        return env

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

    async def _room(self, cluster: Any) -> int:
        """How many workers the cluster may have: what the owner's tier and balance leave beside the others."""

        def count() -> int:
            account = self._ledger.account(cluster.username)
            if account is None:
                return 0
            dask = self._tiers.tiers[self._tiers.largest(account.tiers)].dask
            keys = [lease.key for lease in self._ledger.open_leases(WORKER, account=cluster.username)]
            own = sum(key.startswith(f"{WORKER}:{cluster.name}/") for key in keys)
            free = dask.workers - (len(keys) - own)
            if dask.rate:
                available = max(0, self._ledger.balance(cluster.username).available)
                free = min(free, own + available // (dask.rate * MINIMUM_SECONDS))
            return max(0, free)

        return await self._decide(count)

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
        account = await self._decide(lambda: self._ledger.account(cluster.username))
        if account is None:
            raise PublicException(f"{cluster.username} has no account. Start a server once: it opens one.")
        tier = self._tiers.tiers[self._tiers.largest(account.tiers)]
        lease = await self._decide(
            lambda: self._ledger.admit(
                cluster.username,
                kind=WORKER,
                key=_key(worker),
                label="Dask worker",
                rate=tier.dask.rate,
                limit=tier.dask.workers,
                ask=self._tiers.ask,
                # A name is given to one worker: what is open under it is a leftover of a crash.
                settle_leftover=True,
            )
        )
        try:
            async for state in super().do_start_worker(worker):
                born = {**_with_birth(state), "lease": lease.id}
                yield born
            await self._decide(lambda: self._ledger.begin(lease.id))
        except BaseException:
            await self._decide(lambda: self._ledger.close(lease.id, reason=NOT_STARTED, actor=ACTOR))
            raise
        self._follow(_key(worker), born)

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
            self.task_pool.spawn(self._close(lease, at))

        loop.add_reader(descriptor, ended)

    async def _watch_workers(self) -> None:
        """At the start and from time to time, compare the ledger's open leases with the processes."""
        while True:
            try:
                await self._compare()
            except asyncio.CancelledError:
                raise
            except Exception:
                self.log.warning("The workers could not be compared with the ledger", exc_info=True)
            await asyncio.sleep(WATCH_PERIOD)

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
            reason = NOT_STARTED if found.started_at is None else "The worker has ended."
            self._ledger.close(lease, reason=reason, at=at or found.last_alive, actor=ACTOR)

        await self._decide(close)

    @property
    def _tiers(self) -> Tiers:
        """The tiers, read again when their file changes."""
        return self._tiers_file.current()

    async def _tier(self, user: User) -> Tier:
        """The tier of the user's account, which is opened where they have none yet."""
        name = self._tiers.tier_for(set(user.groups))
        opened = self._tiers.tiers[name]
        account = await self._decide(
            lambda: self._ledger.open_account(
                user.name,
                name,
                opened.budget_units,
                actor=ACTOR,
                term_days=opened.term_days,
                renewable=opened.renewable,
            ),
        )
        return self._tiers.tiers[self._tiers.largest(account.tiers)]

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
