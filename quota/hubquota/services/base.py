"""What the ledger's parts share: a database and a clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Self

from sqlalchemy import Connection, Engine

from hubquota.models.ledger import UnknownAccountError
from hubquota.models.letters import Letter
from hubquota.models.tiers import Tiers
from hubquota.services.book import Book
from hubquota.storage import accounts, allocations, notices
from hubquota.storage.accounts import Owner
from hubquota.storage.allocations import OpenPool
from hubquota.storage.burden import Open
from hubquota.storage.engine import decision, reading
from hubquota.storage.times import seconds

#: How many milliseconds a transaction for many who wait waits for an account that somebody else has locked.
PATIENCE = 100


def utc_now() -> datetime:
    """Return the time now, in UTC."""
    return datetime.now(UTC)


class Service:
    """A part of the ledger. Threads may share it; every process has its own."""

    def __init__(
        self,
        engine: Engine,
        clock: Callable[[], datetime] = utc_now,
        tiers: Callable[[], Tiers] | None = None,
    ) -> None:
        """Use a database that `hubquota.storage.migrate` has set up.

        Args:
            engine: from `hubquota.storage.make_engine`.
            clock: returns the time now, with its time zone.
            tiers: returns the tiers as they are now. Whoever decides or charges gives it: then what renews
                itself is renewed in time, also where no sweep has come by.
        """
        self._engine = engine
        self._clock = clock
        self._tiers = tiers

    @classmethod
    def sharing(cls, other: Service) -> Self:
        """Return this part on the database, the clock and the tiers of another."""
        return cls(other._engine, other._clock, other._tiers)

    def _now(self) -> int:
        return seconds(self._clock())

    @contextmanager
    def _reading_of(self, *names: str) -> Iterator[Connection]:
        """Open a transaction that reads some accounts, as they are where no sweep is late."""
        if self._tiers is not None:
            with reading(self._engine) as connection:
                late = allocations.late(connection, names, self._now())
            for name in late:
                with decision(self._engine) as connection:
                    self._book(connection, name)
        with reading(self._engine) as connection:
            yield connection

    def _book(self, connection: Connection, name: str) -> Book:
        """Lock an account, and open its book."""
        owner = accounts.lock(connection, name)
        if owner is None:
            raise unknown(name)
        # Only now: whoever waited for the lock decides by the time at which it got it.
        return self._current(self._open_book(connection, owner, self._now()))

    def _book_of(self, connection: Connection, account_id: int) -> Book:
        owner = accounts.lock_id(connection, account_id)
        return self._current(self._open_book(connection, owner, self._now()))

    def _current(self, book: Book) -> Book:
        """Have what renews itself renewed before anything is looked up beside the book."""
        if self._tiers is not None:
            book.pools()
        return book

    def _open_book(
        self,
        connection: Connection,
        owner: Owner,
        now: int,
        pools: list[OpenPool] | None = None,
        running: Open | None = None,
    ) -> Book:
        """Open the book of a locked account; arguments as for `Book`."""
        return Book(connection, owner, now, pools, running, tiers=self._tiers)


class ByTiers(Service):
    """A part of the ledger that goes by the tiers file, and is not there without it."""

    _tiers: Callable[[], Tiers]

    def __init__(
        self, engine: Engine, tiers: Callable[[], Tiers], clock: Callable[[], datetime] = utc_now
    ) -> None:
        """Use a ledger's database, and a function that returns the tiers as they are now."""
        super().__init__(engine, clock, tiers)


def tell(book: Book, letter: Letter, *others: str, besides: str | None = None) -> None:
    """Post a notice for whoever is told about an account, and for others, with what the transaction does.

    Not for `besides`, whose own doing it is.
    """
    people = accounts.readers(book.connection, [book.owner])[book.owner.id]
    told = ((person, letter) for person in dict.fromkeys([*people, *others]) if person != besides)
    notices.post(book.connection, told, at=book.now)


def known(connection: Connection, name: str) -> Owner:
    """Return the account of that name.

    Raises:
        UnknownAccountError: there is none.
    """
    owner = accounts.find(connection, name)
    if owner is None:
        raise unknown(name)
    return owner


def unknown(name: str) -> UnknownAccountError:
    """Return the error that says that there is no account of that name."""
    return UnknownAccountError(f"There is no account '{name}'.")
