"""What is looked up and checked before something is done to an allocation, within the transaction of that act."""

from __future__ import annotations

from sqlalchemy import Connection

from hubquota.models.burn import available
from hubquota.models.ledger import (
    Allocation,
    ConflictingKeyError,
    Entry,
    ImpossibleError,
    UnknownAllocationError,
)
from hubquota.models.money import format_credits
from hubquota.services.book import Book
from hubquota.storage import allocations, journal
from hubquota.storage.times import moment


def same_act(connection: Connection, key: str, account: str, units: int) -> Entry | None:
    """Return what the key stands for already, if it is the same; None for nothing.

    Raises:
        ConflictingKeyError: it stands for something else.
    """
    found = journal.find(connection, key)
    if found is not None and (found.account != account or found.amount != units):
        raise conflict(key, found)
    return found


def conflict(key: str, found: Entry) -> ConflictingKeyError:
    """Return the error that says what a key stands for already."""
    what = f"{format_credits(found.amount)} credits to {found.account}" if found.amount else found.account
    return ConflictingKeyError(f"The key '{key}' stands for {what} already. Choose another key.")


def owner_of(connection: Connection, allocation_id: int) -> int:
    """Return the number of the account that an allocation belongs to.

    Raises:
        UnknownAllocationError: there is no such allocation.
    """
    owner = allocations.owner_of(connection, allocation_id)
    if owner is None:
        raise UnknownAllocationError(f"There is no allocation {allocation_id}.")
    return owner


def known_allocation(connection: Connection, allocation_id: int, now: int) -> Allocation:
    """Return the allocation of that number.

    Raises:
        UnknownAllocationError: there is none.
    """
    found = allocations.find(connection, allocation_id, now)
    if found is None:
        raise UnknownAllocationError(f"There is no allocation {allocation_id}.")
    return found


def check_in_term(allocation: Allocation, now: int) -> None:
    """Turn down an act on an allocation whose term is over.

    Raises:
        ImpossibleError: it is.
    """
    # By its dates alone, whether or not a sweep has closed its books yet.
    if allocation.lapsed_at is not None or (allocation.end is not None and allocation.end <= moment(now)):
        raise ImpossibleError(
            f"The term of allocation {allocation.id} of {allocation.account} is over. Grant a new one instead."
        )


def free_of(book: Book, allocation_id: int) -> int:
    """Return what an allocation has that is neither held nor needed for what others owe."""
    pools = book.spendable()
    own = next(pool for pool in pools if pool.id == allocation_id)
    if not own.pays_at(book.now):
        return max(0, own.free)
    return max(0, min(own.free, available(pools, book.now)))
