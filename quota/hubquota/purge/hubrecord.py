"""The hub's record of a user, by the hub's REST API. It goes last, once everything else is deleted.

A record has no place to be moved aside to: it stays until it is deleted. The hub forgets a user's tokens and
stored sign-in state with it; what is restored is the user, their groups and whether they were an administrator.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ConfigDict, Field

from hubquota.models.ledger import AccountKind
from hubquota.models.purge import PurgeError, Seen, Thing, TouchedError
from hubquota.purge.adapter import Entries
from hubquota.purge.archive import Entry, Progress, Sink

#: What is kept of a record, and what is compared: whoever signs in or is changed by somebody has come back.
_FACTS = ("name", "admin", "groups", "created", "last_activity", "servers")

_GONE = "gone"


class Options(BaseModel):
    """The adapter's keys in the settings file."""

    model_config = ConfigDict(extra="forbid")

    url: str | None = Field(
        default=None,
        description="The hub's REST API, such as http://hub:8081/hub/api; JUPYTERHUB_API_URL if not given.",
    )
    token_variable: str = Field(
        default="JUPYTERHUB_API_TOKEN",
        description="The environment variable with a token of the scopes admin:users, admin:groups.",
    )


def make(**options: Any) -> HubRecords:
    """Return the adapter for some options."""
    checked = Options.model_validate(options)
    url = checked.url or os.environ.get("JUPYTERHUB_API_URL")
    token = os.environ.get(checked.token_variable)
    if not url or not token:
        raise PurgeError(
            f"The adapter hub-record needs the hub's address and a token in {checked.token_variable}."
        )
    headers = {"Authorization": f"token {token}"}
    return HubRecords(httpx.Client(base_url=f"{url.rstrip('/')}/", headers=headers, timeout=30))


class HubRecords:
    """Takes the hub's records of users away, and makes them again."""

    last = True

    def __init__(self, client: httpx.Client) -> None:
        """Use a client whose base address is the hub's API; see `Options` for its token's scopes."""
        self._client = client

    def find(self, account: str, kind: AccountKind) -> Iterable[str]:
        """Yield the name of the hub's user, if there is one."""
        if kind == "user" and self._get(account) is not None:
            yield account

    def look(self, thing: Thing) -> Seen | None:
        """Return what the record looks like."""
        found = self._get(thing.name)
        if found is None:
            return None
        newest = found["last_activity"] or found["created"]
        return Seen(0, 1, _time(newest), _digest(found))

    def archive(self, thing: Thing, sink: Sink) -> None:
        """Write the record into an archive."""
        found = self._get(thing.name)
        if found is None:
            raise TouchedError(f"the hub has no user {thing.name} any more")
        content = json.dumps(found, sort_keys=True).encode()
        sink.add(Entry(path=b"user.json", type="file", size=len(content)), io.BytesIO(content))

    def quarantine(self, thing: Thing, fingerprint: str) -> str:
        """Leave the record where it is; it is compared once more before it is deleted."""
        found = self._get(thing.name)
        if found is None or _digest(found) != fingerprint:
            raise TouchedError(f"the hub's user {thing.name} has changed since the plan was made")
        return fingerprint

    def look_aside(self, thing: Thing) -> str | None:
        """Return the fingerprint of the record where it is."""
        found = self._get(thing.name)
        # Not None: what somebody has deleted on the hub's own page is not to be made again.
        return _GONE if found is None else _digest(found)

    def give_back(self, thing: Thing) -> str | None:
        """Do nothing: the record is where it was."""
        return None

    def delete(self, thing: Thing, progress: Progress) -> None:
        """Delete the hub's user."""
        answer = self._client.delete(f"users/{quote(thing.name, safe='')}")
        if answer.status_code != httpx.codes.NOT_FOUND:
            _checked(answer)

    def restore(self, thing: Thing, entries: Entries) -> str:
        """Make the hub's user again, unless there is one by now."""
        for _, content in entries:
            assert content is not None
            kept = json.loads(content.read())
            name = quote(thing.name, safe="")
            answer = self._client.post(f"users/{name}", json={"admin": bool(kept["admin"])})
            if answer.status_code != httpx.codes.CONFLICT:
                _checked(answer)
            for group in kept["groups"]:
                # A group that is gone is not made again: somebody has decided that.
                answer = self._client.post(f"groups/{quote(group, safe='')}/users", json={"users": [thing.name]})
                if answer.status_code not in (httpx.codes.NOT_FOUND, httpx.codes.BAD_REQUEST):
                    _checked(answer)
        return f"the hub's user {thing.name}"

    def finish(self, thing: Thing) -> None:
        """Do nothing: there is no quarantine."""

    def _get(self, name: str) -> dict[str, Any] | None:
        answer = self._client.get(f"users/{quote(name, safe='')}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        found = _checked(answer).json()
        kept = {fact: found.get(fact) for fact in _FACTS}
        return kept | {"groups": sorted(found.get("groups") or []), "servers": sorted(found.get("servers") or {})}


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.is_error:
        raise PurgeError(
            f"The hub answered {answer.status_code} to {answer.request.method} {answer.request.url.path}."
        )
    return answer


def _digest(found: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


def _time(text: str | None) -> datetime | None:
    if not text:
        return None
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)
