"""The robot at the hub: its account and its server, by the hub's REST API."""

from __future__ import annotations

import json
from typing import Any, Self
from urllib.parse import quote

import httpx

#: The robot's account. Nobody can sign in as it; see `hub_config/`.
ROBOT = "romanhub-probe"

#: How long a server may take to start or to stop, in seconds, before the probe gives up.
PATIENCE = 300.0


class ProbeError(Exception):
    """A step of the probe did not do what it should; the message says what, in a sentence."""


class Robot:
    """The robot's account at a hub, to be entered as an asynchronous context.

    Parameters
    ----------
    url
        Where people sign in, without a trailing slash.
    token
        A token that may manage this one user and its server.
    name
        The robot's account.
    """

    def __init__(self, url: str, token: str, name: str = ROBOT) -> None:
        self.url = url.rstrip("/")
        self.token = token
        self.name = name
        self._path = f"/hub/api/users/{quote(name, safe='')}"
        self._web = httpx.AsyncClient(base_url=self.url, timeout=60, trust_env=False, follow_redirects=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._web.aclose()

    async def look_at_the_door(self) -> None:
        """See that the sign-in page is there, and that the hub knows the robot; it is made where it is new."""
        try:
            page = await self._web.get("/hub/login")
        except httpx.HTTPError as error:
            raise ProbeError(f"Nothing answers at {self.url} ({type(error).__name__}).") from None
        if page.is_error:
            raise ProbeError(f"The sign-in page answers with the status {page.status_code}.")
        if (await self._ask("GET", missing_ok=True)) is None:
            await self._ask("POST")

    async def server(self) -> str | None:
        """The address of the robot's server, without a trailing slash; None while none runs."""
        user = await self._ask("GET")
        running = user["servers"].get("") if user else None
        return None if running is None else f"{self.url}{running['url'].rstrip('/')}"

    async def start_server(self, **options: Any) -> str:
        """Start the server and wait until it is ready; returns its address.

        Raises
        ------
        ProbeError
            Where the start is refused or fails; with the hub's own words.
        """
        await self._ask("POST", "/server", json=options)
        async with self._web.stream(
            "GET", f"{self._path}/server/progress", headers=self._header, timeout=PATIENCE
        ) as events:
            async for line in events.aiter_lines():
                event = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
                if event.get("failed"):
                    raise ProbeError(f"The server did not start. {event.get('message', '')}".strip())
                if event.get("ready") and (address := await self.server()) is not None:
                    return address
        raise ProbeError("The server never became ready.")

    async def stop_server(self) -> None:
        """Stop the server and wait until it has stopped; nothing where none runs."""
        if await self.server() is None:
            return
        await self._ask("DELETE", "/server")
        # The hub has no event for this; it answers the question of a user whose server stops after a moment.
        while await self.server() is not None:
            pass

    async def notebook(self, address: str, path: str) -> list[str]:
        """The code cells of a notebook in the robot's home."""
        answer = await self._web.get(f"{address}/api/contents/{quote(path)}", headers=self._header)
        if answer.is_error:
            raise ProbeError(f"The notebook {path} is not in the robot's home (status {answer.status_code}).")
        cells = answer.json()["content"]["cells"]
        return [str(cell["source"]) for cell in cells if cell["cell_type"] == "code"]

    @property
    def _header(self) -> dict[str, str]:
        return {"Authorization": f"token {self.token}", "Accept": "application/json"}

    async def _ask(
        self, method: str, path: str = "", *, missing_ok: bool = False, json: Any = None
    ) -> dict[str, Any] | None:
        """Ask the hub about the robot; None for an answer without content, or where it is missing."""
        try:
            answer = await self._web.request(method, f"{self._path}{path}", headers=self._header, json=json)
        except httpx.HTTPError as error:
            raise ProbeError(f"The hub at {self.url} does not answer ({type(error).__name__}).") from None
        if missing_ok and answer.status_code == 404:
            return None
        if answer.is_error:
            raise ProbeError(f"The hub answered {method} with {answer.status_code}: {_words(answer)}")
        return dict(answer.json()) if answer.content else None


def _words(answer: httpx.Response) -> str:
    """What the hub said, in one line."""
    try:
        said = str(answer.json().get("message", ""))
    except (ValueError, AttributeError):
        said = answer.reason_phrase
    return " ".join(said.split()) or answer.reason_phrase
