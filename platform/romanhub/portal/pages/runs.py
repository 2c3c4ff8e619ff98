"""The page of one's own runs: what waits, what runs, what came of the others."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from hubquota.models.money import to_units

from romanhub.portal.auth import NotAllowedError, Visitor
from romanhub.portal.forms import Form
from romanhub.portal.gate import Gate
from romanhub.portal.rendering import Pages
from romanhub.portal.running import MOST, Running
from romanhub.portal.settings import HubSettings


def routes(settings: HubSettings, gate: Gate, running: Running, pages: Pages) -> APIRouter:
    """The routes of runs."""
    router = APIRouter(include_in_schema=False)
    person, form = Depends(gate.person), Depends(gate.form)

    @router.get("/runs")
    async def runs_page(request: Request, visitor: Visitor = person) -> HTMLResponse:
        runs = await running.runs(visitor)
        costs = {one.id: to_units(one.credits) for one in runs if one.credits is not None}
        return pages.page(request, "runs.html", here="runs", runs=runs, costs=costs, most=MOST)

    @router.post("/runs/cancel")
    async def cancel(sent: Form = form) -> RedirectResponse:
        if sent.visitor.kind != "user":
            raise NotAllowedError(f"{sent.visitor.name} is a service of the hub, and only people have runs.")
        await running.cancel(sent.visitor, sent.number("number"))
        return RedirectResponse(f"{settings.prefix}runs", status_code=303)

    return router
