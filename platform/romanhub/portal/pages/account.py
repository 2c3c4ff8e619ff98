"""A person's own account, and any session that they may read."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import HTMLResponse

from romanhub.portal.accounts import Accounts
from romanhub.portal.auth import Visitor
from romanhub.portal.desk import Desk
from romanhub.portal.gate import Gate
from romanhub.portal.limits import Limits
from romanhub.portal.purging import Purging
from romanhub.portal.reading import Reading
from romanhub.portal.rendering import Pages
from romanhub.portal.settings import HubSettings

LINES = 20
Earlier = Annotated[int | None, Query(ge=1, lt=2**63)]
Id = Annotated[int, Path(ge=1, lt=2**63)]


def routes(
    settings: HubSettings,
    gate: Gate,
    desk: Desk,
    accounts: Accounts,
    reading: Reading,
    limits: Limits,
    purging: Purging,
    pages: Pages,
) -> APIRouter:
    """The routes of the first page and of sessions."""
    router = APIRouter()
    # Defaults rather than annotations: FastAPI cannot look up an annotation that is local to a function.
    person, anybody = Depends(gate.person), Depends(gate.anybody)

    @router.get("/")
    async def own_account(request: Request, before: Earlier = None, visitor: Visitor = person) -> HTMLResponse:
        page = await accounts.own_page(visitor, lines=LINES, before=before)
        return pages.page(
            request,
            "account.html",
            here="account",
            page=page,
            address=settings.prefix,
            acting=False,
            overrides=await limits.overrides(visitor.name) if page.statement else [],
            things=await purging.things(visitor.name),
            hold=await purging.hold_of(visitor.name),
        )

    @router.get("/sessions/{number}")
    async def one_session(
        request: Request, number: Id, before: Earlier = None, visitor: Visitor = anybody
    ) -> HTMLResponse:
        lease = await reading.session(visitor, number)
        found = await reading.charges(number, limit=5 * LINES, before=before)
        return pages.page(
            request,
            "session.html",
            here="account",
            lease=lease,
            lines=found.entries,
            before=before,
            next_before=found.next_before,
            now=desk.clock(),
        )

    return router
