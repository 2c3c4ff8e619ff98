"""The JSON API. Programs send a hub token; a browser's session may read it too, by opening its address."""

from __future__ import annotations

from fastapi import APIRouter, Security
from fastapi.security import HTTPBearer

from romanhub.portal.accounts import Accounts
from romanhub.portal.acts import Acts
from romanhub.portal.allclusters import AllClusters
from romanhub.portal.api import (
    account,
    allclusters,
    allocations,
    clusters,
    community,
    directory,
    exports,
    limits,
    notices,
    platform,
    products,
    projects,
    purge,
    repositories,
    requests,
    runs,
    scratch,
    whatif,
)
from romanhub.portal.auth import Doorkeeper
from romanhub.portal.cataloguing import Cataloguing
from romanhub.portal.clusters import Clusters
from romanhub.portal.desk import Desk
from romanhub.portal.gate import Gate
from romanhub.portal.limits import Limits
from romanhub.portal.mailbox import Mailbox
from romanhub.portal.problems import described
from romanhub.portal.producing import Producing
from romanhub.portal.purging import Purging
from romanhub.portal.reading import Reading
from romanhub.portal.registering import Registering
from romanhub.portal.running import Running
from romanhub.portal.scratching import Scratching
from romanhub.portal.trying import Trying

#: What each tag of the description is about.
TAGS = [
    {"name": "account", "description": "An account: balance, burn-down, sessions and why. The caller's own, those "
     "of projects they lead, and with the scope `custom:romanhub:allocations:read` everybody's."},
    {"name": "requests", "description": "Asking for allocations (`custom:romanhub:allocations:request`) and "
     "deciding about it (`custom:romanhub:allocations:admin`)."},
    {"name": "projects", "description": "Projects by member."},
    {"name": "allocations", "description": "Acts on allocations. They need `custom:romanhub:allocations:admin`, a "
     "reason, and an Idempotency-Key."},
    {"name": "clusters", "description": "The caller's own Dask clusters: what they cost, how long that lasts, and "
     "why they ended. Those of everybody, with limits and stops, take `custom:romanhub:allocations:read` and "
     "`custom:romanhub:allocations:admin`."},
    {"name": "notices", "description": "The caller's notices, and whether and where they are sent."},
    {"name": "limits", "description": "Other limits than the tier's until a day, other tiers, and caps of a "
     "project's members."},
    {"name": "scratch", "description": "Scratch space with an end, and what was read of the data."},
    {"name": "purge", "description": "Plans of what is taken from accounts whose time is over, holds, and the way "
     "back. Carrying a plan out is left to the command."},
    {"name": "community", "description": "The community's catalogue: searching, reading, drafts. What readers see "
     "is changed with the scope `custom:romanhub:community:publish`."},
    {"name": "administration", "description": "All accounts and the whole journal. They need "
     "`custom:romanhub:allocations:read`."},
    {"name": "platform", "description": "Tiers, and whether the portal works."},
]  # fmt: skip


def routes(gate: Gate, desk: Desk, accounts: Accounts, reading: Reading, acts: Acts) -> APIRouter:
    """The API's routes, to be served under the portal's own path."""
    router = _router()
    for part in (
        platform.routes(gate, accounts),
        account.routes(gate, desk, accounts, reading),
        requests.routes(gate, reading, acts),
        projects.routes(gate, desk, reading, acts),
        allocations.routes(gate, desk, reading, acts),
        directory.routes(gate, desk, accounts),
        exports.routes(gate, desk),
    ):
        router.include_router(part)
    return router


def more_routes(
    gate: Gate,
    desk: Desk,
    reading: Reading,
    mailbox: Mailbox,
    limits_: Limits,
    purging: Purging,
    trying: Trying,
    clusters_: Clusters,
    scratching: Scratching,
) -> APIRouter:
    """The API's routes of clusters, scratch, notices, limits, purges and other tiers files."""
    router = _router()
    for part in (
        clusters.routes(gate, clusters_),
        notices.routes(gate, mailbox),
        limits.routes(gate, desk, reading, limits_),
        allclusters.routes(gate, AllClusters(desk)),
        purge.routes(gate, reading, purging),
        whatif.routes(gate, desk, trying),
        scratch.routes(gate, scratching),
    ):
        router.include_router(part)
    return router


def community_routes(
    gate: Gate, doorkeeper: Doorkeeper, cataloguing: Cataloguing, registering: Registering, producing: Producing
) -> APIRouter:
    """The API's routes of the community's catalogue."""
    router = _router()
    router.include_router(products.routes(gate, doorkeeper, cataloguing, producing))
    router.include_router(repositories.routes(gate, registering))
    router.include_router(community.routes(gate, cataloguing))
    return router


def run_routes(gate: Gate, running: Running) -> APIRouter:
    """The API's routes of notebooks that run without a person."""
    router = _router()
    router.include_router(runs.routes(gate, running))
    return router


def _router() -> APIRouter:
    bearer = HTTPBearer(description="A hub token that may use this service.", auto_error=False)
    return APIRouter(responses=described(400, 401, 403, 422, 503), dependencies=[Security(bearer)])
