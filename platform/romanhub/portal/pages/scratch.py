"""The page of scratch and of what was read: a price first, then a scratch space."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from hubquota.models.scratch import GIB, Quote, price_text

from romanhub.portal.auth import NotAllowedError, Visitor
from romanhub.portal.forms import Form
from romanhub.portal.gate import Gate
from romanhub.portal.problems import invalid
from romanhub.portal.rendering import Pages
from romanhub.portal.scratching import DAYS, Scratching
from romanhub.portal.settings import HubSettings


def routes(settings: HubSettings, gate: Gate, scratching: Scratching, pages: Pages) -> APIRouter:
    """The routes of scratch."""
    router = APIRouter()
    person, form = Depends(gate.person), Depends(gate.form)

    def back() -> RedirectResponse:
        return RedirectResponse(f"{settings.prefix}scratch", status_code=303)

    async def show(
        request: Request, visitor: Visitor, quote: Quote | None = None, name: str = "", account: str = ""
    ) -> HTMLResponse:
        return pages.page(
            request,
            "scratch.html",
            here="scratch",
            spaces=await scratching.spaces(visitor),
            accounts=await scratching.accounts(visitor),
            reads=await scratching.read(visitor),
            days=DAYS,
            gib=GIB,
            quote=quote,
            told=None if quote is None else price_text(quote),
            name=name,
            account=account or visitor.name,
        )

    @router.get("/scratch")
    async def scratch_page(request: Request, visitor: Visitor = person) -> HTMLResponse:
        return await show(request, visitor)

    @router.post("/scratch/price")
    async def ask_price(request: Request, sent: Form = form) -> HTMLResponse:
        quote = await scratching.quote(sent.number("gib"), sent.number("days"))
        visitor = _person(sent)
        return await show(request, visitor, quote, sent.text("name", longest=63), sent.text("account"))

    @router.post("/scratch")
    async def make(sent: Form = form) -> RedirectResponse:
        await scratching.make(
            _person(sent),
            account=sent.text("account") or None,
            name=sent.text("name", longest=63),
            gib=sent.number("gib"),
            days=sent.number("days"),
        )
        return back()

    @router.post("/scratch/extension")
    async def extend(sent: Form = form) -> RedirectResponse:
        try:
            seen = datetime.fromtimestamp(sent.number("end"), UTC)
        except (OverflowError, OSError, ValueError):
            raise invalid("The end that the page showed is missing. Open the page again.") from None
        await scratching.extend(_person(sent), sent.number("number"), days=sent.number("days"), end_seen=seen)
        return back()

    @router.post("/scratch/release")
    async def release(sent: Form = form) -> RedirectResponse:
        await scratching.release(_person(sent), sent.number("number"))
        return back()

    return router


def _person(sent: Form) -> Visitor:
    if sent.visitor.kind != "user":
        raise NotAllowedError(f"{sent.visitor.name} is a service of the hub, and only people have scratch.")
    return sent.visitor
