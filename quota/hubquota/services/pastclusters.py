"""Clusters that have ended: what each cost, and why it ended."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from hubquota.models.clusters import cluster_key, cluster_of, worker_key
from hubquota.models.kinds import CLUSTER
from hubquota.models.ledger import Lease
from hubquota.services.base import Service
from hubquota.storage import clusters, leases
from hubquota.storage.engine import reading
from hubquota.storage.times import seconds


@dataclass(frozen=True, slots=True)
class PastCluster:
    """A cluster that has ended; `cost` is what all its workers were charged, in units."""

    name: str
    lease: Lease
    cost: int


class PastClusters(Service):
    """Reads clusters that have ended."""

    def page(self, person: str, *, limit: int = 50, before: int | None = None) -> list[PastCluster]:
        """Return a person's clusters that have ended, the one that was made last first.

        Args:
            person: whose.
            limit: how many at most.
            before: only those made before the one whose lease has this number.
        """
        with reading(self._engine) as connection:
            found = leases.list_ended_of(connection, person, CLUSTER, limit, before, self._now())
            return [_view(connection, lease) for lease in found]

    def find(self, person: str, name: str) -> PastCluster | None:
        """Return a person's cluster of that name that has ended; None where there is none."""
        with reading(self._engine) as connection:
            found = leases.last_ended(connection, person, CLUSTER, cluster_key(name), self._now())
            return None if found is None else _view(connection, found)


def _view(connection: Connection, lease: Lease) -> PastCluster:
    name = cluster_of(lease.key)
    since = seconds(lease.admitted_at)
    cost = clusters.ended_cost(connection, lease.account, since=since, prefix=worker_key(name, ""))
    return PastCluster(name, lease, cost)
