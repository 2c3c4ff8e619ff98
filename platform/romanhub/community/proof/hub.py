"""The servers of runs at the hub, by its REST API: started, looked at, stopped. Nothing is looked at in them."""

from __future__ import annotations

import json
from enum import Enum
from typing import Any
from urllib.parse import quote

import httpx

#: How long the hub may take to answer, in seconds: a start once the server is up, or after 10 seconds.
PATIENCE = 120.0


class HubDownError(Exception):
    """The hub did not answer, or could not do it now."""


class StartRefusedError(Exception):
    """The hub would not start a server; the message is its own, or the ledger's."""


class ServerState(Enum):
    """Where a server is."""

    ABSENT = "absent"
    PENDING = "pending"
    READY = "ready"


class HubServers:
    """Servers with names, at one hub.

    Parameters
    ----------
    url
        The hub's REST API, without a trailing slash.
    token
        The runner's token there.
    http
        The client that requests go through; it is not closed here.
    """

    def __init__(self, url: str, token: str, http: httpx.AsyncClient) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"token {token}", "Accept": "application/json"}
        self._http = http

    async def ensure_user(self, name: str) -> None:
        """Make a user where there is none of that name. Raises HubDownError."""
        answer = await self._ask("POST", f"/users/{quote(name, safe='')}")
        if answer.status_code not in (201, 409):
            raise HubDownError(f"The hub answered {answer.status_code} when asked for the user {name}.")

    async def start(self, person: str, server: str, options: dict[str, Any]) -> None:
        """Start a server; it may not be ready yet at the return.

        Raises
        ------
        StartRefusedError
            It is refused.
        HubDownError
            The hub, or the ledger behind it, does not answer now.
        """
        answer = await self._ask("POST", _path(person, server), json={"user_options": options})
        if answer.status_code in (201, 202):
            return
        if answer.status_code == 429 or answer.status_code >= 500:
            raise HubDownError(f"The hub answered {answer.status_code}: {_words(answer)}")
        raise StartRefusedError(_words(answer) or f"The hub answered {answer.status_code}.")

    async def state(self, person: str, server: str) -> ServerState:
        """Return where a server is. Raises HubDownError."""
        answer = await self._ask("GET", _path(person, server))
        if answer.status_code == 404:
            return ServerState.ABSENT
        found = self._read(answer)
        if found.get("pending"):
            return ServerState.PENDING
        return ServerState.READY if found.get("ready") else ServerState.ABSENT

    async def why(self, person: str, server: str) -> str:
        """Return what the hub says of a start that failed; empty where it says nothing. Raises HubDownError."""
        answer = await self._ask("GET", f"{_path(person, server)}/progress")
        for line in answer.text.splitlines():
            if line.startswith("data:"):
                event = json.loads(line.removeprefix("data:"))
                if event.get("failed"):
                    return str(event.get("message", ""))
        return ""

    async def stop(self, person: str, server: str) -> bool:
        """Stop a server and forget its name; return whether it is gone. Raises HubDownError."""
        answer = await self._ask("DELETE", _path(person, server), json={"remove": True})
        if answer.status_code in (204, 404):
            return True
        if answer.status_code in (202, 400):
            # It is on its way, or on its way up, which has to end first.
            return False
        raise HubDownError(f"The hub answered {answer.status_code} when asked to stop {person}/{server}.")

    def _read(self, answer: httpx.Response) -> dict[str, Any]:
        if answer.status_code != 200:
            raise HubDownError(f"The hub answered {answer.status_code}: {_words(answer)}")
        return dict(answer.json())

    async def _ask(self, method: str, path: str, json: Any = None) -> httpx.Response:
        try:
            return await self._http.request(
                method, f"{self._url}{path}", headers=self._headers, json=json, timeout=PATIENCE
            )
        except httpx.HTTPError as error:
            raise HubDownError(f"The hub does not answer: {type(error).__name__}.") from error


def _path(person: str, server: str) -> str:
    return f"/users/{quote(person, safe='')}/servers/{quote(server, safe='')}"


def _words(answer: httpx.Response) -> str:
    try:
        return " ".join(str(answer.json().get("message") or "").split())
    except (ValueError, AttributeError):
        return ""
