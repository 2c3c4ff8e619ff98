"""A person who uses the platform over HTTP, as their browser would: signs in, starts a server, runs cells."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import httpx
from romanhub.probe.kernel import Kernel

__all__ = ["Kernel", "Person"]

#: Long enough for a server's start on a busy machine, in seconds.
PATIENCE = 180.0


class Person:
    """One person's session with the hub.

    Parameters
    ----------
    url
        Where people sign in.
    name, password
        Their account; the password is chosen at the first sign-in.
    """

    def __init__(self, url: str, name: str, password: str = "a long password") -> None:
        self.url = url
        self.name = name
        self.password = password
        self.web = httpx.Client(base_url=url, follow_redirects=True, timeout=60, trust_env=False)

    def sign_in(self) -> httpx.Response:
        """Fill in the sign-in form; returns the page after it."""
        self.web.get("/hub/login")
        form = {
            "username": self.name,
            "password": self.password,
            "_xsrf": self.web.cookies.get("_xsrf", path="/hub/"),
        }
        return self.web.post("/hub/login", data=form)

    @property
    def path(self) -> str:
        """Where this person is in the hub's REST API."""
        return f"/users/{quote(self.name, safe='')}"

    @property
    def xsrf(self) -> dict[str, str]:
        """The header that a browser's script sends with a change."""
        return {"X-XSRFToken": self.web.cookies.get("_xsrf", path="/hub/") or ""}

    def api(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        """Call the hub's REST API with the browser's session."""
        headers = {**self.xsrf, "Referer": f"{self.url}/hub/home", "Accept": "application/json"}
        return self.web.request(method, f"/hub/api{path}", headers=headers, **kwargs)

    def token(self, *scopes: str) -> str:
        """A token of this person's own, as from the hub's token page."""
        body: dict[str, Any] = {"note": "a test"}
        if scopes:
            body["scopes"] = list(scopes)
        answer = self.api("POST", f"{self.path}/tokens", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["token"])

    def start_server(self, **options: Any) -> httpx.Response:
        """Start the server by REST and wait until it is ready; returns the refusal where it is refused."""
        answer = self.api("POST", f"{self.path}/server", json=options)
        if answer.is_success:
            self.wait_ready()
        return answer

    def wait_ready(self) -> None:
        """Follow the start's progress, event by event, until the server is ready."""
        with self.web.stream(
            "GET",
            f"/hub/api{self.path}/server/progress",
            headers={"Referer": f"{self.url}/hub/home", **self.xsrf},
            timeout=PATIENCE,
        ) as events:
            for line in events.iter_lines():
                if line.startswith("data:"):
                    event = json.loads(line.removeprefix("data:"))
                    assert not event.get("failed"), event
                    if event.get("ready"):
                        return
        raise AssertionError("the server never became ready")

    def stop_server(self) -> None:
        """Stop the server and wait until it has stopped."""
        answer = self.api("DELETE", f"{self.path}/server")
        assert answer.status_code in (202, 204), answer.text
        while self.api("GET", self.path).json()["servers"]:
            # The hub has no event for this; each question waits for an answer, so this does not spin.
            pass

    async def kernel(self, token: str | None = None) -> Kernel:
        """Start a Roman kernel in the person's server."""
        token = token or self.token()
        base = f"{self.url}{self.api('GET', self.path).json()['servers']['']['url'].rstrip('/')}"
        return await Kernel.start(base, token)
