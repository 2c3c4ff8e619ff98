"""Dask clusters that run, for administrators: pages and API read, limit and stop them over the same services.

The gateway carries out what is said here at its next look, some seconds later.
"""

from __future__ import annotations

from hubquota.models.clusters import ClusterUse, Instruction

from romanhub.portal.acts import given_reason
from romanhub.portal.auth import Visitor
from romanhub.portal.desk import Desk


class AllClusters:
    """Whoever calls has checked that the visitor may. All methods raise LedgerUnavailableError."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def list(self) -> list[ClusterUse]:
        """Return the clusters that run, those that cost most first."""
        found = await self._desk.ask(self._desk.ledger.clusters)
        return sorted(found, key=lambda use: (-use.rate, use.lease.id))

    async def limit(self, visitor: Visitor, name: str, most: int, *, reason: str) -> Instruction:
        """Have a cluster keep to a number of workers; raises what `Clusters.limit_cluster` raises."""
        return await self._desk.act(
            lambda: self._desk.ledger.limit_cluster(name, most, actor=visitor.name, reason=given_reason(reason))
        )

    async def stop(self, visitor: Visitor, name: str, *, reason: str) -> Instruction:
        """Have a cluster stop; raises what `Clusters.stop_cluster` raises."""
        return await self._desk.act(
            lambda: self._desk.ledger.stop_cluster(name, actor=visitor.name, reason=given_reason(reason))
        )
