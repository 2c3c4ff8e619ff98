"""Acts on entries, by the table of moves, each written down."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection

from romanhub.community.errors import ConflictError, NotYoursError, RefusedError
from romanhub.community.services.base import Store, existing
from romanhub.community.services.drafting import SOURCE
from romanhub.community.services.products import lacking
from romanhub.community.services.sidecars import read_sidecar
from romanhub.community.storage import entries
from romanhub.community.storage.entries import Kept
from romanhub.community.storage.gallery import searchable
from romanhub.models.community import MOVES, Act, Move, Provenance, Role, Sidecar, State, moves_for
from romanhub.models.entries import Entry, Version

#: A reason has no more letters.
LONGEST_REASON = 2000


class Acting:
    """Does acts on entries, for one catalogue."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def act(self, person: str, roles: frozenset[Role], name: str, act: Act, reason: str) -> Entry:
        """Do an act; raises what `Catalogue.act` raises."""
        reason = _reason(act, reason)
        now = self._store.clock()
        unused: set[str] = set()
        with self._store.deciding() as connection:
            kept = existing(connection, name, person, lock=True)
            move = _allowed(kept.entry, person, roles, act)
            about = kept.entry.pending if act in (Act.PUBLISH, Act.DISCARD) else kept.entry.newest
            number = None if about is None else about.number
            if act is Act.PUBLISH:
                self._publish(connection, kept)
            elif act is Act.DISCARD:
                files = entries.files_of(connection, kept, pending_only=True)
                entries.drop_draft(connection, kept)
                unused = entries.unused(connection, files)
            else:
                entries.set_state(connection, kept, move.to or kept.entry.state, reason or None, now)
            if act is Act.WITHDRAW:
                if kept.entry.pending is not None:
                    entries.drop_draft(connection, kept)
                entries.forget(connection, kept.id)
                unused = entries.unused(connection, entries.files_of(connection, kept, pending_only=False))
            entries.note(
                connection, kept.id, at=now, actor=person, act_=act, version_=number, reason=reason or None
            )
            after = entries.by_name(connection, name)
        # Only now: what the database says is so, whatever becomes of the files.
        for digest in unused:
            self._store.bucket.drop(digest)
        return after.entry if after is not None else kept.entry.model_copy(update={"pending": None})

    def _publish(self, connection: Connection, kept: Kept) -> None:
        draft = kept.entry.pending
        if draft is None:
            raise ConflictError(f"The entry '{kept.entry.name}' has no draft to publish.")
        said, missing = read_sidecar(draft.sidecar, kept.entry.kind)
        missing |= lacking(draft.details.get("unitless", []))
        if missing:
            lacks = "; ".join(f"{name} ({text.rstrip('.')})" for name, text in missing.items())
            raise ConflictError(f"Before it can be public it lacks: {lacks}. Fill them in.")
        try:
            about = Sidecar.model_validate(said)
        except ValidationError as error:
            raise ConflictError("What is said of it is not complete. Send it again.") from error
        if not self._store.bucket.has(draft.digest):
            raise ConflictError(
                f"The file of the draft of '{kept.entry.name}' is not kept any more. Send it again."
            )
        entries.publish(
            connection, kept, sidecar=said, facets=_facets(connection, kept.entry, draft, about),
            text={
                "title": searchable(about.title),
                "names": searchable(" ".join([kept.entry.name, *about.tags, *about.datasets, *_people(about)])),
                "abstract": searchable(about.abstract),
            },
            at=self._store.clock(),
        )  # fmt: skip


def roles_of(entry: Entry, person: str, roles: frozenset[Role]) -> frozenset[Role]:
    """Return who somebody is to an entry: its author, or with that role a curator; of one's own entry never."""
    return frozenset({Role.AUTHOR}) if entry.owner == person else roles & {Role.CURATOR}


def moves_of(entry: Entry, person: str, roles: frozenset[Role]) -> tuple[Move, ...]:
    """Return what somebody may do with an entry now, for a page to offer."""
    return moves_for(entry.state, roles_of(entry, person, roles), pending=entry.pending is not None)


def _allowed(entry: Entry, person: str, roles: frozenset[Role], act: Act) -> Move:
    for move in moves_of(entry, person, roles):
        if move.act is act:
            return move
    move = next(one for one in MOVES if one.act is act)
    if not roles_of(entry, person, roles) & move.by:
        who = " or ".join("its author" if role is Role.AUTHOR else "a curator" for role in sorted(move.by))
        own = " Nobody reviews an entry of their own." if entry.owner == person else ""
        raise NotYoursError(f"Only {who} may {act} the entry '{entry.name}'.{own}")
    if entry.state not in move.of:
        states = ", ".join(state for state in State if state in move.of)
        raise ConflictError(f"The entry '{entry.name}' is {entry.state}; {act} is for one that is {states}.")
    raise ConflictError(f"The entry '{entry.name}' has no draft to {act}.")


def _reason(act: Act, reason: str) -> str:
    reason = reason.strip()
    if len(reason) > LONGEST_REASON:
        raise RefusedError(f"The reason has {len(reason)} letters, and {LONGEST_REASON} is the most.")
    if not reason and any(move.act is act and move.reasoned for move in MOVES):
        raise RefusedError(f"Say why: readers of the entry see the reason for this ({act}).")
    return reason


def _people(about: Sidecar) -> Iterator[str]:
    for author in about.authors:
        yield author.name


def _facets(connection: Connection, entry: Entry, draft: Version, about: Sidecar) -> Iterator[tuple[str, str]]:
    yield from (("tag", tag) for tag in about.tags)
    yield from (("dataset", name) for name in about.datasets)
    if about.image:
        yield "image", about.image
    made = entries.by_name(connection, about.notebook.partition("@")[0]) if about.notebook else None
    if made is not None and made.entry.newest is not None:
        # What made a product is used by it.
        yield "source", made.entry.name
    source: Any = draft.details.get(SOURCE)
    if source and (origin := Provenance.model_validate(source)).entry != entry.name:
        # What a notebook's file says of itself is believed where such a version was published.
        kept = entries.by_name(connection, origin.entry)
        found = None if kept is None else entries.one_version(connection, kept, origin.version)
        if found is not None and found.published_at is not None and found.digest == origin.digest:
            yield "source", origin.entry
