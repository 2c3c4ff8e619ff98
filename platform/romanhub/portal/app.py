"""The portal as an ASGI application."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from fastapi import FastAPI
from hubquota.services.ledger import Ledger
from hubquota.services.tiersfile import TiersFile

import romanhub
from romanhub.portal import api, pages, signin
from romanhub.portal.accounts import Accounts
from romanhub.portal.auth import Doorkeeper
from romanhub.portal.failures import Failures
from romanhub.portal.gate import Gate
from romanhub.portal.headers import SecurityHeaders
from romanhub.portal.hub import HubClient
from romanhub.portal.rendering import Pages
from romanhub.portal.settings import PortalSettings


def create_app(
    settings: PortalSettings,
    *,
    ledger: Ledger,
    tiers: TiersFile,
    hub: HubClient,
    clock: Callable[[], datetime],
) -> FastAPI:
    """Return the portal.

    Args:
        settings: where it stands, and what it may hand out.
        ledger: the ledger, on a database that has been set up.
        tiers: the tiers file.
        hub: answers who is who.
        clock: gives the present time, with its zone.
    """
    prefix = settings.hub.prefix
    app = FastAPI(
        title="RomanHub portal",
        description="Accounts, tiers and the archive of a RomanHub platform.",
        version=romanhub.__version__,
        openapi_url=f"{prefix}api/openapi.json",
        # The usual viewers load their parts from elsewhere, which the portal's pages never do.
        docs_url=None,
        redoc_url=None,
    )
    doorkeeper = Doorkeeper(settings.hub, hub)
    gate = Gate(doorkeeper)
    accounts = Accounts(ledger, tiers, clock=clock, deadline=settings.ledger_deadline_seconds)
    rendered = Pages(settings.hub)
    app.include_router(signin.routes(settings.hub, doorkeeper))
    app.include_router(api.routes(gate, accounts, settings.archive), prefix=f"{prefix}api")
    app.include_router(api.health_routes(accounts), prefix=f"{prefix}api")
    app.include_router(pages.routes(settings.hub, gate, accounts, rendered), prefix=prefix.rstrip("/"))
    app.add_middleware(SecurityHeaders)
    Failures(settings.hub, doorkeeper, rendered).install(app)
    return app
