"""Dask clusters in the ledger: the keys of their leases, what they cost, and what administrators say of them.

A cluster is a free lease of the kind `CLUSTER`; each of its workers has a lease of its own, which costs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from hubquota.models.kinds import CLUSTER, WORKER
from hubquota.models.ledger import Lease
from hubquota.models.words import number_text

#: What people read of the two kinds.
CLUSTER_LABEL = "Dask cluster"
WORKER_LABEL = "Dask worker"


def cluster_key(cluster: str) -> str:
    """Return the key of a cluster's lease."""
    return f"{CLUSTER}:{cluster}"


def worker_key(cluster: str, which: str) -> str:
    """Return the key of the lease of one of a cluster's workers."""
    return f"{WORKER}:{cluster}/{which}"


def cluster_of(key: str) -> str:
    """Return the name of the cluster that a lease of either kind is for."""
    return key.partition(":")[2].partition("/")[0]


@dataclass(frozen=True, slots=True)
class Instruction:
    """What an administrator said of a cluster that runs. Of several, the last one counts."""

    id: int
    #: The cluster's lease.
    lease_id: int
    #: How many workers it may have at most; None for that it has to stop.
    most: int | None
    at: datetime
    actor: str
    reason: str

    @property
    def text(self) -> str:
        """What its owner reads: who said what, and why."""
        if self.most is None:
            what = "stopped this cluster"
        else:
            what = f"limited this cluster to {number_text(self.most, 'worker')} at once"
        why = " ".join(self.reason.split())
        return f"{self.actor} {what}: {why if why.endswith(('.', '!', '?')) else f'{why}.'}"


@dataclass(frozen=True, slots=True)
class ClusterUse:
    """A cluster as the ledger knows it. Amounts are in units."""

    name: str
    lease: Lease
    #: How many of its workers run.
    workers: int
    #: How many of its workers are admitted and do not run yet.
    starting: int
    #: What those that run cost together, in units a second.
    rate: int
    #: What all its workers have cost so far, those that have ended too.
    cost: int
    #: What an administrator said of it last; None for nothing.
    instruction: Instruction | None
