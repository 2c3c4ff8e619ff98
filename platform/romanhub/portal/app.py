"""The portal as an ASGI application."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from fastapi import FastAPI
from hubquota.services.ledger import Ledger
from hubquota.services.tiersfile import TiersFile

import romanhub
from romanhub.community.services.catalogue import Catalogue
from romanhub.portal import api, pages, signin
from romanhub.portal.accounts import Accounts
from romanhub.portal.acts import Acts
from romanhub.portal.api.platform import health_routes
from romanhub.portal.archivedoors import NO_ARCHIVE, ArchiveDoors
from romanhub.portal.auth import Doorkeeper
from romanhub.portal.bodies import BodyLimit
from romanhub.portal.cataloguing import Cataloguing
from romanhub.portal.clusters import Clusters
from romanhub.portal.desk import Desk
from romanhub.portal.failures import Failures
from romanhub.portal.gate import Gate
from romanhub.portal.headers import SecurityHeaders
from romanhub.portal.hub import HubClient
from romanhub.portal.limits import Limits
from romanhub.portal.mailbox import Mailbox
from romanhub.portal.pages import archive as archive_page
from romanhub.portal.pages import community as community_pages
from romanhub.portal.pages import repositories as repositories_page
from romanhub.portal.pages import runs as runs_page
from romanhub.portal.pages import sharing
from romanhub.portal.producing import Producing
from romanhub.portal.purging import Purging
from romanhub.portal.reading import Reading
from romanhub.portal.registering import Registering
from romanhub.portal.rendering import Pages
from romanhub.portal.running import NOTHING_RUNS, Running
from romanhub.portal.scratching import Scratching
from romanhub.portal.settings import PortalSettings
from romanhub.portal.trying import Trying


def create_app(
    settings: PortalSettings,
    *,
    ledger: Ledger,
    tiers: TiersFile,
    hub: HubClient,
    clock: Callable[[], datetime],
    archive: ArchiveDoors = NO_ARCHIVE,
    catalogue: Catalogue | None = None,
    running: Running = NOTHING_RUNS,
) -> FastAPI:
    """Return the portal.

    Args:
        settings: where it stands, and what it may hand out.
        ledger: the ledger, on a database that has been set up.
        tiers: the tiers file.
        hub: answers who is who.
        clock: gives the present time, with its zone.
        archive: what the search of the archive asks.
        catalogue: the community's catalogue; None where there is none.
        running: the queue of notebooks that run without a person.
    """
    prefix = settings.hub.prefix
    app = FastAPI(
        title="RomanHub portal",
        description="Accounts, allocations, requests and tiers of a RomanHub platform. Amounts are "
        "credits as decimal text; times are UTC. Refusals are problem documents (RFC 9457).",
        openapi_tags=api.TAGS,
        # An operation is called like the function that answers it.
        generate_unique_id_function=lambda route: route.name,
        version=romanhub.__version__,
        openapi_url=f"{prefix}api/openapi.json",
        # The usual viewers load their parts from elsewhere, which the portal's pages never do.
        docs_url=None,
        redoc_url=None,
    )
    doorkeeper = Doorkeeper(settings.hub, hub)
    desk = Desk(ledger, tiers, clock=clock, deadline=settings.ledger_deadline_seconds)
    mailbox = Mailbox(desk)
    gate = Gate(doorkeeper, mailbox.unread)
    limits, purging = Limits(desk), Purging(desk, settings.purge_file)
    trying = Trying(desk, seconds=settings.what_if_seconds)
    clusters, scratching = Clusters(desk), Scratching(desk)
    accounts, reading, acts = Accounts(desk), Reading(desk), Acts(desk)
    viewer = Path(settings.viewer) if settings.viewer else None
    rendered = Pages(
        settings.hub,
        gate.ticket,
        viewer if viewer and viewer.is_file() else None,
        without=[
            *(["community"] if catalogue is None else []),
            *(["runs"] if running is NOTHING_RUNS else []),
        ],
    )
    app.include_router(signin.routes(settings.hub, doorkeeper))
    app.include_router(api.routes(gate, desk, accounts, reading, acts), prefix=f"{prefix}api")
    app.include_router(
        api.more_routes(gate, desk, reading, mailbox, limits, purging, trying, clusters, scratching),
        prefix=f"{prefix}api",
    )
    cataloguing = Cataloguing(settings, catalogue)
    registering = Registering(settings.community, catalogue)
    producing = Producing(cataloguing, settings.broker_url)
    app.include_router(
        api.community_routes(gate, doorkeeper, cataloguing, registering, producing), prefix=f"{prefix}api"
    )
    app.include_router(api.run_routes(gate, running), prefix=f"{prefix}api")
    app.include_router(health_routes(accounts), prefix=f"{prefix}api")
    for part in (
        pages.more_routes(
            settings, gate, desk, reading, mailbox, limits, purging, trying, clusters, scratching, rendered
        ),
        pages.routes(settings.hub, gate, desk, accounts, reading, acts, limits, purging, cataloguing, rendered),
        repositories_page.routes(settings.hub, gate, registering, rendered),
        archive_page.routes(settings.hub, gate, doorkeeper, archive, rendered),
        sharing.routes(settings.hub, gate, doorkeeper, desk, cataloguing, producing, rendered),
        community_pages.routes(settings.hub, gate, doorkeeper, desk, cataloguing, running, rendered),
        runs_page.routes(settings.hub, gate, running, rendered),
    ):
        app.include_router(part, prefix=prefix.rstrip("/"))
    app.state.registering = registering
    app.add_middleware(BodyLimit)
    app.add_middleware(SecurityHeaders)
    Failures(settings.hub, doorkeeper, rendered).install(app)
    return app
