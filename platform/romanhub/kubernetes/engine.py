"""The pods of a gateway as the engine that the policy looks at and orders about (`romanhub.dask.facts.Engine`)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from romanhub.dask.charged import account_of, size_of
from romanhub.dask.facts import ClusterFacts, WorkerSize
from romanhub.dask.orders import Order
from romanhub.dask.payers import ENDED
from romanhub.kubernetes.lives import End, Life

log = logging.getLogger(__name__)

#: The phases of a DaskCluster that has ended.
OVER = ("Stopped", "Failed")


class Hands(Protocol):
    """What changes something in Kubernetes: the controller. What is gone already is no error."""

    async def tell_scheduler(self, cluster: str, address: str, message: Mapping[str, Any]) -> None:
        """Send a message to a cluster's scheduler."""

    async def remove_pod(self, cluster: str, pod: str, *, now: bool) -> None:
        """Delete a pod; at once where its machine does not answer."""

    async def deactivate(self, cluster: str) -> None:
        """Have a cluster shut down."""


class PodEngine:
    """Knows all pods of the gateway's clusters, from what the controller hears of them."""

    def __init__(
        self,
        objects: Callable[[], Mapping[str, Mapping[str, Any]]],
        hands: Hands,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        stopping: Callable[[str, bool], Coroutine[Any, Any, None]],
    ) -> None:
        """Look at a gateway.

        Args:
            objects: returns all its DaskCluster objects, by what the gateway calls them.
            hands: what changes something.
            spawn: has something done beside everything else.
            stopping: notes that a cluster was told to stop, and whether it failed, where no other reason is known.
        """
        self._objects, self._hands, self._spawn, self._stopping = objects, hands, spawn, stopping
        #: By cluster and by pod.
        self._lives: dict[str, dict[str, Life]] = {}
        #: The keys of workers that were admitted and whose pods have not been heard of yet, with their clusters.
        self._making: dict[str, str] = {}
        #: Returns the keys of the leases whose end is about to be noted.
        self.ends: Callable[[], set[str]] = set
        #: Returns what was ordered of a cluster.
        self.ordered: Callable[[str], Order | None] = lambda _cluster: None

    # What is heard of pods -------------------------------------------------------------------------------

    def take(self, life: Life, *, gone: bool = False) -> None:
        """Take what is known of a pod by now."""
        self._making.pop(life.key, None)
        pods = self._lives.setdefault(life.cluster, {})
        if gone:
            pods.pop(life.pod, None)
        else:
            pods[life.pod] = life
        if not pods:
            del self._lives[life.cluster]

    def make(self, key: str, cluster: str) -> None:
        """Take that a worker's pod is about to be made."""
        self._making[key] = cluster

    def unmake(self, key: str) -> None:
        """Take that it was not made."""
        self._making.pop(key, None)

    def keys(self, cluster: str) -> set[str]:
        """Return the keys of all workers of a cluster of which anything is known."""
        return {life.key for life in self.pods(cluster) if life.worker} | {
            key for key, name in self._making.items() if name == cluster
        }

    def pods(self, cluster: str) -> list[Life]:
        """Return all pods of a cluster of which anything is known."""
        return list(self._lives.get(cluster, {}).values())

    def scheduler(self, cluster: str) -> Life | None:
        """Return a cluster's scheduler, if it has one."""
        return next((life for life in self.pods(cluster) if not life.worker), None)

    def why(self, life: Life) -> End:
        """Return why a pod has ended: by its machinery, or for what was ordered of its cluster."""
        end = life.end or End(ENDED)
        order = self.ordered(life.cluster)
        if end.own or (order is None and self._goes_on(life.cluster)):
            return end
        return End(ENDED if order is None else order.reason)

    def asked(self, cluster: str) -> bool:
        """Return whether somebody asked for a cluster's end."""
        found = self._object(cluster)
        return found is None or not found["spec"].get("active", True)

    def overdue(self, now: datetime, patience: timedelta) -> list[Life]:
        """Return the pods that have waited for a node for too long."""
        return [life for life in self.everything() if life.waits and not life.told and life.made < now - patience]

    def lost(self) -> list[Life]:
        """Return the pods whose machine does not answer, and that were not told to end."""
        return [
            life
            for life in self.everything()
            if life.end is not None and life.end.kind == "node-lost" and not life.told
        ]

    def unpaid(self, closed: Callable[[Life], bool]) -> list[Life]:
        """Return the workers that run although their leases are closed: their machine was silent for a while."""
        return [life for life in self.everything() if life.worker and life.runs and not life.told and closed(life)]

    # Facts -----------------------------------------------------------------------------------------------

    def clusters(self) -> list[ClusterFacts]:
        """Return the clusters that have not been told to end, the oldest first."""
        found = [one for one in list(self._objects().values()) if is_active(one)]
        found.sort(key=lambda one: (one["metadata"]["creationTimestamp"], name_of(one)))
        return [facts_of(one, self._workers(name_of(one))) for one in found]

    def _workers(self, cluster: str) -> tuple[str, ...]:
        going_on = [one for one in self.pods(cluster) if one.worker and one.key and not one.end and not one.told]
        made = [key for key, name in self._making.items() if name == cluster]
        return (*(life.key for life in sorted(going_on, key=_age)), *made)

    def known(self, cluster: str) -> bool:
        """Return whether there is a record of a cluster."""
        return self._object(cluster) is not None

    def sizes(self) -> dict[str, WorkerSize]:
        """Return the sizes of the workers of all clusters of which there is a record, by name."""
        return {name: size_of(one["spec"]["config"]) for name, one in list(self._objects().items())}

    def running(self) -> set[str]:
        """Return the keys of the leases of all pods that run now."""
        return {life.key for life in self.everything() if life.runs and life.key}

    def coming(self) -> set[str]:
        """Return the keys of the leases of all pods that are about to run."""
        waiting = {life.key for life in self.everything() if life.waits and life.key}
        return waiting | set(self._making)

    def noting(self) -> set[str]:
        """Return the keys of the leases whose end is known and is about to be noted with its own time."""
        return self.ends()

    # Acts ------------------------------------------------------------------------------------------------

    async def retire(self, cluster: str, count: int) -> None:
        """Have a cluster's scheduler retire workers down to a number. One that does not answer is left to it."""
        scheduler = self.scheduler(cluster)
        if scheduler is None or not scheduler.runs or not scheduler.address:
            return
        try:
            await self._hands.tell_scheduler(cluster, scheduler.address, {"op": "scale", "count": count})
        except Exception as error:
            log.warning("The scheduler of %s was not told to retire workers: %r", cluster, error)

    def end_workers(self, cluster: str, keys: list[str]) -> None:
        """Delete workers' pods now."""
        for life in self.pods(cluster):
            if life.worker and life.key in keys and not life.told:
                self.remove(life)

    def remove(self, life: Life) -> None:
        """Delete a pod."""
        lost = life.end is not None and life.end.kind == "node-lost"
        self._spawn(self._hands.remove_pod(life.cluster, life.pod, now=lost))

    async def stop_cluster(self, cluster_name: str, failed: bool = False) -> None:
        """Stop a cluster; of one that has ended already there is nothing to stop."""
        found = self._object(cluster_name)
        if found is None or not is_active(found):
            return
        await self._stopping(cluster_name, failed)
        await self._hands.deactivate(cluster_name)

    def spawn(self, task: Coroutine[Any, Any, None]) -> None:
        """Have something done beside everything else."""
        self._spawn(task)

    def everything(self) -> list[Life]:
        """Return all pods of which anything is known."""
        return [life for pods in self._lives.values() for life in pods.values()]

    def _object(self, cluster: str) -> Mapping[str, Any] | None:
        return self._objects().get(cluster)

    def _goes_on(self, cluster: str) -> bool:
        found, scheduler = self._object(cluster), self.scheduler(cluster)
        return found is not None and is_active(found) and (scheduler is None or scheduler.end is None)


def _age(life: Life) -> tuple[datetime, int]:
    return life.made, life.lease or 0


def name_of(cluster: Mapping[str, Any]) -> str:
    """Return what the gateway calls a DaskCluster."""
    return f"{cluster['metadata']['namespace']}.{cluster['metadata']['name']}"


def is_active(cluster: Mapping[str, Any]) -> bool:
    """Return whether a DaskCluster was not told to end and has not ended."""
    return bool(cluster["spec"].get("active", True)) and (cluster.get("status") or {}).get("phase") not in OVER


def facts_of(cluster: Mapping[str, Any], workers: tuple[str, ...] = ()) -> ClusterFacts:
    """Return what the policy needs to know of a DaskCluster."""
    spec = cluster["spec"]
    return ClusterFacts(
        name=name_of(cluster),
        owner=spec["username"],
        account=account_of(spec.get("options") or {}, spec["username"]),
        size=size_of(spec["config"]),
        workers=workers,
    )
