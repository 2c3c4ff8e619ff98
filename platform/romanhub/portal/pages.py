"""The pages that people read."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, Response
from hubquota.models.reading import AccountQuery

from romanhub.portal.accounts import Accounts
from romanhub.portal.auth import Visitor
from romanhub.portal.gate import Gate
from romanhub.portal.problems import PortalError
from romanhub.portal.rendering import STATIC, Pages
from romanhub.portal.settings import HubSettings

_LINES = 20
_ROWS = 50
_YEAR_SECONDS = 31_536_000

_Earlier = Annotated[int | None, Query(ge=1)]


def routes(settings: HubSettings, gate: Gate, accounts: Accounts, pages: Pages) -> APIRouter:
    """The pages' routes, to be served under the portal's own path."""
    router = APIRouter(include_in_schema=False)
    # Defaults rather than annotations: FastAPI cannot look up an annotation that is local to a function.
    person, admin = Depends(gate.person), Depends(gate.admin)

    @router.get("/")
    async def own_account(before: _Earlier = None, visitor: Visitor = person) -> HTMLResponse:
        page = await accounts.own_page(visitor, lines=_LINES, before=before)
        return HTMLResponse(
            pages.render("account.html", visitor=visitor, here="account", page=page, address=settings.prefix)
        )

    @router.get("/admin")
    async def all_accounts(
        q: Annotated[str, Query(max_length=255)] = "",
        after: Annotated[str | None, Query(max_length=255)] = None,
        visitor: Visitor = admin,
    ) -> HTMLResponse:
        search = q.strip()
        listing = await accounts.directory(AccountQuery(search=search), after=after or None, limit=_ROWS)
        titles = {name: tier.title for name, tier in accounts.tiers.tiers.items()}
        return HTMLResponse(
            pages.render(
                "accounts.html",
                visitor=visitor,
                here="admin",
                listing=listing,
                search=search,
                after=after,
                titles=titles,
            )
        )

    @router.get("/admin/accounts/{name:path}")
    async def one_account(
        name: str, request: Request, before: _Earlier = None, visitor: Visitor = admin
    ) -> HTMLResponse:
        page = await accounts.page_of(name, lines=_LINES, before=before)
        return HTMLResponse(
            pages.render("account.html", visitor=visitor, here="admin", page=page, address=request.url.path)
        )

    @router.get("/static/{version}/{name}")
    async def static(version: str, name: str) -> Response:
        if name not in STATIC:
            raise PortalError(HTTPStatus.NOT_FOUND, "There is no such file.")
        # A page of another version of the portal may still ask for its own version of the file.
        kept = f"public, max-age={_YEAR_SECONDS}, immutable" if version == pages.version(name) else "no-cache"
        return Response(pages.static[name], media_type=STATIC[name], headers={"Cache-Control": kept})

    return router
