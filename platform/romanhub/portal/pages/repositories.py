"""The page of registered Git repositories. It alone can let new versions go public by themselves."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from romanhub.portal.auth import NotAllowedError, Visitor
from romanhub.portal.forms import Form
from romanhub.portal.gate import Gate
from romanhub.portal.registering import Registering
from romanhub.portal.rendering import Pages
from romanhub.portal.settings import HubSettings


def routes(settings: HubSettings, gate: Gate, registering: Registering, pages: Pages) -> APIRouter:
    """The routes of the page."""
    router = APIRouter(include_in_schema=False)
    person, form = Depends(gate.person), Depends(gate.form)

    def back() -> RedirectResponse:
        return RedirectResponse(f"{settings.prefix}community-repositories", status_code=303)

    @router.get("/community-repositories")
    async def repositories_page(request: Request, visitor: Visitor = person) -> HTMLResponse:
        own = await registering.ask(lambda all_: all_.of(visitor.name))
        return pages.page(request, "repositories.html", here="repositories", repositories=own)

    @router.post("/community-repositories")
    async def register(sent: Form = form) -> RedirectResponse:
        name, url, prefix = _name(sent), sent.text("url", longest=500), sent.text("prefix", longest=60)
        branch, folder = sent.text("branch", longest=200), sent.text("folder", longest=500)
        at_once = sent.text("at_once") == "yes"
        await registering.ask(
            lambda all_: all_.register(name, url, branch=branch, folder=folder, prefix=prefix, at_once=at_once)
        )
        return back()

    @router.post("/community-repositories/read")
    async def read(sent: Form = form) -> RedirectResponse:
        name, number = _name(sent), sent.number("number")
        await registering.ask(lambda all_: all_.read(name, number))
        return back()

    @router.post("/community-repositories/at-once")
    async def at_once(sent: Form = form) -> RedirectResponse:
        name, number, wanted = _name(sent), sent.number("number"), sent.text("at_once") == "yes"
        await registering.ask(lambda all_: all_.set_at_once(name, number, wanted))
        return back()

    @router.post("/community-repositories/removal")
    async def remove(sent: Form = form) -> RedirectResponse:
        name, number = _name(sent), sent.number("number")
        await registering.ask(lambda all_: all_.remove(name, number))
        return back()

    return router


def _name(sent: Form) -> str:
    if sent.visitor.kind != "user":
        raise NotAllowedError(f"{sent.visitor.name} is a service of the hub, and only people share notebooks.")
    return sent.visitor.name
