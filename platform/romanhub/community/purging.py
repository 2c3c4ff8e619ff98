"""What the catalogue has of an account, for `hubquota purge`: it goes with the account; what is public stays.

An adapter as `hubquota.purge.adapter` describes it. What it takes is rows, which have no place to be moved aside
to: they stay until they are deleted, and are compared once more before that, like the hub's record of a user.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from hubquota.models.ledger import AccountKind
from hubquota.models.purge import PurgeError, Seen, Thing, TouchedError
from hubquota.purge.adapter import Entries
from hubquota.purge.archive import Entry, Progress, Sink
from hubquota.services.base import utc_now
from pydantic import ValidationError

from romanhub.community.errors import CommunityError
from romanhub.community.inspector import Inspector
from romanhub.community.services.catalogue import Catalogue
from romanhub.community.settings import CommunitySettings
from romanhub.community.storage import persons
from romanhub.community.storage.bucket import CommunityBucket, Files

_Found = TypeVar("_Found")

#: Who does it, in the catalogue's own record.
ACTOR = "purge"

_ROWS, _DRAFTS = b"community.json", b"drafts"
_GONE = "gone"


def make() -> CommunityOfPerson:
    """Return the adapter for the catalogue that the environment names, as the portal's does.

    Raises
    ------
    PurgeError
        It names none.
    """
    given = {name: os.environ.get(f"ROMANHUB_COMMUNITY_{name.upper()}") for name in CommunitySettings.model_fields}
    try:
        return of_settings(CommunitySettings.model_validate({k: v for k, v in given.items() if v}))
    except ValidationError as error:
        wrong = ", ".join(f"ROMANHUB_COMMUNITY_{str(one['loc'][0]).upper()}" for one in error.errors())
        raise PurgeError(f"The adapter community needs {wrong}, as the portal has it.") from None


def of_settings(settings: CommunitySettings) -> CommunityOfPerson:
    """Return the adapter for one catalogue."""
    bucket = CommunityBucket(settings)
    return CommunityOfPerson(Catalogue(settings.engine(), bucket, Inspector(), utc_now), bucket)


class CommunityOfPerson:
    """Takes drafts, stars, opens, own runs and registered repositories of an account, and brings them back.

    Parameters
    ----------
    catalogue
        The catalogue.
    bucket
        Its files. Of a draft that is no notebook the archive has what its author said, and not its files.
    """

    last = False

    def __init__(self, catalogue: Catalogue, bucket: Files) -> None:
        self._catalogue = catalogue
        self._bucket = bucket

    def find(self, account: str, kind: AccountKind) -> Iterable[str]:
        """Yield the account's name, if the catalogue has anything of it that is not public."""
        if kind == "user" and any(self._rows(account).values()):
            yield account

    def look(self, thing: Thing) -> Seen | None:
        """Return what there is."""
        rows = self._rows(thing.name)
        if not any(rows.values()):
            return None
        times = [
            row[column]
            for part in rows.values()
            for row in part
            for column in ("made_at", "at", "queued_at", "ended_at")
            if row.get(column)
        ]
        return Seen(
            bytes=sum(row["size"] for row in rows["drafts"]),
            files=sum(map(len, rows.values())),
            newest=datetime.fromtimestamp(max(times), UTC) if times else None,
            fingerprint=_digest(rows),
        )

    def archive(self, thing: Thing, sink: Sink) -> None:
        """Write the rows and the drafts' notebooks into an archive."""
        rows = self._rows(thing.name)
        if not any(rows.values()):
            raise TouchedError(f"the community's catalogue has nothing of {thing.name} any more")
        _add(sink, _ROWS, json.dumps(rows, sort_keys=True).encode())
        for draft in rows["drafts"]:
            if draft["kind"] == "notebook":
                content = _asked(partial(self._bucket.get, draft["digest"]))
                _add(sink, b"%s/%s.ipynb" % (_DRAFTS, draft["name"].encode()), content)

    def quarantine(self, thing: Thing, fingerprint: str) -> str:
        """Leave everything where it is; it is compared once more before it is deleted."""
        if _digest(self._rows(thing.name)) != fingerprint:
            raise TouchedError(f"what the community's catalogue has of {thing.name} has changed")
        return fingerprint

    def look_aside(self, thing: Thing) -> str | None:
        """Return the fingerprint of what there is."""
        rows = self._rows(thing.name)
        return _digest(rows) if any(rows.values()) else _GONE

    def give_back(self, thing: Thing) -> str | None:
        """Do nothing: everything is where it was."""
        return None

    def delete(self, thing: Thing, progress: Progress) -> None:
        """Throw drafts away and forget the rest. What is public stays, with its authors and its owner's name."""
        with self._catalogue.store.reading() as connection:
            running = persons.running_of(connection, thing.name)
        if running:
            raise PurgeError(f"The run {running[0]} of {thing.name} has a server still.")
        _asked(lambda: self._catalogue.purge(thing.name, actor=ACTOR))
        with self._catalogue.store.deciding() as connection:
            persons.forget(connection, thing.name)

    def restore(self, thing: Thing, entries: Entries) -> str:
        """Bring back what was archived. A draft whose name has been taken meanwhile has another one then."""
        rows: dict[str, list[dict[str, Any]]] = {}
        files: dict[str, bytes] = {}
        for one, content in entries:
            if content is None:
                continue
            if one.path == _ROWS:
                rows = json.loads(content.read())
            else:
                files[one.path.decode().rpartition("/")[2].removesuffix(".ipynb")] = content.read()
        with self._catalogue.store.deciding() as connection:
            persons.bring_back(connection, rows)
        for draft in rows.get("drafts", []):
            if draft["name"] in files:
                self._draft(thing.name, draft, files[draft["name"]])
        for star in rows.get("stars", []):
            try:
                self._catalogue.star(thing.name, star["name"])
            except CommunityError:
                continue  # the entry was withdrawn meanwhile
        return f"the community's catalogue, {thing.name}"

    def finish(self, thing: Thing) -> None:
        """Do nothing: there is no quarantine."""

    def _draft(self, person: str, draft: dict[str, Any], content: bytes) -> None:
        kept = {key: value for key, value in draft["details"].items() if key in ("file", "commit")}
        for name in (draft["name"], f"restored-{draft['name']}"[:100].rstrip("-")):
            found = [one for one in self._catalogue.entries_of(person) if one.name == name]
            if found and found[0].pending is not None:
                return  # its owner was faster, or this was done before
            try:
                self._catalogue.draft(person, name, content, draft["sidecar"], kept)
            except CommunityError as error:
                refused = str(error)
            else:
                return
        raise PurgeError(f"The draft {draft['name']} of {person} cannot be brought back: {refused}")

    def _rows(self, person: str) -> dict[str, list[dict[str, Any]]]:
        def ask() -> dict[str, list[dict[str, Any]]]:
            with self._catalogue.store.reading() as connection:
                return persons.rows_of(connection, person)

        return _asked(ask)


def _asked(act: Callable[[], _Found]) -> _Found:
    try:
        return act()
    except CommunityError as error:
        raise PurgeError(str(error)) from error


def _add(sink: Sink, path: bytes, content: bytes) -> None:
    sink.add(Entry(path=path, type="file", size=len(content)), io.BytesIO(content))


def _digest(rows: dict[str, list[dict[str, Any]]]) -> str:
    # A repository is looked at every hour, which its owner does not do.
    still = {**rows, "repositories": [row["id"] for row in rows["repositories"]]}
    return hashlib.sha256(json.dumps(still, sort_keys=True).encode()).hexdigest()
