"""Locking leases and the accounts that pay for them; what nobody told of again ends on the way."""

from __future__ import annotations

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

    def _lock_with_holder(self, connection: Connection, account: str, key: str) -> tuple[Book, Lease | None]:
        """Lock the account that pays, and find the open lease that has the key."""
        found = leases.find_open(connection, key, self._now())
        if found is not None and found[0].account != account:
            # It may have to be ended, on its own account. Locked in the order of their numbers, so that no
            # two transactions wait for each other.
            payer = accounts.find(connection, account)
            for number in sorted({found[1], *([payer.id] if payer else [])}):
                accounts.lock_id(connection, number)
        book = self._book(connection, account)
        if connection.dialect.name == "postgresql":
            # Whoever had the lock may have changed it; on SQLite nobody could.
            found = leases.find_open(connection, key, self._now())
        return book, None if found is None else found[0]

    def _settle_leftover(self, book: Book, leftover: Lease, who: str) -> Lease | None:
        """End what a crash left open. Return it if it is not this person's to end."""
        if leftover.person != who:
            return leftover
        locked = leases.find(book.connection, leftover.id, book.now, lock=True)
        if locked is None or not locked.is_open:
            return None
        number = leases.owner_of(book.connection, leftover.id)
        assert number is not None
        of_lease = book if number == book.owner.id else self._book_of(book.connection, number)
        if is_abandoned(locked, book.now):
            abandon(of_lease, locked)
            return None
        alive = locked.last_alive or locked.admitted_at
        of_lease.end(
            locked,
            at=of_lease.between(alive, alive),
            reason="Nothing ran any more when the next start was asked for; closed when last seen.",
            kind="lost",
            actor="hubquota",
        )
        return None


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
