"""Taking versions that are not public yet: looked into, kept in the bucket, noted in the database."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from romanhub.community.errors import ConflictError, NotYoursError, RefusedError
from romanhub.community.services.base import Store
from romanhub.community.services.sidecars import read_sidecar
from romanhub.community.storage import entries
from romanhub.community.storage.entries import Kept
from romanhub.community.storage.gallery import searchable
from romanhub.models.community import ENTRY_NAME, Act, Kind, State
from romanhub.models.entries import Draft

#: What a rendered page is called: the same notebook is the same page, whoever sends it under whatever title.
PAGE_TITLE = "A notebook of the community"

#: An entry's name is no longer, and a person has no more drafts at once.
LONGEST_NAME, MOST_DRAFTS = 100, 50

#: Where the copy of another entry keeps what it is a copy of, in a version's details.
SOURCE = "source"


class Drafting:
    """Keeps drafts, for one catalogue."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def notebook(
        self, person: str, name: str, content: bytes, sidecar: Mapping[str, Any], details: Mapping[str, Any]
    ) -> Draft:
        """Keep a notebook; raises what `Catalogue.draft` raises."""
        said, missing = read_sidecar(sidecar)
        self.ensure_free(person, name, Kind.NOTEBOOK)
        found = self._store.inspector.inspect(content, PAGE_TITLE)
        digest = self._store.bucket.put(content)
        self._store.bucket.put_page(digest, found.page)
        more = {
            **details,
            "cells": found.cells,
            **({"picture": self._store.bucket.put(found.picture)} if found.picture else {}),
            **({SOURCE: found.source.model_dump()} if found.source else {}),
        }
        return self.keep(
            person, name, Kind.NOTEBOOK, digest=digest, size=len(content), sidecar=said, missing=missing,
            details=more, words=found.words,
        )  # fmt: skip

    def ensure_free(self, person: str, name: str, kind: Kind) -> None:
        """Say before anything takes long whether a draft could be kept at all; raises what `keep` raises."""
        with self._store.reading() as connection:
            self._ensure_free(connection, person, name, kind)

    def keep(
        self,
        person: str,
        name: str,
        kind: Kind,
        *,
        digest: str,
        size: int,
        sidecar: Mapping[str, Any],
        missing: dict[str, str],
        details: Mapping[str, Any],
        words: str,
    ) -> Draft:
        """Note a draft whose files are in the bucket; raises NotYoursError and ConflictError."""
        now = self._store.clock()
        before: set[str] = set()
        with self._store.deciding() as connection:
            kept = self._ensure_free(connection, person, name, kind, lock=True)
            if kept is None:
                try:
                    entry_id = entries.add(connection, name, kind, person, now)
                except IntegrityError as error:
                    raise _taken(name) from error
            else:
                entry_id = kept.id
                before = entries.files_of(connection, kept, pending_only=True)
            number = entries.put_draft(
                connection, entry_id, digest=digest, size=size, sidecar=sidecar, details=details,
                words=searchable(words), person=person, at=now,
            )  # fmt: skip
            entries.note(connection, entry_id, at=now, actor=person, act_="draft", version_=number)
            after = entries.by_name(connection, name)
            unused = entries.unused(connection, before) if before else set()
        for one in unused:
            self._store.bucket.drop(one)
        if after is None or after.entry.pending is None:
            raise ConflictError(f"The draft of '{name}' was thrown away meanwhile. Send it again.")
        return Draft(entry=after.entry, version=after.entry.pending, missing=missing)

    def discard_all(self, person: str, actor: str) -> int:
        """Throw away every draft of somebody; return how many they were."""
        now, unused = self._store.clock(), set()
        with self._store.deciding() as connection:
            drafts = [one for one in entries.of_owner(connection, person, lock=True) if one.entry.pending]
            for kept in drafts:
                number = kept.entry.pending.number if kept.entry.pending else None
                files = entries.files_of(connection, kept, pending_only=True)
                entries.drop_draft(connection, kept)
                entries.note(connection, kept.id, at=now, actor=actor, act_=Act.DISCARD, version_=number)
                unused |= entries.unused(connection, files)
            # What two of them had may have been needed when the first one went.
            unused = entries.unused(connection, unused) if unused else unused
        for digest in unused:
            self._store.bucket.drop(digest)
        return len(drafts)

    def _ensure_free(
        self, connection: Connection, person: str, name: str, kind: Kind, *, lock: bool = False
    ) -> Kept | None:
        """Return the entry that a person may send a version of; None where there is none of this name yet."""
        if len(name) > LONGEST_NAME or not re.fullmatch(ENTRY_NAME, name):
            raise RefusedError(
                f"'{name[:120]}' cannot be an entry's name. Use small letters, digits and single hyphens between "
                f"them, such as depth-of-a-stack, {LONGEST_NAME} letters at most."
            )
        kept = entries.by_name(connection, name, lock=lock)
        if kept is None:
            drafts = [one for one in entries.of_owner(connection, person) if one.entry.pending is not None]
            if len(drafts) >= MOST_DRAFTS:
                raise ConflictError(
                    f"You have {len(drafts)} drafts, and {MOST_DRAFTS} is the most. Publish or discard some."
                )
            return None
        if kept.entry.owner != person:
            raise _taken(name)
        if kept.entry.state is State.WITHDRAWN:
            raise ConflictError(f"The entry '{name}' was withdrawn for good. Choose another name for this one.")
        if kept.entry.kind is not kind:
            raise ConflictError(f"The entry '{name}' is a {kept.entry.kind}. Choose another name for this {kind}.")
        return kept


def _taken(name: str) -> NotYoursError:
    return NotYoursError(f"There is an entry '{name}' already, which somebody else made. Choose another name.")
