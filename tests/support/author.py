"""A person who publishes notebooks and has them run, by the portal's API."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx

from tests.platform.community.hostile import code, markdown, notebook
from tests.platform.community.shelf import sidecar
from tests.support.person import Person

#: The community's part of the portal.
API = "/services/portal/api/v1/community"


class Author(Person):
    """Somebody who publishes and runs; signed in, with a token.

    Parameters
    ----------
    url, name, password
        As for a `Person`.
    """

    def __init__(self, url: str, name: str, password: str = "a long password") -> None:
        super().__init__(url, name, password)
        self.sign_in()
        self.bearer = {"Authorization": f"Bearer {self.token()}"}

    def ask(self, method: str, path: str, **more: Any) -> Any:
        """Ask the platform; returns its answer."""
        answer = httpx.request(
            method, f"{self.url}{path}", headers=self.bearer, timeout=120, trust_env=False, **more
        )
        assert answer.is_success, answer.text
        return answer.json()

    def publish(self, name: str, *cells: str, **more: Any) -> None:
        """Make a notebook's next version public; `more` is what its sidecar says beside its title."""
        content = json.dumps(notebook(markdown("# A notebook"), *map(code, cells))).encode()
        body = {"file": base64.b64encode(content).decode(), "sidecar": sidecar(title=name, **more)}
        self.ask("PUT", f"{API}/entries/{name}/draft", json=body)
        self.ask("POST", f"{API}/entries/{name}/acts/publish", json={})

    def proof(self, name: str) -> str:
        """What the last run of an entry says of it."""
        return str(self.ask("GET", f"{API}/entries/{name}")["entry"]["proof"])

    def runs(self) -> list[dict[str, Any]]:
        """The runs of this person's own notebooks."""
        return list(self.ask("GET", f"{API}/runs")["runs"])

    def notices(self) -> list[dict[str, Any]]:
        """What the platform tells this person, the newest first."""
        return list(self.ask("GET", "/services/portal/api/notices")["notices"])
