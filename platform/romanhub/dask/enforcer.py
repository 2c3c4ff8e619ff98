"""Stopping workers before their cluster's scheduler, with a reason, when their account no longer allows them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from dask_gateway_server.backends.db_base import JobStatus

from romanhub.dask.orders import Order, Orders

#: How long a scheduler has to retire its workers before they are ended for it. It is the owner's code.
PATIENCE = timedelta(seconds=60)

T = TypeVar("T")


class Gateway(Protocol):
    """What the enforcer needs of the backend."""

    db: Any
    queue: Any
    task_pool: Any

    def payer(self, cluster: Any) -> tuple[str, str]:
        """The account that pays for a cluster, and whose cluster it is."""

    async def orders(self, clusters: dict[str, tuple[str, str]], now: datetime) -> Orders:
        """Ask the ledger what has to stop."""

    async def announce(self, keys: list[str], reason: str | None) -> None:
        """Note why workers are about to be stopped, or that they are not after all."""

    async def scale(self, cluster: Any, count: int) -> None:
        """Have a cluster's scheduler retire workers down to a number."""

    async def stop_cluster(self, cluster_name: str, failed: bool = False) -> None:
        """Stop a cluster."""


@dataclass
class _Given:
    order: Order
    since: datetime


class Enforcer:
    """Carries out what the ledger says has to stop."""

    def __init__(self, gateway: Gateway, key: Callable[[Any], str], now: Callable[[], datetime]) -> None:
        """Serve a backend.

        Parameters
        ----------
        gateway
            The backend.
        key
            Returns the key of a worker's lease.
        now
            Returns the time.
        """
        self._gateway = gateway
        self._key = key
        self._now = now
        self._given: dict[str, _Given] = {}

    def order(self, cluster_name: str) -> Order | None:
        """What was ordered of a cluster; it stays known after the cluster has ended for it."""
        given = self._given.get(cluster_name)
        return None if given is None else given.order

    async def enforce(self) -> datetime | None:
        """Look once. Return when to look again at the latest; None where nothing is due by itself."""
        gateway, now = self._gateway, self._now()
        clusters = {cluster.name: cluster for cluster in gateway.db.active_clusters()}
        self._given = {name: one for name, one in self._given.items() if gateway.db.get_cluster(name) is not None}
        found = await gateway.orders({name: gateway.payer(cluster) for name, cluster in clusters.items()}, now)
        for name, cluster in clusters.items():
            workers = cluster.active_workers()
            given, order = self._given.get(name), found.clusters.get(name)
            if given is not None and given.order.final and not workers:
                await gateway.stop_cluster(name)
            elif order is None:
                # Workers whose processes have ended are still on the gateway's list for a moment; a cluster that
                # is to end is let go on only where a worker goes on.
                if given is not None and (not given.order.final or name in found.working):
                    await self._forget(name, workers)
            elif given is None or order.allowed < given.order.allowed or order.final > given.order.final:
                await self._give(cluster, order, now)
            elif now - given.since >= PATIENCE:
                self._end(sorted(workers, key=lambda one: one.id, reverse=True)[: len(workers) - order.allowed])
        for cluster in clusters.values():
            self._end([one for one in cluster.active_workers() if self._key(one) in found.named])
        return found.next_at

    async def _give(self, cluster: Any, order: Order, now: datetime) -> None:
        self._given[cluster.name] = _Given(order, now)
        if order.final:
            await self._gateway.announce([self._key(one) for one in cluster.active_workers()], order.reason)
        # A scheduler that does not answer is no reason to wait: after a while its workers are ended for it.
        self._gateway.task_pool.spawn(self._gateway.scale(cluster, order.allowed))

    async def _forget(self, name: str, workers: list[Any]) -> None:
        """Let workers go on that had been told to stop, because something pays for them again."""
        given = self._given.pop(name, None)
        if given is not None and given.order.final:
            await self._gateway.announce([self._key(one) for one in workers], None)

    def _end(self, workers: list[Any]) -> None:
        self._gateway.db.update_workers(
            [(one, {"target": JobStatus.STOPPED, "close_expected": True}) for one in workers]
        )
        for one in workers:
            self._gateway.queue.put(one)
