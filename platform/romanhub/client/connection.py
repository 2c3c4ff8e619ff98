"""The notebook's connection to the platform's portal."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
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
from romanhub.models.products import CopyProgress

#: The variables that the platform sets in every server: the portal's address and the server's token.
PORTAL_VARIABLE = "ROMANHUB_PORTAL_URL"
TOKEN_VARIABLE = "JUPYTERHUB_API_TOKEN"  # noqa: S105  -- a name, not a token

Reply = TypeVar("Reply", bound=BaseModel)

#: How long the portal may take to answer, in seconds.
TIMEOUT = 20.0

#: How the portal says what went wrong (RFC 9457), and how it tells how far it is.
_PROBLEM, _LINES = "application/problem+json", "application/x-ndjson"

_BROKE_OFF = (
    "The platform's portal stopped answering while it copied. Wait a minute and send it again: what is there "
    "already is not copied twice. If it happens again, please tell the platform's operators."
)


class _Problem(BaseModel):
    status: int
    detail: str


class _Line(BaseModel):
    """A line of an answer that is followed."""

    progress: CopyProgress | None = None
    problem: _Problem | None = None
    result: dict[str, Any] | None = None


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

    def put_and_follow(
        self,
        path: str,
        body: Mapping[str, object],
        reply: type[Reply],
        *,
        refused: type[RomanHubError],
        timeout: float,
        told: Callable[[CopyProgress], object],
    ) -> Reply:
        """Have the portal copy something, and be told how far it is; otherwise like `put`.

        :param timeout: how long the portal may say nothing, in seconds.
        """
        try:
            with (
                httpx.Client(transport=self._transport, timeout=timeout) as client,
                client.stream(
                    "PUT",
                    urljoin(self._url, path),
                    json=body,
                    headers=self._headers() | {"Accept": f"{_LINES}, application/json"},
                ) as answer,
            ):
                if not answer.headers.get("content-type", "").startswith(_LINES):
                    answer.read()
                    return _understood(_checked(answer, refused).content, reply)
                for line in answer.iter_lines():
                    said = _understood(line, _Line)
                    if said.progress is not None:
                        told(said.progress)
                    if said.problem is not None:
                        # As it would have been answered by itself.
                        status, detail = said.problem.status, said.problem.detail
                        headers = {"content-type": _PROBLEM}
                        _checked(httpx.Response(status, json={"detail": detail}, headers=headers), refused)
                    if said.result is not None:
                        return _understood(json.dumps(said.result), reply)
        except httpx.ConnectError:
            raise _no_answer() from None
        except httpx.HTTPError:
            raise PortalUnavailableError(_BROKE_OFF) from None
        raise PortalUnavailableError(_BROKE_OFF)

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
        return _understood(self._answer(method, path, body, refused, timeout).content, reply)

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
                    headers=self._headers(),
                )
        except httpx.HTTPError:
            raise _no_answer() from None
        return _checked(answer, refused)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token.get_secret_value()}"}


def _checked(answer: httpx.Response, refused: type[RomanHubError] | None) -> httpx.Response:
    """Return an answer; raise what `Portal.get` raises where it is none that helps."""
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


def _understood(content: str | bytes, model: type[Reply]) -> Reply:
    try:
        return model.model_validate_json(content)
    except ValidationError:
        raise PortalUnavailableError(
            "The platform's portal gave an answer that this server does not understand. Restart your "
            "server, which brings its software up to date; if it happens again, please tell the "
            "platform's operators."
        ) from None


def _no_answer() -> PortalUnavailableError:
    return PortalUnavailableError(
        "The platform's portal does not answer. Wait a minute and try again; "
        "if it happens again, please tell the platform's operators."
    )


def _problem(answer: httpx.Response) -> str:
    """Return what went wrong, in the portal's own words if it used any (RFC 9457)."""
    said = f"The platform's portal could not answer (HTTP status {answer.status_code})."
    if detail := _detail(answer):
        said = f"The platform's portal could not answer: {detail.rstrip('.')}."
    return f"{said} Try again in a minute; if it happens again, please tell the platform's operators."


def _detail(answer: httpx.Response) -> str:
    """Return what a problem document (RFC 9457) says; empty for any other answer."""
    if not answer.headers.get("content-type", "").startswith(_PROBLEM):
        return ""
    try:
        detail = answer.json().get("detail")
    except ValueError:
        return ""
    return detail if isinstance(detail, str) else ""
