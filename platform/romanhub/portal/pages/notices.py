"""A person's notices: those that they have not seen first."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from romanhub.portal.auth import NotAllowedError, Visitor
from romanhub.portal.forms import Form
from romanhub.portal.gate import Gate, ensure_requester
from romanhub.portal.mailbox import Mailbox
from romanhub.portal.pages.account import Earlier
from romanhub.portal.rendering import Pages
from romanhub.portal.settings import HubSettings

_ROWS = 20
_UNREAD = 100


def routes(settings: HubSettings, gate: Gate, mailbox: Mailbox, pages: Pages) -> APIRouter:
    """The routes of notices."""
    router = APIRouter()
    person, form = Depends(gate.person), Depends(gate.form)

    def back() -> RedirectResponse:
        return RedirectResponse(f"{settings.prefix}notices", status_code=303)

    @router.get("/notices")
    async def own_notices(request: Request, before: Earlier = None, visitor: Visitor = person) -> HTMLResponse:
        unread, more = await mailbox.notices(visitor.name, unread_only=True, limit=_UNREAD)
        read, following = await mailbox.notices(visitor.name, read_only=True, before=before, limit=_ROWS)
        return pages.page(
            request,
            "notices.html",
            here="notices",
            unread=unread if before is None else [],
            more=more is not None,
            read=read,
            before=before,
            next_before=following,
            wishes=await mailbox.wishes(visitor.name),
        )

    @router.post("/notices/read")
    async def mark_read(sent: Form = form) -> RedirectResponse:
        visitor = sent.visitor
        if visitor.kind != "user":
            raise NotAllowedError(f"{visitor.name} is a service of the hub, and only people have notices.")
        await mailbox.mark_read(visitor.name, None if sent.text("all") else [sent.number("number")])
        return back()

    @router.post("/notices/kinds")
    async def choose(sent: Form = form) -> RedirectResponse:
        await mailbox.choose(ensure_requester(sent.visitor).name, sent.texts("sent"))
        return back()

    @router.post("/notices/address")
    async def set_address(sent: Form = form) -> RedirectResponse:
        await mailbox.set_address(ensure_requester(sent.visitor).name, sent.text("address") or None)
        return back()

    return router
