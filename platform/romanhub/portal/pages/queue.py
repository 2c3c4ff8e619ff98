"""The queue of requests, for those who decide."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from hubquota.services.decisions import Verdict

from romanhub.portal.acts import Acts
from romanhub.portal.auth import Visitor
from romanhub.portal.desk import Desk
from romanhub.portal.forms import Form
from romanhub.portal.gate import Gate, ensure_admin
from romanhub.portal.pages.plans import seen, told
from romanhub.portal.problems import invalid
from romanhub.portal.reading import Reading
from romanhub.portal.rendering import Pages
from romanhub.portal.settings import HubSettings

_ROWS = 20
_WHY = "Say why: whoever asked reads the reason."


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

    @router.post("/admin/decisions/preview")
    async def preview(request: Request, sent: Form = form) -> HTMLResponse:
        ensure_admin(sent.visitor)
        verdict, reason = _decision(sent)
        if sent.text("which") == "all":
            numbers = await acts.waiting()
            if not numbers:
                raise invalid("Nothing waits for a decision any more.")
        else:
            numbers = [_number(text) for text in sent.texts("number")]
            if not numbers:
                raise invalid("Choose requests first: no box is ticked.")
        plan = await acts.preview_decisions(numbers, verdict)
        return pages.page(
            request,
            "decisions.html",
            here="queue",
            plan=plan,
            seen=" ".join(told(row.number, row.end) for row in plan if not row.refusal),
            results=None,
            verdict=verdict,
            reason=reason,
            tiers=desk.tiers,
        )

    @router.post("/admin/decisions")
    async def decide_all(request: Request, sent: Form = form) -> HTMLResponse:
        visitor, (verdict, reason) = ensure_admin(sent.visitor), _decision(sent)
        plan = [seen(text) for text in sent.text("seen", longest=512 * 1024).split()]
        results = await acts.decide(visitor, plan, verdict, reason=reason)
        return pages.page(
            request,
            "decisions.html",
            here="queue",
            plan=None,
            # What was not done is read first.
            results=sorted(results, key=lambda one: one.refusal is None),
            verdict=verdict,
            reason=reason,
            tiers=desk.tiers,
        )

    @router.post("/admin/requests/{number}")
    async def decide(number: Annotated[int, Path(ge=1, lt=2**63)], sent: Form = form) -> RedirectResponse:
        visitor, reason = ensure_admin(sent.visitor), sent.text("reason", longest=2000)
        match sent.text("decision"):
            case "approve":
                if not reason:
                    raise invalid(_WHY)
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


def _decision(sent: Form) -> tuple[Verdict, str]:
    reason = sent.text("reason", longest=2000)
    if not reason:
        raise invalid(_WHY)
    match sent.text("decision"):
        case "approve":
            return "approve", reason
        case "deny":
            return "deny", reason
        case other:
            raise invalid(f"Requests are approved or denied, not '{other}'.")


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) >= 2**63:
        raise invalid(f"'{text}' is no number of a request.")
    return int(text)
