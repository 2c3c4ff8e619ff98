"""What the platform is: its tiers, its archive, and whether it works."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Depends

from romanhub.portal.accounts import Accounts
from romanhub.portal.auth import Visitor
from romanhub.portal.gate import Gate
from romanhub.portal.models import ArchiveModel, HealthModel, TiersModel
from romanhub.portal.problems import PortalError, described
from romanhub.portal.settings import ArchiveSettings


def routes(gate: Gate, accounts: Accounts, archive: ArchiveSettings | None) -> APIRouter:
    """Routes for whoever may use the portal."""
    router = APIRouter(tags=["platform"])
    # Defaults rather than annotations: FastAPI cannot look up an annotation that is local to a function.
    person, anybody = Depends(gate.person), Depends(gate.anybody)

    @router.get("/tiers")
    async def tiers(_visitor: Visitor = anybody) -> TiersModel:
        """What each tier offers and what each size costs."""
        return TiersModel(ask=accounts.tiers.ask, sizes=accounts.tiers.sizes, tiers=accounts.tiers.tiers)

    @router.get("/archive", responses=described(404))
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

    return router


def health_routes(accounts: Accounts) -> APIRouter:
    """The one route that asks for no token, so that anything may watch the portal."""
    router = APIRouter()

    @router.get("/health", tags=["platform"], responses=described(503))
    async def health() -> HealthModel:
        """Whether the portal reaches its ledger."""
        await accounts.ensure_up()
        return HealthModel()

    return router
