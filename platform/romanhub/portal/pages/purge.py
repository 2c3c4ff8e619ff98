"""Purges: plans to review and decide about, holds, and asking for what was taken."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from romanhub.portal.auth import Visitor
from romanhub.portal.desk import Desk
from romanhub.portal.forms import Form
from romanhub.portal.gate import Gate, ensure_admin, ensure_requester
from romanhub.portal.problems import invalid
from romanhub.portal.purging import NOT_CONFIGURED, Purging, state_of_plan, totals
from romanhub.portal.rendering import Pages
from romanhub.portal.settings import HubSettings

_PLANS = 50
_THINGS = 100
_EVENTS = 100
_Id = Annotated[int, Path(ge=1, lt=2**63)]
_Before = Annotated[int | None, Query(ge=1, lt=2**63)]


def routes(settings: HubSettings, gate: Gate, desk: Desk, purging: Purging, pages: Pages) -> APIRouter:
    """The routes of purges."""
    router = APIRouter()
    auditor, form = Depends(gate.auditor), Depends(gate.form)

    @router.get("/admin/purge")
    async def all_plans(
        request: Request, lifted: bool = False, before: _Before = None, _visitor: Visitor = auditor
    ) -> HTMLResponse:
        limits = await purging.settings()
        plans, following = await purging.plans(limit=_PLANS, before=before)
        return pages.page(
            request,
            "purge.html",
            here="purge",
            plans=plans,
            before=before,
            next_before=following,
            holds=await purging.holds(lifted=lifted),
            lifted=lifted,
            configured=purging.configured,
            not_configured=NOT_CONFIGURED,
            state_of_plan=state_of_plan,
            schedule=limits.schedule if limits else None,
        )

    @router.get("/admin/purge/{number}")
    async def one_plan(
        request: Request,
        number: _Id,
        after: Annotated[int, Query(ge=0, lt=2**63)] = 0,
        before: _Before = None,
        _visitor: Visitor = auditor,
    ) -> HTMLResponse:
        found = await purging.review(number)
        items = [item for item in found.items if item.id > after]
        limits = await purging.settings()
        good_until = found.plan.made_at + timedelta(days=limits.plan_days) if limits else None
        events = [one for one in await purging.events(number) if before is None or one.id < before]
        return pages.page(
            request,
            "purge_plan.html",
            here="purge",
            plan=found.plan,
            review=found,
            together=totals(found.accounts),
            state=state_of_plan(found.plan),
            things=items[:_THINGS],
            after=after,
            next_after=items[_THINGS - 1].id if len(items) > _THINGS else None,
            events=events[:_EVENTS],
            before=before,
            next_before=events[_EVENTS - 1].id if len(events) > _EVENTS else None,
            configured=purging.configured,
            not_configured=NOT_CONFIGURED,
            settings=limits,
            schedule=limits.schedule if limits else None,
            good_until=good_until,
            stale=good_until is not None and desk.clock() >= good_until,
        )

    @router.post("/admin/purge/{number}/approve")
    async def approve(number: _Id, sent: Form = form) -> RedirectResponse:
        visitor = ensure_admin(sent.visitor)
        digest = sent.text("digest", longest=64)
        override = sent.text("override", longest=2000) or None
        await purging.approve(visitor, number, digest=digest, override=override)
        return plan_page(number)

    @router.post("/admin/purge/{number}/cancel")
    async def cancel(number: _Id, sent: Form = form) -> RedirectResponse:
        await purging.cancel(ensure_admin(sent.visitor), number, reason=sent.text("reason", longest=2000))
        return plan_page(number)

    @router.post("/purge/holds")
    async def hold(sent: Form = form) -> RedirectResponse:
        visitor = ensure_requester(sent.visitor)
        reason = sent.text("reason", longest=2000)
        await purging.hold(visitor, sent.text("account", longest=255), reason=reason)
        return back(sent)

    @router.post("/purge/releases")
    async def release(sent: Form = form) -> RedirectResponse:
        visitor = ensure_requester(sent.visitor)
        reason = sent.text("reason", longest=2000)
        await purging.release(visitor, sent.text("account", longest=255), reason=reason)
        return back(sent)

    @router.post("/purge/things/{number}/return")
    async def ask_back(number: _Id, sent: Form = form) -> RedirectResponse:
        await purging.ask_back(ensure_requester(sent.visitor), number)
        return back(sent)

    def plan_page(number: int) -> RedirectResponse:
        return RedirectResponse(f"{settings.prefix}admin/purge/{number}", status_code=303)

    def back(sent: Form) -> RedirectResponse:
        """Return to the page that the form was on: these forms are on several."""
        kind, _, name = sent.text("from", longest=300).partition(":")
        match kind:
            case "account":
                path = settings.path("admin/accounts", name)
            case "project":
                path = settings.path("projects", name)
            case "own":
                path = settings.prefix
            case "purge":
                return RedirectResponse(f"{settings.prefix}admin/purge#holds", status_code=303)
            case _:
                raise invalid("The form does not say which page it is on.")
        return RedirectResponse(f"{path}#kept", status_code=303)

    return router
