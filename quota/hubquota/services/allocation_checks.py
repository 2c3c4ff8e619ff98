"""What is looked up and checked before something is done to an allocation, within the transaction of that act."""

from __future__ import annotations

from datetime import datetime

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
from hubquota.storage.times import DAY, moment, seconds


def same_act(
    connection: Connection, key: str, account: str, units: int, reason: str, *, allocation_id: int | None = None
) -> Entry | None:
    """Return what the key stands for already, if it is the same; None for nothing.

    Args:
        connection: the transaction's.
        key: the key, with what kind of act it is of.
        account: the account's name.
        units: the amount.
        reason: why.
        allocation_id: the allocation; where not given, any of the account's.

    Raises:
        ConflictingKeyError: it stands for something else.
    """
    found = journal.find(connection, key)
    if found is None:
        return None
    same = (found.account, found.amount, found.reason) == (account, units, reason)
    if not same or (allocation_id is not None and found.allocation_id != allocation_id):
        raise conflict(key, found)
    return found


def conflict(key: str, found: Entry) -> ConflictingKeyError:
    """Return the error that says what a key stands for already."""
    what = f"{format_credits(found.amount)} credits to {found.account}" if found.amount else found.account
    given = key.partition(":")[2]
    return ConflictingKeyError(
        f"The key '{given}' stands for {what} already: a {found.kind} of {found.at:%Y-%m-%d}, allocation "
        f"{found.allocation_id}, “{found.reason}”. Choose another key."
    )


def end_of_term(start: int, end: datetime | None, days: int | None) -> int | None:
    """Return when a term ends: when it is said to, or after so many days; None for never."""
    if end is not None:
        return seconds(end)
    return None if days is None else start + days * DAY


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
