"""Locking leases and the accounts that pay for them; what nobody told of again ends on the way."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection

from hubquota.models.ledger import Lease, UnknownLeaseError
from hubquota.services.base import Service
from hubquota.services.book import START_LIMIT, Book
from hubquota.storage import accounts, leases
from hubquota.storage.times import seconds

#: Why such a lease ended.
ABANDONED = "Nobody told that it began."


class LockedLeases(Service):
    """What acts on leases begin with, each in the transaction of its caller."""

    def _locked(self, connection: Connection, lease_id: int) -> tuple[Book, Lease]:
        """Lock one lease. As for `_locked_many` otherwise."""
        return self._locked_many(connection, [lease_id])[lease_id]

    def _locked_many(self, connection: Connection, lease_ids: Collection[int]) -> dict[int, tuple[Book, Lease]]:
        """Lock leases and the accounts that pay for them; leases of one account share its book.

        Raises:
            UnknownLeaseError: there is no lease of one of the numbers.
        """
        # Always the accounts first and then their leases, both in the order of their numbers, so that no two
        # transactions wait for each other.
        found = leases.find_many(connection, lease_ids, self._now())
        if lost := set(lease_ids) - found.keys():
            raise UnknownLeaseError(f"There is no lease {min(lost)}.")
        owners = accounts.lock_ids(connection, {number for _, number in found.values()})
        # Only now: whoever waited for the locks decides by the time at which it got them.
        now = self._now()
        if connection.dialect.name == "postgresql":
            # Whoever had the locks may have changed them; on SQLite nobody could.
            found = leases.find_many(connection, lease_ids, now, lock=True)
        books = {number: self._open_book(connection, owner, now) for number, owner in owners.items()}
        locked: dict[int, tuple[Book, Lease]] = {}
        for lease_id, (lease, number) in found.items():
            book = books[number]
            if is_abandoned(lease, now):
                # By its date alone: whether a sweep has come by or not makes no difference to what follows.
                abandon(book, lease)
                lease = known_lease(book, lease_id)
            locked[lease_id] = book, lease
        return locked


def abandon(book: Book, lease: Lease, reason: str = ABANDONED) -> None:
    """End a lease that was admitted and never told of again, at the time when it could begin no more."""
    book.end(lease, at=seconds(lease.admitted_at) + START_LIMIT, reason=reason, kind="failed", actor="hubquota")


def is_abandoned(lease: Lease, now: int) -> bool:
    """Return whether a lease was admitted so long ago that it can begin no more."""
    return lease.is_open and lease.started_at is None and seconds(lease.admitted_at) + START_LIMIT <= now


def known_lease(book: Book, lease_id: int, *, lock: bool = False) -> Lease:
    """Return the lease of that number.

    Raises:
        UnknownLeaseError: there is none.
    """
    lease = leases.find(book.connection, lease_id, book.now, lock=lock)
    if lease is None:
        raise UnknownLeaseError(f"There is no lease {lease_id}.")
    return lease
