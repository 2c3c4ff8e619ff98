"""Repositories that people register: reading them, now and again, into drafts of theirs."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta
from hashlib import sha256
from pathlib import PurePosixPath

from sqlalchemy.exc import IntegrityError

from romanhub.client.sidecars import SidecarError, entry_name
from romanhub.community.errors import (
    CommunityError,
    ConflictError,
    NoSuchEntryError,
    RefusedError,
    UnavailableError,
)
from romanhub.community.repositories.addresses import check_branch, check_folder, check_url
from romanhub.community.repositories.reader import FoundNotebook, RepositoryReader
from romanhub.community.services.catalogue import Catalogue
from romanhub.community.storage import repositories
from romanhub.models.community import State
from romanhub.models.repositories import Repository, RepositoryRead

log = logging.getLogger(__name__)

#: How many repositories somebody may have registered.
MOST = 10

#: How long after one look the next one follows, and how soon after one somebody may ask for another.
EVERY, AGAIN = timedelta(hours=1), timedelta(seconds=30)

#: So many problems are told, and no more.
_NAMED = 10


class Repositories:
    """Registers repositories and reads them. All of it waits; reading one may take minutes."""

    def __init__(self, catalogue: Catalogue, reader: RepositoryReader, *, every: timedelta = EVERY) -> None:
        """Read into a catalogue.

        Args:
            catalogue: takes the drafts.
            reader: reads one repository.
            every: how long after one look at a repository the next one follows.
        """
        self._catalogue, self._store, self._reader = catalogue, catalogue.store, reader
        self._clock = catalogue.store.clock
        self._every = every
        self._reading = threading.Lock()

    def register(
        self, person: str, url: str, *, branch: str = "", folder: str = "", prefix: str = "", at_once: bool = False
    ) -> RepositoryRead:
        """Register a repository for somebody, and read it.

        Parameters
        ----------
        person
            Whose drafts its notebooks become.
        url
            Its address, over HTTPS and public.
        branch
            Empty for its own choice.
        folder
            Empty for all of it.
        prefix
            What the names of its entries begin with.
        at_once
            Whether new versions of what is public go public by themselves. Only a form with the portal's ticket
            may say so: code in a notebook could not be told from its owner.

        Raises
        ------
        RefusedError
            Where it cannot be read as it is.
        ConflictError
            Where they have it already, or too many.
        UnavailableError
            Where its host does not answer just now.
        """
        url = check_url(url, self._reader.allowed)
        branch, folder, prefix = check_branch(branch.strip()), check_folder(folder), _prefix(prefix)
        with self._store.deciding() as connection:
            if len(repositories.of_owner(connection, person)) >= MOST:
                raise ConflictError(f"You have {MOST} repositories, and that is the most. Remove one first.")
            try:
                added = repositories.add(
                    connection, url=url, branch=branch, folder=folder, owner=person, prefix=prefix, at_once=at_once
                )
            except IntegrityError as error:
                raise ConflictError(f"You have registered {url} already.") from error
        try:
            return self._read(added)
        except (RefusedError, UnavailableError):
            # What could never be read is not kept: its owner has just been told why.
            self.remove(person, added.id)
            raise

    def of(self, person: str) -> tuple[Repository, ...]:
        """Return somebody's repositories."""
        with self._store.reading() as connection:
            return repositories.of_owner(connection, person)

    def remove(self, person: str, number: int) -> None:
        """Forget one; its entries stay. Raises NoSuchEntryError."""
        with self._store.deciding() as connection:
            if not repositories.remove(connection, number, person):
                raise _unknown()

    def set_at_once(self, person: str, number: int, at_once: bool) -> None:
        """Say whether new versions go public by themselves. Raises NoSuchEntryError."""
        with self._store.deciding() as connection:
            if not repositories.set_at_once(connection, number, person, at_once=at_once):
                raise _unknown()

    def read(self, person: str, number: int) -> RepositoryRead:
        """Read one now, because somebody asks for it.

        Raises
        ------
        NoSuchEntryError
            Where they have none of that number.
        RefusedError
            Where it cannot be read; it is noted as its problem, too.
        ConflictError
            Where it was read a moment ago.
        UnavailableError
            Where its host does not answer just now.
        """
        with self._store.reading() as connection:
            found = repositories.by_number(connection, number, person)
        if found is None:
            raise _unknown()
        if found.read_at is not None and self._clock() - found.read_at < AGAIN:
            raise ConflictError("It was read a moment ago. Wait half a minute.")
        return self._read(found)

    def read_due(self, most: int = 20) -> int:
        """Read those whose time has come; return how many were. What is wrong with one is its own."""
        with self._store.reading() as connection:
            waiting = repositories.due(connection, self._clock() - self._every, most)
        for one in waiting:
            try:
                self._read(one)
            except CommunityError as error:
                log.info("Repository %s of %s: %s", one.url, one.owner, error)
        return len(waiting)

    def _read(self, one: Repository) -> RepositoryRead:
        # One at a time: the schedule and a button would make the same drafts twice.
        with self._reading:
            try:
                found = self._reader.read(one.url, one.branch, one.folder, one.commit)
            except CommunityError as error:
                self._note(one, None, str(error))
                raise
            if found is None:
                return self._note(one, None, one.problem)
            drafts: list[str] = []
            published: list[str] = []
            problems: list[str] = []
            for notebook in found.notebooks:
                try:
                    name = self._draft(one, notebook, found.commit)
                except (CommunityError, SidecarError) as error:
                    problems.append(f"{notebook.path}: {error}")
                    continue
                if name is not None:
                    (published if self._published(one, name) else drafts).append(name)
            if not found.notebooks:
                problems.append(
                    "No notebook has a sidecar. Put a file survey.community.yaml beside survey.ipynb, say."
                )
            left = len(problems) - _NAMED
            more = [f"And {left} more."] if left > 0 else []
            problem = "\n".join([*problems[:_NAMED], *more]) or None
            return self._note(one, found.commit, problem, drafts, published)

    def _draft(self, one: Repository, notebook: FoundNotebook, commit: str) -> str | None:
        """Make a draft of a notebook; return its name, or None where the newest version is the same already."""
        if notebook.problem is not None:
            raise RefusedError(notebook.problem)
        path = PurePosixPath(notebook.path)
        fields = dict(notebook.fields)
        name = entry_name(f"{one.prefix}-{fields.pop('name', None) or path.stem}")
        details = {"file": path.name, "path": notebook.path, "repository": one.url, "commit": commit}
        if self._is_known(one.owner, name, notebook, fields):
            return None
        self._catalogue.draft(one.owner, name, notebook.content, fields, details)
        return name

    def _is_known(self, owner: str, name: str, notebook: FoundNotebook, fields: dict[str, object]) -> bool:
        """Whether the file and what is said of it are those of the version that was made last."""
        try:
            entry = self._catalogue.entry(name, viewer=owner)
        except NoSuchEntryError:
            return False
        last = entry.pending or entry.newest
        if last is None or last.digest != sha256(notebook.content).hexdigest():
            return False
        return all(_same(last.sidecar.get(field), value) for field, value in fields.items())

    def _published(self, one: Repository, name: str) -> bool:
        """Publish a draft where its owner has said so, and has published it once before."""
        entry = self._catalogue.entry(name, viewer=one.owner)
        if not one.at_once or entry.state not in (State.PUBLIC, State.REVIEWED):
            return False
        try:
            self._catalogue.publish(one.owner, name)
        except CommunityError as error:
            log.info("The draft of %s waits for its owner: %s", name, error)
            return False
        return True

    def _note(
        self,
        one: Repository,
        commit: str | None,
        problem: str | None,
        drafts: list[str] | None = None,
        published: list[str] | None = None,
    ) -> RepositoryRead:
        with self._store.deciding() as connection:
            noted = repositories.note_read(connection, one.id, at=self._clock(), commit=commit, problem=problem)
        if noted is None:
            raise _unknown()
        return RepositoryRead(**noted.model_dump(), drafts=tuple(drafts or ()), published=tuple(published or ()))


def _same(kept: object, given: object) -> bool:
    """Whether a field is as it was: words are kept in the order of the alphabet, and nothing that is empty."""
    if isinstance(kept, list) and isinstance(given, list) and len(kept) == len(given):
        if all(isinstance(part, str) for part in [*kept, *given]):
            return sorted(kept) == sorted(part.strip() for part in given)
        return all(_same(*pair) for pair in zip(kept, given, strict=True))
    if isinstance(kept, dict) and isinstance(given, dict):
        return {key: value for key, value in kept.items() if value} == {
            key: value for key, value in given.items() if value
        }
    return kept == (given.strip() if isinstance(given, str) else given)


def _prefix(prefix: str) -> str:
    try:
        return entry_name(prefix) if prefix.strip() else ""
    except SidecarError as error:
        raise RefusedError(str(error)) from None


def _unknown() -> NoSuchEntryError:
    return NoSuchEntryError("You have no repository of that number.")
