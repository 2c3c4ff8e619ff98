"""What the policy needs to know of what a gateway runs, whatever runs it: processes or pods."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from hubquota.models.words import number_text


@dataclass(frozen=True)
class WorkerSize:
    """What one worker of a cluster has."""

    cores: int
    memory_gib: int

    def __str__(self) -> str:
        return f"{number_text(self.cores, 'core')} and {self.memory_gib} GB"


@dataclass(frozen=True)
class ClusterFacts:
    """A cluster that a gateway runs, or is about to run."""

    name: str
    owner: str
    #: The account that pays.
    account: str
    size: WorkerSize
    #: The keys of the leases of the workers that it has and that were not told to end, the oldest first.
    workers: tuple[str, ...] = ()


class Engine(Protocol):
    """What runs clusters. It gives facts and carries out; the policy decides.

    A backend of Dask Gateway is one. Beside these methods it opens a worker's lease with the begin of its
    process or pod, and closes it with the end, by the machinery's own times: `Policy.began`, `Policy.ended`,
    `Policy.cluster_began`, `Policy.cluster_ended`.
    """

    def clusters(self) -> list[ClusterFacts]:
        """Return the clusters that have not been told to end."""

    def known(self, cluster: str) -> bool:
        """Return whether anything is known of a cluster yet, or still."""

    def running(self) -> set[str]:
        """Return the keys of the leases of all workers and schedulers that run now."""

    def coming(self) -> set[str]:
        """Return the keys of the leases of all workers and schedulers that are about to be started."""

    def noting(self) -> set[str]:
        """Return the keys of the leases whose end is known, and is about to be noted with its own time."""

    async def retire(self, cluster: str, count: int) -> None:
        """Have a cluster's scheduler retire workers down to a number."""

    def end_workers(self, cluster: str, keys: list[str]) -> None:
        """End workers now, whatever they are at."""

    async def stop_cluster(self, cluster_name: str, failed: bool = False) -> None:
        """Stop a cluster, its workers first."""

    def spawn(self, task: Coroutine[Any, Any, None]) -> None:
        """Have something done beside everything else."""
