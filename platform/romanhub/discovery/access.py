"""Who asks, and which data sets they may read."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from starlette.requests import Request

from romanhub.portal.hub import HubClient
from romanhub.portal.settings import HubSettings
from romanhub.services.datasetsfile import DatasetsFile

#: What a token may look like (RFC 6750, section 2.1).
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
#: Where nobody has signed in.
ANONYMOUS = ""


class NotSignedInError(Exception):
    """Nobody whom the hub knows sent the request; the message says what to send."""


class NotAllowedError(Exception):
    """The hub knows the sender, who may not use this service."""


@dataclass(frozen=True)
class Reader:
    """Somebody who searches."""

    #: Their name on the hub; ANONYMOUS for nobody.
    name: str
    #: The data sets that they may read, now.
    datasets: frozenset[str]


class Doorkeeper:
    """Decides who a request comes from, by a hub token in its header, and what they may read."""

    def __init__(
        self,
        settings: HubSettings,
        hub: HubClient,
        datasets: DatasetsFile,
        *,
        anonymous: bool,
        clock: Callable[[], datetime],
    ) -> None:
        """Ask a hub.

        Args:
            settings: who the service is to the hub.
            hub: knows whose a token is.
            datasets: says who may read what; is read again when it changes.
            anonymous: whether a request without a token may read what is public.
            clock: gives the present time, with its zone.
        """
        self._settings, self._hub, self._datasets = settings, hub, datasets
        self._anonymous, self._clock = anonymous, clock

    async def reader(self, request: Request) -> Reader:
        """Return who sends a request. Raises NotSignedInError, NotAllowedError, HubUnavailableError."""
        header = request.headers.get("authorization")
        if header is None:
            if self._anonymous:
                return self._reads(ANONYMOUS, ())
            raise NotSignedInError(
                "Send a hub token, as `Authorization: Bearer TOKEN`, or as the password of HTTP Basic with any "
                "user name. The hub's page Token makes one."
            )
        token = _token(header)
        identity = await self._hub.identify(token)
        if identity is None:
            raise NotSignedInError("The hub does not know this token: it has ended or was taken back.")
        if not identity.scopes & self._settings.allowed_scopes:
            raise NotAllowedError(
                f"{identity.name} may not search the archive with the token that was sent; it lacks the scope "
                f"access:services!service={self._settings.service_name}."
            )
        return self._reads(f"{identity.kind}:{identity.name}", identity.groups)

    def _reads(self, name: str, groups: tuple[str, ...]) -> Reader:
        return Reader(name, frozenset(self._datasets.current().readable(groups, self._clock())))


def _token(header: str) -> str:
    scheme, _, value = header.strip().partition(" ")
    value = value.strip()
    if scheme.lower() == "basic":
        try:
            value = base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            value = ""
    if scheme.lower() not in ("bearer", "token", "basic") or not _TOKEN.fullmatch(value):
        raise NotSignedInError(
            "The Authorization header has to read `Bearer`, a space and a hub token, or to be HTTP Basic with a "
            "hub token as the password."
        )
    return value
