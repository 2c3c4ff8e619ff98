"""Locking leases and the accounts that pay for them; what nobody told of again ends on the way."""

from __future__ import annotations

from sqlalchemy import Connection

from hubquota.models.ledger import Lease, UnknownLeaseError
from hubquota.services.base import Service
from hubquota.services.book import START_LIMIT, Book
from hubquota.storage import leases
from hubquota.storage.times import seconds

#: Why such a lease ended.
ABANDONED = "Nobody told that it began."


class LockedLeases(Service):
    """What acts on leases begin with, each in the transaction of its caller."""

    def _locked(self, connection: Connection, lease_id: int) -> tuple[Book, Lease]:
        # Always the account first and then its lease, so that no two transactions wait for each other.
        owner = leases.owner_of(connection, lease_id)
        if owner is None:
            raise UnknownLeaseError(f"There is no lease {lease_id}.")
        book = self._book_of(connection, owner)
        lease = known_lease(book, lease_id, lock=True)
        if is_abandoned(lease, book.now):
            # By its date alone: whether a sweep has come by or not makes no difference to what follows.
            abandon(book, lease)
            lease = known_lease(book, lease_id)
        return book, lease


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
