"""The JSON API. Programs send a hub token; a browser's session may read it too, by opening its address."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Security
from fastapi.security import HTTPBearer

from romanhub.portal.accounts import Accounts
from romanhub.portal.auth import Visitor
from romanhub.portal.gate import Gate
from romanhub.portal.models import (
    AccountsModel,
    ArchiveModel,
    HealthModel,
    MeModel,
    StatementModel,
    TiersModel,
)
from romanhub.portal.problems import MEDIA_TYPE, PortalError, Problem
from romanhub.portal.settings import ArchiveSettings

_Lines = Annotated[int, Query(ge=1, le=500, description="How many lines of the journal to answer with.")]
_Before = Annotated[int | None, Query(ge=1, description="Only lines from before this one.")]


def routes(gate: Gate, accounts: Accounts, archive: ArchiveSettings | None) -> APIRouter:
    """The API's routes, to be served under the portal's own path."""
    bearer = HTTPBearer(description="A hub token that may use this service.", auto_error=False)
    router = APIRouter(responses=_problems(401, 403, 503), dependencies=[Security(bearer)])
    # Defaults rather than annotations: FastAPI cannot look up an annotation that is local to a function.
    person, anybody, admin = Depends(gate.person), Depends(gate.anybody), Depends(gate.admin)

    @router.get("/me", tags=["account"])
    async def me(visitor: Visitor = person) -> MeModel:
        """Who is asking, and what they have."""
        return await accounts.me(visitor)

    @router.get("/statement", tags=["account"], responses=_problems(404, 422))
    async def statement(limit: _Lines = 50, before: _Before = None, visitor: Visitor = person) -> StatementModel:
        """The caller's account: balance, what runs now, and the journal, newest first.

        Answers 404 until the person's first start opens their account.
        """
        return await accounts.statement(visitor.name, limit=limit, before=before)

    @router.get("/tiers", tags=["platform"])
    async def tiers(_visitor: Visitor = anybody) -> TiersModel:
        """What each tier offers and what each size costs."""
        return TiersModel(ask=accounts.tiers.ask, sizes=accounts.tiers.sizes, tiers=accounts.tiers.tiers)

    @router.get("/archive", tags=["platform"], responses=_problems(404))
    async def read_archive(_visitor: Visitor = person) -> ArchiveModel:
        """Where the archive is, and a key that can only read it."""
        if archive is None:
            raise PortalError(HTTPStatus.NOT_FOUND, "This platform has no archive.", title="No archive")
        return ArchiveModel(
            endpoint=archive.endpoint,
            bucket=archive.bucket,
            region=archive.region,
            access_key=archive.access_key,
            secret_key=archive.secret_key.get_secret_value(),
        )

    @router.get("/accounts", tags=["administration"], responses=_problems(422))
    async def list_accounts(
        q: Annotated[str, Query(max_length=255, description="A part of the name.")] = "",
        after: Annotated[
            str | None, Query(max_length=255, description="Only names that come after this one.")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=200, description="How many accounts to answer with.")] = 50,
        _visitor: Visitor = admin,
    ) -> AccountsModel:
        """Accounts by name. Needs the portal's administration scope."""
        return await accounts.listing(search=q, after=after, limit=limit)

    @router.get("/accounts/{name:path}", tags=["administration"], responses=_problems(404, 422))
    async def read_account(
        name: str, limit: _Lines = 50, before: _Before = None, _visitor: Visitor = admin
    ) -> StatementModel:
        """Anybody's account. Needs the portal's administration scope."""
        return await accounts.statement(name, limit=limit, before=before)

    return router


def health_routes(accounts: Accounts) -> APIRouter:
    """The one route that asks for no token, so that anything may watch the portal."""
    router = APIRouter()

    @router.get("/health", tags=["platform"], responses=_problems(503))
    async def health() -> HealthModel:
        """Whether the portal reaches its ledger."""
        await accounts.ensure_up()
        return HealthModel()

    return router


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI description of problem documents with these statuses."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}},
        }
        for status in statuses
    }
