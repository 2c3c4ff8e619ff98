"""What the platform is: its tiers, and whether it works."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from romanhub.portal.accounts import Accounts
from romanhub.portal.auth import Visitor
from romanhub.portal.gate import Gate
from romanhub.portal.models import HealthModel, TiersModel
from romanhub.portal.problems import described


def routes(gate: Gate, accounts: Accounts) -> APIRouter:
    """Routes for whoever may use the portal."""
    router = APIRouter(tags=["platform"])
    # Defaults rather than annotations: FastAPI cannot look up an annotation that is local to a function.
    anybody = Depends(gate.anybody)

    @router.get("/tiers")
    async def tiers(_visitor: Visitor = anybody) -> TiersModel:
        """What each tier offers and what each size costs."""
        return TiersModel(ask=accounts.tiers.ask, sizes=accounts.tiers.sizes, tiers=accounts.tiers.tiers)

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
