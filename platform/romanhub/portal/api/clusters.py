"""A person's own Dask clusters."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from romanhub.portal.api.paging import link_next
from romanhub.portal.auth import Visitor
from romanhub.portal.clusters import ClusterModel, Clusters, ClustersModel, OfferModel
from romanhub.portal.gate import Gate
from romanhub.portal.inputs import AccountName, Before, Rows
from romanhub.portal.problems import described

_Size = Annotated[int, Query(ge=0, le=100_000, description="0 for all that the account's tier gives a worker.")]


def routes(gate: Gate, clusters: Clusters) -> APIRouter:
    """The routes of clusters."""
    router = APIRouter(tags=["clusters"])
    person = Depends(gate.person)

    @router.get("/clusters")
    async def list_clusters(
        request: Request, response: Response, limit: Rows = 50, before: Before = None, visitor: Visitor = person
    ) -> ClustersModel:
        """The caller's Dask clusters: all that run, and by pages those that have ended."""
        found = await clusters.mine(visitor, limit=limit, before=before)
        link_next(request, response, before=found.next_before)
        return found

    @router.get("/clusters/offer", responses=described(404, 409))
    async def cluster_offer(
        account: AccountName = None, worker_cores: _Size = 0, worker_memory: _Size = 0, visitor: Visitor = person
    ) -> OfferModel:
        """What an account could start for the caller now, and what a worker of a size costs.

        Without an account, the one that the caller's servers draw on, or their own.
        """
        return await clusters.offer(visitor, account, cores=worker_cores, memory_gib=worker_memory)

    @router.get("/clusters/{name}", responses=described(404))
    async def read_cluster(
        name: Annotated[str, Path(pattern="^[A-Za-z0-9_-]{1,64}$", description="What Dask Gateway calls it.")],
        visitor: Visitor = person,
    ) -> ClusterModel:
        """One of the caller's Dask clusters: what it has cost, how long that lasts, and why it ended."""
        return await clusters.one(visitor, name)

    return router
