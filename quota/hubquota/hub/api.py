"""The hub's REST API, as far as the watch needs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx

#: Asks for pages. Without it the hub answers with the first 200 users and says nothing of the others.
_PAGES = "application/jupyterhub-pagination+json"


@dataclass(frozen=True, slots=True)
class Server:
    """A server as the hub knows it: one that runs, or is on its way to or from running."""

    user: str
    name: str
    #: Whether it runs and nothing about it is pending.
    ready: bool
    #: When its start was asked for.
    started: datetime | None
    #: When the hub last noted activity.
    last_activity: datetime | None
    #: What its start was asked for with.
    options: Mapping[str, Any] = field(default_factory=dict)
    #: Its user's hub groups.
    groups: frozenset[str] = frozenset()


class HubApi:
    """A client of one hub."""

    def __init__(self, client: httpx.Client, *, page: int = 200) -> None:
        """Talk to a hub.

        Args:
            client: its base address is the hub's API, and it carries a token with the scopes
                ``list:users``, ``read:users``, ``read:servers`` and ``delete:servers``.
            page: how many users to ask for at a time.
        """
        self._client = client
        self._page = page

    def servers(self) -> Iterator[Server]:
        """Yield every server that runs or is pending.

        Raises:
            httpx.HTTPError: the hub did not answer, or not with a list.
        """
        for user in self._items("users", state="active"):
            yield from _servers(user)

    def groups(self) -> Iterator[tuple[str, list[str]]]:
        """Yield every group's name and its users' names. Needs the scopes ``list:groups``, ``read:groups``.

        Raises:
            httpx.HTTPError: the hub did not answer, or not with a list.
        """
        for group in self._items("groups"):
            # Without the scope to read them the hub leaves the users out, which must not read as nobody.
            if "users" not in group:
                raise httpx.HTTPError("the token may not read who is in a group (scope read:groups)")
            yield group["name"], group["users"]

    def _items(self, path: str, **parameters: str) -> Iterator[Mapping[str, Any]]:
        offset: int | None = 0
        while offset is not None:
            answer = self._client.get(
                path,
                params={**parameters, "offset": str(offset), "limit": str(self._page)},
                headers={"Accept": _PAGES},
            ).raise_for_status()
            model = answer.json()
            yield from model["items"]
            following = model["_pagination"]["next"]
            offset = following["offset"] if following else None

    def server(self, user: str, name: str) -> Server | None:
        """Return one server if it runs or is pending, or None.

        Raises:
            httpx.HTTPError: the hub did not answer, or said neither yes nor no.
        """
        answer = self._client.get(f"users/{quote(user, safe='')}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        found = _servers(answer.raise_for_status().json())
        return next((server for server in found if server.name == name), None)

    def stop(self, server: Server) -> None:
        """Ask the hub to stop a server.

        Raises:
            httpx.HTTPError: the hub did not answer, or will not.
        """
        user, name = quote(server.user, safe=""), quote(server.name, safe="")
        path = f"users/{user}/servers/{name}" if server.name else f"users/{user}/server"
        self._client.delete(path).raise_for_status()


def _servers(user: Mapping[str, Any]) -> Iterator[Server]:
    # Without the scope to read them the hub leaves the servers out, which must not read as none.
    if "servers" not in user:
        raise httpx.HTTPError("the token may not read what runs (scope read:servers)")
    for name, model in user["servers"].items():
        yield Server(
            user=user["name"],
            name=name,
            ready=bool(model["ready"]),
            started=_time(model["started"]),
            last_activity=_time(model["last_activity"]),
            options=model.get("user_options") or {},
            groups=frozenset(user.get("groups") or ()),
        )


def _time(text: str | None) -> datetime | None:
    if not text:
        return None
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)
