"""The pages that people read, and the forms on them. Everything works without JavaScript."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter
from fastapi.responses import Response

from romanhub.portal.accounts import Accounts
from romanhub.portal.acts import Acts
from romanhub.portal.allclusters import AllClusters
from romanhub.portal.cataloguing import Cataloguing
from romanhub.portal.clusters import Clusters
from romanhub.portal.desk import Desk
from romanhub.portal.gate import Gate
from romanhub.portal.limits import Limits
from romanhub.portal.mailbox import Mailbox
from romanhub.portal.pages import (
    account,
    administration,
    allclusters,
    audit,
    bulk,
    clusters,
    limits,
    notices,
    projects,
    purge,
    queue,
    requests,
    scratch,
    whatif,
)
from romanhub.portal.problems import PortalError
from romanhub.portal.purging import Purging
from romanhub.portal.reading import Reading
from romanhub.portal.rendering import Pages
from romanhub.portal.scratching import Scratching
from romanhub.portal.settings import HubSettings, PortalSettings
from romanhub.portal.trying import Trying

_YEAR_SECONDS = 31_536_000


def routes(
    settings: HubSettings,
    gate: Gate,
    desk: Desk,
    accounts: Accounts,
    reading: Reading,
    acts: Acts,
    limits_: Limits,
    purging: Purging,
    cataloguing: Cataloguing,
    pages: Pages,
) -> APIRouter:
    """The pages' routes, to be served under the portal's own path."""
    router = APIRouter(include_in_schema=False)
    for part in (
        account.routes(settings, gate, desk, accounts, reading, limits_, purging, pages),
        requests.routes(settings, gate, desk, reading, acts, cataloguing, pages),
        projects.routes(settings, gate, desk, accounts, reading, acts, limits_, purging, pages),
        queue.routes(settings, gate, desk, reading, acts, pages),
        audit.routes(gate, desk, pages),
        bulk.routes(gate, desk, acts, pages),
        administration.routes(settings, gate, desk, accounts, acts, limits_, purging, pages),
    ):
        router.include_router(part)

    @router.get("/static/{version}/{name}")
    async def static(version: str, name: str) -> Response:
        if name not in pages.static:
            raise PortalError(HTTPStatus.NOT_FOUND, "There is no such file.")
        # A page of another version of the portal may still ask for its own version of the file.
        kept = f"public, max-age={_YEAR_SECONDS}, immutable" if version == pages.version(name) else "no-cache"
        headers = {
            "Cache-Control": kept,
            # Pages have origins of their own; these files are for everybody anyway.
            "Cross-Origin-Resource-Policy": "cross-origin",
            "Access-Control-Allow-Origin": "*",
        }
        return Response(pages.static[name], media_type=pages.media_type(name), headers=headers)

    return router


def more_routes(
    settings: PortalSettings,
    gate: Gate,
    desk: Desk,
    reading: Reading,
    mailbox: Mailbox,
    limits_: Limits,
    purging: Purging,
    trying: Trying,
    clusters_: Clusters,
    scratching: Scratching,
    pages: Pages,
) -> APIRouter:
    """The routes of clusters, scratch, notices, limits, purges and other tiers files, under the same path."""
    router = APIRouter(include_in_schema=False)
    for part in (
        clusters.routes(gate, desk, clusters_, pages),
        notices.routes(settings.hub, gate, mailbox, pages),
        limits.routes(settings.hub, gate, desk, reading, limits_),
        allclusters.routes(settings.hub, gate, AllClusters(desk), pages),
        purge.routes(settings.hub, gate, desk, purging, pages),
        whatif.routes(settings, gate, desk, trying, pages),
        scratch.routes(settings.hub, gate, scratching, pages),
    ):
        router.include_router(part)
    return router
