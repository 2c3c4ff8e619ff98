"""The catalogue of the community: publishing, finding, reading and using entries."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from hubquota.storage.times import seconds
from sqlalchemy import Engine

from romanhub.community.comparing import CellChange
from romanhub.community.errors import NoSuchEntryError, RefusedError
from romanhub.community.inspector import Inspector
from romanhub.community.limits import USUAL, Limits
from romanhub.community.services.acting import Acting
from romanhub.community.services.base import Store, existing
from romanhub.community.services.drafting import PAGE_TITLE, Drafting
from romanhub.community.services.products import Products
from romanhub.community.services.tools import Tools
from romanhub.community.storage import entries, gallery
from romanhub.community.storage.bucket import Files
from romanhub.models.community import Act, Kind, Role, State
from romanhub.models.entries import Card, Done, Draft, Entry, Found, Order, Proof, Use, Version

#: How many cards a page of the gallery has.
PAGE_SIZE = 24

#: A person's opens of an entry count once within this time; "recently" is within that one.
_ONE_OPEN, _RECENT = timedelta(days=1), timedelta(days=30)


class Catalogue:
    """Everything that pages, the API and the command line ask of the catalogue.

    All of it waits, for the database, the bucket or the process that looks into notebooks, and raises
    UnavailableError where one of them does not answer.
    """

    def __init__(
        self,
        engine: Engine,
        bucket: Files,
        inspector: Inspector,
        clock: Callable[[], datetime],
        limits: Limits = USUAL,
    ) -> None:
        """Use a database that `hubquota.storage.migrate` has set up with `storage.tables.MIGRATIONS`.

        Args:
            engine: the database.
            bucket: keeps files.
            inspector: looks into notebooks.
            clock: gives the present time, with its zone.
            limits: how much people may keep.
        """
        self._store = Store(engine, bucket, inspector, clock, limits)
        self._counts = gallery.Counts()
        self._drafting, self._acting = Drafting(self._store), Acting(self._store)
        #: Drafts of data products and of tools.
        self.products, self.tools = Products(self._store, self._drafting), Tools(self._store, self._drafting)

    @property
    def store(self) -> Store:
        """What it stands on, for services beside it."""
        return self._store

    # Publishing --------------------------------------------------------------------------------------------

    def draft(
        self,
        person: str,
        name: str,
        content: bytes,
        sidecar: Mapping[str, Any],
        details: Mapping[str, Any] | None = None,
    ) -> Draft:
        """Keep a notebook as a version that is not public yet, instead of the one before.

        Parameters
        ----------
        person
            Who sends it. Whoever sends the first version of an entry owns it.
        name
            What the entry is to be called in addresses, such as `depth-of-a-stack`.
        content
            The notebook's file.
        sidecar
            What the author says of it; what it lacks is told in the answer.
        details
            More to keep with it, such as the file's name (`file`) or the Git commit (`commit`).

        Raises
        ------
        RefusedError
            Where it cannot be taken; WrongSidecarError says it by field.
        NotYoursError
            Where the name is somebody else's.
        ConflictError
            Where the entry is withdrawn or of another kind, or they have too many drafts.
        """
        return self._drafting.notebook(person, name, content, sidecar, details or {})

    def publish(self, person: str, name: str) -> Entry:
        """Show the draft to everybody; raises what `act` raises."""
        return self.act(person, (), name, Act.PUBLISH)

    def act(self, person: str, roles: Collection[Role], name: str, act: Act, reason: str = "") -> Entry:
        """Do one of the acts of the table of moves; return the entry after it.

        Parameters
        ----------
        person
            Who acts.
        roles
            `Role.CURATOR` for a curator. Whoever owns the entry is its author, and of one's own entry nobody is
            the curator: a review is somebody else's.
        name
            The entry.
        act
            What to do.
        reason
            Why, which readers see; some acts need it.

        Raises
        ------
        NoSuchEntryError
            Where there is none for this person.
        NotYoursError
            Where others may do this, and this person may not.
        ConflictError
            Where it cannot be done in the entry's state, or lacks something.
        RefusedError
            Where the act needs a reason, or has one that is too long.
        """
        return self._acting.act(person, frozenset(roles), name, act, reason)

    def purge(self, person: str, *, actor: str) -> int:
        """Throw away the drafts of an account that is purged; return how many they were.

        What they made public stays, with its authors and its owner's name; curators still can act on it.
        """
        return self._drafting.discard_all(person, actor)

    # Reading -----------------------------------------------------------------------------------------------

    def entry(self, name: str, *, viewer: str | None = None) -> Entry:
        """Return an entry; its draft is told to its owner alone. Raises NoSuchEntryError.

        A withdrawn one is returned, too: its newest version's sidecar and its reason are what stays of it.
        """
        with self._store.reading() as connection:
            return existing(connection, name, viewer).entry

    def entries_of(self, person: str) -> tuple[Entry, ...]:
        """Return somebody's own entries, drafts too, by name."""
        with self._store.reading() as connection:
            return tuple(kept.entry for kept in entries.of_owner(connection, person))

    def versions(self, name: str, *, viewer: str | None = None) -> tuple[Version, ...]:
        """Return the public versions of an entry, newest first; raises NoSuchEntryError."""
        with self._store.reading() as connection:
            return tuple(entries.public_versions(connection, existing(connection, name, viewer)))

    def version(self, name: str, number: int, *, viewer: str | None = None) -> Version:
        """Return one version; a draft is for its owner alone. Raises NoSuchEntryError."""
        with self._store.reading() as connection:
            kept = existing(connection, name, viewer)
            found = entries.one_version(connection, kept, number)
        if found is None or (found.published_at is None and kept.entry.owner != viewer):
            raise NoSuchEntryError(f"The entry '{name}' has no version {number}.")
        return found

    def content(self, version: Version) -> bytes:
        """Return a version's file; raises NoSuchEntryError, also where its entry is withdrawn."""
        self._ensure_shown(version)
        return self._store.bucket.get(version.digest)

    def picture(self, version: Version) -> bytes:
        """Return a version's picture, a PNG file; raises NoSuchEntryError where it has none."""
        self._ensure_shown(version)
        if version.picture is None:
            raise NoSuchEntryError("This version has no picture.")
        return self._store.bucket.get(version.picture)

    def page(self, version: Version) -> str:
        """Return a notebook as a page, which is to be served with `rendering.HEADERS` alone.

        It was made when the version was sent. Another renderer than that one's makes it again, once.

        Raises
        ------
        NoSuchEntryError
            Where it is no notebook, or its entry is withdrawn.
        RefusedError
            Where this renderer does not take it any more.
        """
        self._ensure_shown(version)
        found = self._store.bucket.get_page(version.digest)
        if found is None:
            found = self._store.inspector.inspect(self._store.bucket.get(version.digest), PAGE_TITLE).page
            self._store.bucket.put_page(version.digest, found)
        return found

    def changes(self, older: Version, newer: Version) -> tuple[CellChange, ...]:
        """Return what changed from one version of a notebook to another; raises what `content` raises."""
        return self._store.inspector.compare(self.content(older), self.content(newer))

    def acts(self, name: str, *, viewer: str | None = None) -> tuple[Done, ...]:
        """Return what was done to an entry, oldest first; raises NoSuchEntryError."""
        with self._store.reading() as connection:
            return tuple(entries.done(connection, existing(connection, name, viewer)))

    def _ensure_shown(self, version: Version) -> None:
        with self._store.reading() as connection:
            kept = entries.by_name(connection, version.entry)
        if kept is None or kept.entry.state is State.WITHDRAWN:
            raise NoSuchEntryError(f"The entry '{version.entry}' was withdrawn, and its files with it.")

    # Finding -----------------------------------------------------------------------------------------------

    def search(
        self,
        words: str = "",
        *,
        tags: Collection[str] = (),
        datasets: Collection[str] = (),
        images: Collection[str] = (),
        kinds: Collection[str] = (),
        statuses: Collection[str] = (),
        order: Order | str | None = None,
        page: int = 1,
        page_size: int = PAGE_SIZE,
    ) -> Found:
        """Return a page of the entries that have all of these words, tags and data sets.

        Of images, kinds and statuses an entry is one of those that are named. Statuses are states (public,
        reviewed, deprecated) and what the last run showed (passed, failed, stale, never). Deprecated entries are
        found where they are asked for.

        Raises
        ------
        RefusedError
            Where a kind, a status or an order is none.
        """
        states = tuple(State(one) for one in statuses if one in gallery.FINDABLE)
        proofs = tuple(Proof(one) for one in statuses if one in list(Proof))
        for one in statuses:
            if one not in gallery.FINDABLE and one not in list(Proof):
                known = ", ".join([*gallery.FINDABLE, *Proof])
                raise RefusedError(f"'{one}' is no status of an entry. The statuses are {known}.")
        for kind in kinds:
            if kind not in list(Kind):
                raise RefusedError(f"'{kind}' is no kind of entry. The kinds are {', '.join(Kind)}.")
        if order is not None and order not in list(Order):
            raise RefusedError(f"'{order}' is no order. The orders are {', '.join(Order)}.")
        chosen = Order(order) if order else Order.RELEVANCE if words.strip() else Order.NEWEST
        wanted = gallery.Wanted(
            words, tuple(tags), tuple(datasets), tuple(images), tuple(Kind(one) for one in kinds), states, proofs
        )
        with self._store.reading() as connection:
            facets, total = self._counts.facets(connection, wanted)
            pages = max(1, -(-total // page_size))
            # A page behind the last one is the last one: entries may have gone since the link was made.
            page = min(max(page, 1), pages)
            return Found(
                cards=tuple(
                    gallery.search(connection, wanted, chosen, offset=(page - 1) * page_size, limit=page_size)
                ),
                facets=facets,
                total=total,
                page=page,
                pages=pages,
            )

    def who_builds_on(self, name: str) -> tuple[Card, ...]:
        """Return the public entries that build on an entry: opened from it and changed, or reading its data."""
        with self._store.reading() as connection:
            existing(connection, name, None)
            return tuple(gallery.cards(connection, gallery.builds_on(connection, name)))

    # Using -------------------------------------------------------------------------------------------------

    def star(self, person: str, name: str) -> Entry:
        """Give an entry somebody's star; raises NoSuchEntryError, also where it is withdrawn."""
        return self._set_star(person, name, given=True)

    def unstar(self, person: str, name: str) -> Entry:
        """Take somebody's star back; raises NoSuchEntryError."""
        return self._set_star(person, name, given=False)

    def _set_star(self, person: str, name: str, *, given: bool) -> Entry:
        with self._store.deciding() as connection:
            kept = existing(connection, name, None, lock=True)
            if given and kept.entry.state is State.WITHDRAWN:
                raise NoSuchEntryError(f"The entry '{name}' was withdrawn.")
            entries.set_star(connection, kept, person, given=given, at=self._store.clock())
            return existing(connection, name, person).entry

    def has_star(self, person: str, name: str) -> bool:
        """Whether somebody gave an entry a star; raises NoSuchEntryError."""
        with self._store.reading() as connection:
            return entries.has_star(connection, existing(connection, name, person), person)

    def opened(self, person: str, name: str, number: int) -> bool:
        """Count that somebody opened a copy of a version; return whether it counted.

        A person counts once a day, and an author's own opens do not. Raises NoSuchEntryError.
        """
        now = self._store.clock()
        with self._store.deciding() as connection:
            kept = existing(connection, name, None, lock=True)
            found = entries.one_version(connection, kept, number)
            if found is None or found.published_at is None or kept.entry.state is State.WITHDRAWN:
                raise NoSuchEntryError(f"The entry '{name}' has no version {number} to open.")
            if kept.entry.owner == person:
                return False
            since = seconds(now - _ONE_OPEN)
            return entries.note_open(connection, kept, number, person, at=now, since=since)

    def use_of(self, person: str) -> tuple[Use, ...]:
        """Return how the entries that somebody published are used, by name."""
        since = seconds(self._store.clock() - _RECENT)
        found = []
        with self._store.reading() as connection:
            for kept in entries.of_owner(connection, person):
                one = kept.entry
                if one.newest is None:
                    continue
                people, recent = entries.opens_of(connection, kept, since=since)
                found.append(
                    Use(
                        name=one.name, title=one.newest.sidecar["title"], kind=one.kind, state=one.state,
                        proof=one.proof, stars=one.stars, opens=one.opens, people=people, recent=recent,
                        built_on_by=len(gallery.builds_on(connection, one.name)),
                    )
                )  # fmt: skip
        return tuple(found)
