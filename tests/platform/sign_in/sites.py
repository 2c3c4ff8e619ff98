"""An institution's provider and a hub that signs its people in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.platform.sign_in.hub import Hub, Member
from tests.platform.sign_in.provider import Provider

#: A secret with characters that mean something else in an address and in a header.
SECRET = "s3cr3t+/=%:& and more of it"

ASK = "Write to roman@example.org."


@dataclass
class Site:
    """A hub and its provider, both running."""

    hub: Hub
    provider: Provider

    def member(self, login: str, name: str | None = None) -> Member:
        """A person with a browser of their own; they need an account at the provider."""
        return Member(self.hub, login, name)

    def signed_in(self, login: str, name: str | None = None) -> Member:
        """A person who is signed in."""
        member = self.member(login, name)
        page = member.sign_in()
        assert page.url.path == "/hub/home", page.text
        return member

    def newcomer(self, login: str, **claims: Any) -> Member:
        """A person with a new account at the provider."""
        self.provider.add(login, **claims)
        return self.member(login)

    def user(self, name: str) -> dict[str, Any] | None:
        """A user of the hub as an administrator sees them; None where there is no such user."""
        answer = self.signed_in("grace").api("GET", f"/users/{name}")
        return answer.json() if answer.status_code == httpx.codes.OK else None


@contextmanager
def running_site(
    folder: Path, *, client: dict[str, Any] | None = None, arguments: tuple[str, ...] = (), **settings: Any
) -> Iterator[Site]:
    """A new hub and provider, with one administrator, grace.

    Parameters
    ----------
    folder
        An empty folder for both.
    client
        What the provider knows of the hub beside the usual.
    arguments
        More of the hub's command line.
    settings
        More of the hub's settings for sign-in.
    """
    for part in ("hub", "provider"):
        (folder / part).mkdir()
    hub = Hub(folder / "hub", list(arguments))
    registered = {
        "client_id": "romanhub",
        "client_secret": SECRET,
        "grant_types": ["authorization_code", "refresh_token"],
        "redirect_uris": [hub.callback],
        "post_logout_redirect_uris": [f"{hub.url}/hub/login"],
        **(client or {}),
    }
    provider = Provider(folder / "provider", [registered])
    provider.add("grace", name="Grace Hopper", groups=["roman-admins"], email="grace@example.org")
    provider.start()
    try:
        hub.settings(
            **{
                "issuer": provider.issuer,
                "name": "Example University",
                "client_id": "romanhub",
                "client_secret": SECRET,
                "callback_url": hub.callback,
                "after_sign_out": f"{hub.url}/hub/login",
                "groups_claim": "groups",
                "admin_groups": ["roman-admins"],
                "ask": ASK,
                **settings,
            }
        )
        try:
            yield Site(hub.start(), provider)
        finally:
            hub.stop()
    finally:
        provider.stop()
