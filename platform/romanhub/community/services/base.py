"""What the catalogue's services share: the database, the bucket, the clock, and how they fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from hubquota.storage.engine import decision, reading
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from romanhub.community.errors import NoSuchEntryError, UnavailableError
from romanhub.community.inspector import Inspector
from romanhub.community.limits import USUAL, Limits
from romanhub.community.storage import entries
from romanhub.community.storage.bucket import Files
from romanhub.community.storage.entries import Kept
from romanhub.models.community import State


@dataclass(frozen=True)
class Store:
    """Where the catalogue is, and what looks into notebooks. Everything that uses it waits."""

    engine: Engine
    bucket: Files
    inspector: Inspector
    clock: Callable[[], datetime]
    limits: Limits = USUAL

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a transaction that sees one moment; raises UnavailableError."""
        with _telling(), reading(self.engine) as connection:
            yield connection

    @contextmanager
    def deciding(self) -> Iterator[Connection]:
        """Open a transaction that reads, decides and writes; raises UnavailableError."""
        with _telling(), decision(self.engine) as connection:
            yield connection


@contextmanager
def _telling() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise UnavailableError(
            "The community's catalogue does not answer just now. Try again in a minute."
        ) from error


def existing(connection: Connection, name: str, viewer: str | None, *, lock: bool = False) -> Kept:
    """Return an entry that somebody may see; a draft is for its owner alone. Raises NoSuchEntryError.

    Args:
        connection: in a transaction.
        name: what it is called.
        viewer: who asks; None for anybody.
        lock: let nobody else change it before the transaction ends.
    """
    found = entries.by_name(connection, name, lock=lock)
    if found is None or (found.entry.state is State.DRAFT and found.entry.owner != viewer):
        raise NoSuchEntryError(f"There is no entry '{name}' in the community's catalogue.")
    if found.entry.owner == viewer:
        return found
    return Kept(found.id, found.entry.model_copy(update={"pending": None}))
