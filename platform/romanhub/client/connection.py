"""The notebook's connection to the platform's portal."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

import httpx
from pydantic import BaseModel, SecretStr, ValidationError

from romanhub.client.errors import (
    NotAllowedError,
    OutsidePlatformError,
    PortalUnavailableError,
    RomanHubError,
    ScratchRefusedError,
)

#: The variables that the platform sets in every server: the portal's address and the server's token.
PORTAL_VARIABLE = "ROMANHUB_PORTAL_URL"
TOKEN_VARIABLE = "JUPYTERHUB_API_TOKEN"  # noqa: S105  -- a name, not a token

Reply = TypeVar("Reply", bound=BaseModel)

#: How long the portal may take to answer, in seconds.
TIMEOUT = 20.0


class Portal:
    """Asks the portal's API with the server's own token.

    :param url: the portal's address, ending in a slash.
    :param token: the hub token to ask with.
    :param transport: how requests are sent; the network unless a test says otherwise.
    """

    def __init__(self, url: str, token: SecretStr, *, transport: httpx.BaseTransport | None = None) -> None:
        self._url = url if url.endswith("/") else f"{url}/"
        self._token = token
        self._transport = transport

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Portal:
        """Return the portal that the server's environment names.

        Raises OutsidePlatformError where the environment is not that of a server of the platform.
        """
        environment = os.environ if environment is None else environment
        url, token = environment.get(PORTAL_VARIABLE), environment.get(TOKEN_VARIABLE)
        if not url or not token:
            raise OutsidePlatformError(
                "This code does not run in a server of the platform, so there is no archive, cluster or "
                "balance to reach. Start a server on the platform and run it in a notebook there. "
                "In a Dask worker, use exposures or an archive that the notebook passed to it."
            )
        return cls(url, SecretStr(token))

    def __repr__(self) -> str:
        return "<the platform's portal>"

    @property
    def url(self) -> str:
        """The portal's address as the platform's servers know it, ending in a slash."""
        return self._url

    @property
    def path(self) -> str:
        """The portal's path on the platform, for links from a notebook, which the same host serves."""
        return urlsplit(self._url).path

    def get(self, path: str, reply: type[Reply], *, refused: type[RomanHubError] | None = None) -> Reply:
        """Return the portal's answer at `path` as the model `reply`.

        Raises `refused`, where one is given, with the portal's words where it has no such thing;
        NotAllowedError when the portal refuses the token, and PortalUnavailableError when it does not answer or
        when its answer cannot be understood.
        """
        return self._ask("GET", path, None, reply, refused, TIMEOUT)

    def post(
        self,
        path: str,
        body: Mapping[str, object],
        reply: type[Reply],
        *,
        refused: type[RomanHubError] = ScratchRefusedError,
        timeout: float = TIMEOUT,
    ) -> Reply:
        """Have the portal do something; return its answer as the model `reply`.

        Raises `refused` with the portal's words where it refuses, and otherwise what `get` raises.
        """
        return self._ask("POST", path, body, reply, refused, timeout)

    def put(
        self,
        path: str,
        body: Mapping[str, object],
        reply: type[Reply],
        *,
        refused: type[RomanHubError],
        timeout: float = TIMEOUT,
    ) -> Reply:
        """Have the portal keep something; like `post`, but doing it twice is doing it once."""
        return self._ask("PUT", path, body, reply, refused, timeout)

    def get_file(self, path: str, *, refused: type[RomanHubError]) -> bytes:
        """Return a file of the portal's; raises what `get` raises."""
        return self._answer("GET", path, None, refused, TIMEOUT).content

    def _ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None,
        reply: type[Reply],
        refused: type[RomanHubError] | None,
        timeout: float,
    ) -> Reply:
        answer = self._answer(method, path, body, refused, timeout)
        try:
            return reply.model_validate_json(answer.content)
        except ValidationError:
            raise PortalUnavailableError(
                "The platform's portal gave an answer that this server does not understand. Restart your "
                "server, which brings its software up to date; if it happens again, please tell the "
                "platform's operators."
            ) from None

    def _answer(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None,
        refused: type[RomanHubError] | None,
        timeout: float,
    ) -> httpx.Response:
        try:
            with httpx.Client(transport=self._transport, timeout=timeout) as client:
                answer = client.request(
                    method,
                    urljoin(self._url, path),
                    json=body,
                    headers={"Authorization": f"Bearer {self._token.get_secret_value()}"},
                )
        except httpx.HTTPError:
            raise PortalUnavailableError(
                "The platform's portal does not answer. Wait a minute and try again; "
                "if it happens again, please tell the platform's operators."
            ) from None
        if refused is not None and answer.status_code == 403 and (why := _detail(answer)):
            raise refused(why)
        if answer.status_code in (401, 403):
            raise NotAllowedError(
                "The platform's portal refused this server's token. Restart your server (File, Hub "
                "Control Panel, Stop My Server, then Start My Server) and try again."
            )
        if refused is not None and answer.status_code in (404, 409, 413, 422):
            raise refused(_detail(answer) or _problem(answer))
        if answer.status_code not in (200, 201):
            raise PortalUnavailableError(_problem(answer))
        return answer


def _problem(answer: httpx.Response) -> str:
    """Return what went wrong, in the portal's own words if it used any (RFC 9457)."""
    said = f"The platform's portal could not answer (HTTP status {answer.status_code})."
    if detail := _detail(answer):
        said = f"The platform's portal could not answer: {detail.rstrip('.')}."
    return f"{said} Try again in a minute; if it happens again, please tell the platform's operators."


def _detail(answer: httpx.Response) -> str:
    """Return what a problem document (RFC 9457) says; empty for any other answer."""
    if not answer.headers.get("content-type", "").startswith("application/problem+json"):
        return ""
    try:
        detail = answer.json().get("detail")
    except ValueError:
        return ""
    return detail if isinstance(detail, str) else ""
