"""Stopping workers before their cluster's scheduler, with a reason, when their account no longer allows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from hubquota.models.stops import EndKind

from romanhub.dask.facts import ClusterFacts, Engine
from romanhub.dask.orders import Order, Orders

#: How long a scheduler has to retire its workers before they are ended for it. It is the owner's code.
PATIENCE = timedelta(seconds=60)

#: The same where the whole cluster ends. Its last workers have nobody to hand on to what they hold, and so do not
#: retire by themselves; they have to be gone before nothing pays for them, which is half a minute after the order.
LAST_PATIENCE = timedelta(seconds=15)


class Decides(Protocol):
    """What says what has to stop: the policy."""

    def now(self) -> datetime:
        """Return the time."""

    async def orders(self, clusters: Sequence[ClusterFacts]) -> Orders:
        """Return what has to stop now."""

    async def announce(self, cluster: str, keys: Sequence[str], reason: str | None, kind: EndKind | None) -> None:
        """Note why a cluster and its workers are about to be stopped, or that they are not after all."""


@dataclass
class _Given:
    order: Order
    since: datetime

    @property
    def until(self) -> datetime:
        """Until when the scheduler may carry it out itself."""
        return self.since + (LAST_PATIENCE if self.order.final else PATIENCE)


class Enforcer:
    """Carries out what the policy says has to stop."""

    def __init__(self, policy: Decides, engine: Engine) -> None:
        self._policy = policy
        self._engine = engine
        self._given: dict[str, _Given] = {}

    def order(self, cluster_name: str) -> Order | None:
        """What was ordered of a cluster; it stays known after the cluster has ended for it."""
        given = self._given.get(cluster_name)
        return None if given is None else given.order

    def ending(self, cluster_name: str) -> bool:
        """Whether a cluster was told to end."""
        order = self.order(cluster_name)
        return order is not None and order.final

    async def enforce(self) -> datetime | None:
        """Look once. Return when to look again at the latest; None where nothing is due by itself."""
        now, clusters = self._policy.now(), self._engine.clusters()
        self._given = {name: one for name, one in self._given.items() if self._engine.known(name)}
        found = await self._policy.orders(clusters)
        forgotten: set[str] = set()
        for cluster in clusters:
            name, workers = cluster.name, cluster.workers
            given, order = self._given.get(name), found.clusters.get(name)
            if given is not None and given.order.final:
                if not workers:
                    await self._engine.stop_cluster(name)
                    continue
                if order is None or not order.final:
                    # Workers whose processes have ended are still on the gateway's list for a moment; a cluster
                    # that is to end is let go on only where a worker goes on.
                    if name not in found.working:
                        continue
                    await self._forget(cluster)
                    forgotten.add(name)
                    given = None
            if order is None:
                self._given.pop(name, None)
            elif given is None or order.allowed < given.order.allowed or order.final > given.order.final:
                await self._give(cluster, order, now)
            elif order.allowed > given.order.allowed:
                # A limit was raised, but not to where it was: what may start now is the policy's to say.
                self._given[name] = _Given(order, given.since)
            elif now >= given.until:
                self._engine.end_workers(name, list(workers[order.allowed :]))
        for cluster in clusters:
            # What was announced of those that were let go on just now is what was taken back.
            if cluster.name in forgotten:
                continue
            if named := [key for key in cluster.workers if key in found.named]:
                self._engine.end_workers(cluster.name, named)
        waiting = [given.until for given in self._given.values() if given.until > now]
        return min((at for at in (found.next_at, *waiting) if at is not None), default=None)

    async def _give(self, cluster: ClusterFacts, order: Order, now: datetime) -> None:
        self._given[cluster.name] = _Given(order, now)
        if order.final:
            await self._policy.announce(cluster.name, cluster.workers, order.reason, order.kind)
            if not cluster.workers:
                await self._engine.stop_cluster(cluster.name)
                return
        # A scheduler that does not answer is no reason to wait: after a while its workers are ended for it.
        self._engine.spawn(self._engine.retire(cluster.name, order.allowed))

    async def _forget(self, cluster: ClusterFacts) -> None:
        """Let workers go on that had been told to stop, because something pays for them again."""
        self._given.pop(cluster.name, None)
        await self._policy.announce(cluster.name, cluster.workers, None, None)
