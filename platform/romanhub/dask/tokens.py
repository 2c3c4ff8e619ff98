"""A token for each cluster: its owner's, for the credential broker alone, and gone with the cluster.

A cluster's processes hold no token of their owner's server, only the cluster's own, which the hub does not
know. So that workers can fetch keys for the data, the gateway's service asks the hub for a token with one scope
that ends by itself, and takes it back when the cluster stops.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import quote

import httpx

log = logging.getLogger(__name__)

#: What such a token may do, and nothing else.
SCOPES = ["access:services!service=broker"]

#: The variable in which a cluster's processes find it.
VARIABLE = "ROMANHUB_BROKER_TOKEN"

#: A token ends by itself after so many seconds, where nobody took it back: after a month.
LIFE = 30 * 24 * 3600

#: How long the hub may take to answer, in seconds.
TIMEOUT = 10.0


@dataclass(frozen=True)
class Token:
    """A token, whose it is, and the number by which the hub takes it back."""

    user: str
    number: str
    value: str = field(repr=False)


class ClusterTokens:
    """Asks the hub for tokens and takes them back."""

    def __init__(
        self,
        hub_api: str,
        service_token: str,
        client: Callable[[], httpx.AsyncClient] = lambda: httpx.AsyncClient(timeout=TIMEOUT, trust_env=False),
    ) -> None:
        """Ask a hub.

        Args:
            hub_api: the hub's API.
            service_token: the gateway's own token, with the scope `tokens`.
            client: makes what requests go through.
        """
        self._url = hub_api.rstrip("/")
        self._headers = {"Authorization": f"token {service_token}"}
        self._client = client

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> ClusterTokens | None:
        """Return what asks the hub whose service this process is; None where it is none."""
        url, token = environ.get("JUPYTERHUB_API_URL"), environ.get("JUPYTERHUB_API_TOKEN")
        return cls(url, token) if url and token else None

    async def make(self, user: str, cluster: str) -> Token | None:
        """Return a new token of the user's for a cluster; None where the hub gave none.

        A cluster without it runs and computes; it only reaches no data, and says so when it tries.
        """
        wanted = {"scopes": SCOPES, "expires_in": LIFE, "note": f"Dask cluster {cluster}: keys for the data"}
        try:
            async with self._client() as client:
                answer = await client.post(self._of(user), json=wanted, headers=self._headers)
                answer.raise_for_status()
                made = answer.json()
                return Token(user, str(made["id"]), str(made["token"]))
        except (httpx.HTTPError, KeyError, ValueError) as error:
            log.warning("The hub gave no token for the cluster %s: %s", cluster, _brief(error))
            return None

    async def take_back(self, token: Token) -> None:
        """Have the hub forget a token. Where it does not answer, the token ends by itself."""
        url = f"{self._of(token.user)}/{quote(token.number, safe='')}"
        try:
            async with self._client() as client:
                answer = await client.delete(url, headers=self._headers)
            if answer.status_code not in (204, 404):
                answer.raise_for_status()
        except httpx.HTTPError as error:
            log.warning(
                "The hub did not take back the token %s of %s: %s", token.number, token.user, _brief(error)
            )

    def _of(self, user: str) -> str:
        return f"{self._url}/users/{quote(user, safe='')}/tokens"


def keep_token(workdir: str, token: Token | None) -> None:
    """Keep a cluster's token in its folder, where the gateway alone reads it, also after a restart."""
    if token is None:
        return
    descriptor = os.open(_file(workdir), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(asdict(token), file)


def kept_token(workdir: str) -> Token | None:
    """Return the token that is kept in a cluster's folder, if there is one."""
    try:
        return Token(**json.loads(_file(workdir).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _file(workdir: str) -> Path:
    return Path(workdir) / "broker-token"


def _brief(error: Exception) -> str:
    return f"{type(error).__name__} {getattr(getattr(error, 'response', None), 'status_code', '')}".strip()
