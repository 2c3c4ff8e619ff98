"""Turning a refusal into the exception that the hub shows to its user, on every page and in REST."""

from __future__ import annotations

from typing import Any

from jupyterhub import spawner as hub_spawner
from tornado.web import HTTPError

from hubquota.models.ledger import Limit, Refused
from hubquota.services.describe import linked

_STATUS: dict[Limit, int] = {
    "budget": 403,
    "count": 403,
    "cap": 403,
    "suspended": 403,
    "grace": 403,
    "tier": 403,
    "account": 403,
    "size": 400,
    "option": 400,
    "unavailable": 503,
}

#: JupyterHub 6 counts this exception as a refusal and not as a failure; JupyterHub 5 does not have it.
_SpawnException: Any = getattr(hub_spawner, "SpawnException", None)


def refusal_error(refused: Refused) -> HTTPError:
    """Return the exception to raise from a spawner's method.

    The hub's pages read two attributes, `jupyterhub_message` and `jupyterhub_html_message`; the REST
    answer reads the exception's own message; the metrics read its reason.
    """
    status = _STATUS[refused.limit]
    reason = f"quota-{refused.limit}"
    error: HTTPError
    if _SpawnException is not None:
        error = _SpawnException(refused.message, reason=reason, status_code=status)
    else:
        error = HTTPError(status, refused.message, reason=reason)
    error.jupyterhub_message = refused.message  # type: ignore[attr-defined]
    error.jupyterhub_html_message = str(linked(refused.message))  # type: ignore[attr-defined]
    return error
