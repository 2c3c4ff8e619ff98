"""The queue of requests, for those who decide."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from romanhub.portal.acts import Acts
from romanhub.portal.auth import Visitor
from romanhub.portal.desk import Desk
from romanhub.portal.forms import Form
from romanhub.portal.gate import Gate, ensure_admin
from romanhub.portal.problems import invalid
from romanhub.portal.reading import Reading
from romanhub.portal.rendering import Pages
from romanhub.portal.settings import HubSettings

_ROWS = 20


def routes(settings: HubSettings, gate: Gate, desk: Desk, reading: Reading, acts: Acts, pages: Pages) -> APIRouter:
    """The routes of the queue."""
    router = APIRouter()
    auditor, form = Depends(gate.auditor), Depends(gate.form)

    @router.get("/admin/requests")
    async def queue(
        request: Request,
        after: Annotated[int, Query(ge=0, lt=2**63)] = 0,
        decided: bool = False,
        _visitor: Visitor = auditor,
    ) -> HTMLResponse:
        found, following = await reading.requests(None, open_only=not decided, after=after, limit=_ROWS)
        return pages.page(
            request,
            "queue.html",
            here="queue",
            requests=found,
            after=after,
            next_after=following,
            decided=decided,
            tiers=desk.tiers,
        )

    @router.post("/admin/requests/{number}")
    async def decide(number: Annotated[int, Path(ge=1, lt=2**63)], sent: Form = form) -> RedirectResponse:
        visitor, reason = ensure_admin(sent.visitor), sent.text("reason", longest=2000)
        match sent.text("decision"):
            case "approve":
                if not reason:
                    raise invalid("Say why: whoever asked reads the reason.")
                await acts.approve(
                    visitor,
                    number,
                    reason=reason,
                    units=sent.units("amount") if sent.text("amount") else None,
                    tier=sent.text("tier") or None,
                    start=sent.start_of("start"),
                    end=sent.end_of("end"),
                )
            case "deny":
                await acts.deny(visitor, number, reason=reason)
            case other:
                raise invalid(f"A request is approved or denied, not '{other}'.")
        return RedirectResponse(f"{settings.prefix}admin/requests", status_code=303)

    return router
