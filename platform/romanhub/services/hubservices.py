"""The hub's services, and what each of them may do and no more: the same wherever the platform runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hubquota.hub import WATCH_SCOPES

from romanhub.models.runs import COMMUNITY_ROBOT
from romanhub.portal.scopes import ADMIN, CUSTOM_SCOPES, PUBLISH, READ, REQUEST
from romanhub.probe.robot import ROBOT

#: The services that the hub's proxy leads to, by name.
SERVED = ("portal", "dask-gateway", "broker", "archive")

#: The services that only use the hub.
USING = ("watch", "probe", "runner")

#: What the portal asks other services in the name of whoever reads its page of the archive.
SEARCHES = [f"access:services!service={name}" for name in ("archive", "broker")]

#: What everybody, and everybody's server, may reach.
USES = [f"access:services!service={name}" for name in SERVED]


def services(addresses: Mapping[str, str], tokens: Mapping[str, str]) -> list[dict[str, Any]]:
    """What `JupyterHub.services` is set to.

    Args:
        addresses: where each service of `SERVED` is; one that is left out does not run here.
        tokens: each service's token.
    """
    found: list[dict[str, Any]] = []
    for name in SERVED:
        if name in addresses:
            service = {
                "name": name,
                "url": addresses[name],
                "api_token": tokens[name],
                "display": name == "portal",
            }
            if name == "portal":
                service |= {
                    "oauth_client_id": "service-portal",
                    "oauth_no_confirm": True,
                    # A session at the portal carries those of them that its owner holds: administrators all.
                    "oauth_client_allowed_scopes": ["admin-ui", *CUSTOM_SCOPES, *SEARCHES],
                }
            found.append(service)
    return [*found, *({"name": name, "api_token": tokens[name]} for name in USING)]


#: What `JupyterHub.load_roles` is set to.
ROLES: list[dict[str, Any]] = [
    # People ask for allocations and publish; a notebook, whose token has the role of a server, does not.
    {"name": "user", "scopes": ["self", *USES, REQUEST, PUBLISH]},
    # Who audits, or decides about allocations and runs nothing else of the hub, is put into one of these groups.
    {"name": "allocation-reader", "groups": ["allocation-readers"], "scopes": [READ]},
    {"name": "allocation-admin", "groups": ["allocation-admins"], "scopes": [ADMIN]},
    {"name": "server", "scopes": ["users:activity!user", "access:servers!server", *USES]},
    {
        "name": "watch",
        "services": ["watch"],
        "scopes": WATCH_SCOPES,
    },
    # The robot prober manages its own account and server, and nobody else's.
    {
        "name": "probe",
        "services": ["probe"],
        "scopes": [f"{scope}!user={ROBOT}" for scope in ("admin:users", "servers", "access:servers")],
    },
    # What runs notebooks without a person starts and stops servers, people's for what they asked it to run; it may
    # look into none of them. Its robot's account it makes itself.
    {
        "name": "runner",
        "services": ["runner"],
        "scopes": ["servers", "read:users:name", f"admin:users!user={COMMUNITY_ROBOT}"],
    },
    # A cluster's workers have a token of their owner's, for the broker alone; see romanhub.dask.tokens.
    {"name": "gateway", "services": ["dask-gateway"], "scopes": ["read:users", "tokens"]},
]
