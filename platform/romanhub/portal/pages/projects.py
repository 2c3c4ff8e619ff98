"""Projects: those that somebody is in, and one by member for its PIs."""

from __future__ import annotations

from typing import cast

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from hubquota.models.ledger import Role

from romanhub.portal.accounts import Accounts
from romanhub.portal.acts import Acts
from romanhub.portal.auth import Visitor
from romanhub.portal.desk import Desk
from romanhub.portal.forms import Form
from romanhub.portal.gate import Gate, ensure_requester
from romanhub.portal.limits import Limits
from romanhub.portal.pages.account import LINES, Earlier
from romanhub.portal.problems import invalid
from romanhub.portal.purging import Purging
from romanhub.portal.reading import Reading
from romanhub.portal.rendering import Pages
from romanhub.portal.settings import HubSettings


def routes(
    settings: HubSettings,
    gate: Gate,
    desk: Desk,
    accounts: Accounts,
    reading: Reading,
    acts: Acts,
    limits: Limits,
    purging: Purging,
    pages: Pages,
) -> APIRouter:
    """The routes of projects."""
    router = APIRouter()
    person, anybody, form = Depends(gate.person), Depends(gate.anybody), Depends(gate.form)

    @router.get("/projects")
    async def own_projects(request: Request, visitor: Visitor = person) -> HTMLResponse:
        found = await desk.ask(lambda: desk.projects.projects_of(visitor.name))
        return pages.page(request, "projects.html", here="projects", projects=found, tiers=desk.tiers)

    @router.post("/projects/members")
    async def set_member(sent: Form = form) -> RedirectResponse:
        visitor, project = ensure_requester(sent.visitor), sent.text("project")
        role = sent.text("role")
        if role not in ("member", "pi", "none"):
            raise invalid("Somebody is a member or a PI of a project, or no longer part of it.")
        given = None if role == "none" else cast("Role", role)
        await acts.set_member(visitor, project, sent.text("member", longest=255), given)
        return RedirectResponse(settings.path("projects", project), status_code=303)

    @router.get("/projects/{name:path}")
    async def one_project(
        request: Request, name: str, before: Earlier = None, visitor: Visitor = anybody
    ) -> HTMLResponse:
        project = await reading.account(visitor, name)
        members = await reading.members(project)
        page = await accounts.page_of(project, lines=LINES, before=before)
        return pages.page(
            request,
            "project.html",
            here="projects",
            page=page,
            members=members,
            address=request.url.path,
            now=desk.clock(),
            acting=False,
            uses=await limits.member_use(project),
            things=await purging.things(project),
            hold=await purging.hold_of(project),
        )

    return router
