"""A person's own Dask clusters."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from romanhub.portal.auth import Visitor
from romanhub.portal.clusters import Clusters
from romanhub.portal.desk import Desk
from romanhub.portal.gate import Gate
from romanhub.portal.pages.account import LINES, Earlier
from romanhub.portal.rendering import Pages


def routes(gate: Gate, desk: Desk, clusters: Clusters, pages: Pages) -> APIRouter:
    """The route of the page."""
    router = APIRouter()
    person = Depends(gate.person)

    @router.get("/clusters")
    async def own_clusters(request: Request, before: Earlier = None, visitor: Visitor = person) -> HTMLResponse:
        found = await clusters.mine(visitor, limit=LINES, before=before)
        return pages.page(
            request,
            "clusters.html",
            here="clusters",
            found=found,
            before=before,
            at=desk.clock(),
        )

    return router
