"""The portal's conversation with the hub: whose token is this, and a token for an OAuth code.

It speaks the hub's REST API and OAuth 2 endpoints as the hub documents them, asynchronously and with a
deadline, so that a hub that hangs costs a page its answer and never the portal its event loop.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Literal

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from romanhub.portal.settings import HubSettings

#: How many identities are kept at once; the oldest makes room.
_IDENTITIES_KEPT = 10_000


class HubUnavailableError(Exception):
    """The hub did not answer, or answered with an error of its own."""


class CodeRefusedError(Exception):
    """The hub would not give a token for this OAuth code."""


class Identity(BaseModel):
    """Who holds a token, as the hub says it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str
    kind: Literal["user", "service"] = "user"
    groups: tuple[str, ...] = ()
    scopes: frozenset[str] = frozenset()


class _TokenReply(BaseModel):
    access_token: str


def _key(token: str, session: str) -> str:
    """What an identity is kept under: a digest, so that no token lies about in the portal's memory."""
    return hashlib.sha256(f"{session}\0{token}".encode()).hexdigest()


class HubClient:
    """Asks the hub about tokens, and remembers each answer for a short time.

    `http` is the client that requests go through (it is not closed here), and `monotonic` the clock, in
    seconds, by which answers grow old.
    """

    def __init__(
        self,
        settings: HubSettings,
        http: httpx.AsyncClient,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._http = http
        self._monotonic = monotonic
        self._kept: OrderedDict[str, tuple[float, Identity]] = OrderedDict()

    async def identify(self, token: str, session: str = "") -> Identity | None:
        """Who holds `token`, or None if the hub does not know it.

        `session` is the hub's own session in the browser that sent the token. It changes when the person
        signs out at the hub, so that an answer kept from before no longer counts. Raises HubUnavailableError.
        """
        key = _key(token, session)
        kept = self._kept.get(key)
        if kept is not None and kept[0] > self._monotonic():
            return kept[1]
        response = await self._ask("GET", "/user", headers={"Authorization": f"token {token}"})
        if response.status_code in (401, 403):
            self._kept.pop(key, None)
            return None
        if response.status_code != 200:
            raise HubUnavailableError(f"the hub answered {response.status_code} when asked about a token")
        try:
            identity = Identity.model_validate_json(response.content)
        except ValidationError as error:
            raise HubUnavailableError("the hub's answer about a token could not be read") from error
        self._keep(key, identity)
        return identity

    def forget(self, token: str, session: str = "") -> None:
        """Drop what is remembered of `token`, so that the next use of it asks the hub again."""
        self._kept.pop(_key(token, session), None)

    async def token_for_code(self, code: str, verifier: str) -> str:
        """The token that `code` buys, `verifier` being the secret of RFC 7636 that its request began with.

        Raises CodeRefusedError if the hub does not take the code, and HubUnavailableError if it does not answer.
        """
        response = await self._ask(
            "POST",
            "/oauth2/token",
            data={
                "client_id": self._settings.client_id,
                "client_secret": self._settings.api_token.get_secret_value(),
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": self._settings.redirect_uri,
                "code_verifier": verifier,
            },
        )
        if 400 <= response.status_code < 500:
            raise CodeRefusedError(f"the hub answered {response.status_code} to the sign-in's code")
        if response.status_code != 200:
            raise HubUnavailableError(f"the hub answered {response.status_code} to the sign-in's code")
        try:
            return _TokenReply.model_validate_json(response.content).access_token
        except ValidationError as error:
            raise HubUnavailableError("the hub's answer to the sign-in's code could not be read") from error

    async def ensure_up(self) -> None:
        """Raise HubUnavailableError unless the hub answers; asked before a person is sent to it."""
        response = await self._ask("GET", "/")
        if response.status_code >= 500:
            raise HubUnavailableError(f"the hub answered {response.status_code}")

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        data: dict[str, str] | None = None,
    ) -> httpx.Response:
        url = self._settings.api_url.rstrip("/") + path
        try:
            # httpx counts each read on its own; a hub that trickles must not outlast the deadline either.
            async with asyncio.timeout(self._settings.deadline_seconds):
                return await self._http.request(method, url, headers=headers, data=data, timeout=None)
        except (httpx.HTTPError, TimeoutError) as error:
            raise HubUnavailableError(f"the hub did not answer: {type(error).__name__}") from error

    def _keep(self, key: str, identity: Identity) -> None:
        self._kept[key] = (self._monotonic() + self._settings.identity_seconds, identity)
        self._kept.move_to_end(key)
        while len(self._kept) > _IDENTITIES_KEPT:
            self._kept.popitem(last=False)
