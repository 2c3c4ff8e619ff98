"""The page of all Dask clusters that run, for administrators."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from romanhub.portal.allclusters import AllClusters
from romanhub.portal.auth import Visitor
from romanhub.portal.forms import Form
from romanhub.portal.gate import Gate, ensure_admin
from romanhub.portal.problems import invalid
from romanhub.portal.rendering import Pages
from romanhub.portal.settings import HubSettings

_Name = Annotated[str, Path(min_length=1, max_length=100, pattern="^[0-9A-Za-z._-]+$")]
#: No cluster has more workers.
_MOST = 1_000_000


def routes(settings: HubSettings, gate: Gate, clusters: AllClusters, pages: Pages) -> APIRouter:
    """The routes of clusters."""
    router = APIRouter()
    auditor, form = Depends(gate.auditor), Depends(gate.form)

    @router.get("/admin/clusters")
    async def all_clusters(request: Request, _visitor: Visitor = auditor) -> HTMLResponse:
        return pages.page(request, "all_clusters.html", here="all-clusters", clusters=await clusters.list())

    @router.post("/admin/clusters/{name}/limit")
    async def limit(name: _Name, sent: Form = form) -> RedirectResponse:
        visitor = ensure_admin(sent.visitor)
        most = sent.number("workers")
        if most > _MOST:
            raise invalid(f"The field 'workers' is to be a whole number from 0 to {_MOST}.")
        await clusters.limit(visitor, name, most, reason=sent.text("reason", longest=2000))
        return back()

    @router.post("/admin/clusters/{name}/stop")
    async def stop(name: _Name, sent: Form = form) -> RedirectResponse:
        await clusters.stop(ensure_admin(sent.visitor), name, reason=sent.text("reason", longest=2000))
        return back()

    def back() -> RedirectResponse:
        return RedirectResponse(f"{settings.prefix}admin/clusters", status_code=303)

    return router
