"""What is held for leases, on a connection whose transaction somebody else opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, bindparam, delete, func, insert, or_, select, update

from hubquota.storage.prepared import Prepared
from hubquota.storage.tables import hold, lease

#: The time, which a statement with `HELD` in it is given.
NOW: ColumnElement[int] = bindparam("now", type_=lease.c.admitted_at.type)
#: What is held for a lease.
HELD = (
    select(func.coalesce(func.sum(hold.c.amount), 0))
    .where(hold.c.lease_id == lease.c.id, hold.c.expires_at > NOW)
    .scalar_subquery()
)
_its_holds = hold.c.lease_id == bindparam("owner")

_add_hold = Prepared(insert(hold), columns=("lease_id", "allocation_id", "amount", "covers_until", "expires_at"))
_holds_of = Prepared(
    select(hold.c.id, hold.c.allocation_id, hold.c.amount, hold.c.covers_until, hold.c.expires_at)
    .where(_its_holds)
    .order_by(hold.c.id)
)
_drop_holds = Prepared(delete(hold).where(_its_holds))
_drop_hold = Prepared(delete(hold).where(hold.c.id == bindparam("hold_id")))
_shrink_hold = Prepared(update(hold).where(hold.c.id == bindparam("hold_id")).values(amount=bindparam("left")))
_move_holds = Prepared(
    update(hold).where(_its_holds).values(covers_until=bindparam("covered"), expires_at=bindparam("expiry"))
)


@dataclass(slots=True)
class HoldRow:
    """What one allocation holds for a lease."""

    id: int
    allocation_id: int
    amount: int
    covers_until: int
    expires_at: int


def of_lease(connection: Connection, lease_id: int) -> list[HoldRow]:
    """Return what is held for a lease, in the order in which it is spent."""
    return [
        HoldRow(row.id, row.allocation_id, row.amount, row.covers_until, row.expires_at)
        for row in _holds_of.all(connection, owner=lease_id)
    ]


def add_many(connection: Connection, rows: Sequence[tuple[int, int, int, int, int]]) -> None:
    """Hold amounts of allocations for leases.

    Args:
        connection: the transaction's.
        rows: of each hold the lease, the allocation, the amount, the time that it covers, and its expiry.
    """
    _add_hold.add(connection, rows)


def move(connection: Connection, lease_id: int, *, covered: int, expiry: int) -> None:
    """Say until when what is held for a lease covers it, and until when it is respected."""
    _move_holds.run(connection, owner=lease_id, covered=covered, expiry=expiry)


def move_many(connection: Connection, rows: Sequence[tuple[int, int, int]]) -> None:
    """As `move`, for many: of each the lease, the time that is covered, and the expiry."""
    _move_holds.run_many(connection, [{"owner": one, "covered": at, "expiry": by} for one, at, by in rows])


def shrink(connection: Connection, hold_id: int, amount: int) -> None:
    """Leave an amount of a hold; with zero, nothing."""
    if amount:
        _shrink_hold.run(connection, hold_id=hold_id, left=amount)
    else:
        _drop_hold.run(connection, hold_id=hold_id)


def drop_all(connection: Connection, lease_id: int) -> None:
    """Let go of everything that is held for a lease."""
    _drop_holds.run(connection, owner=lease_id)


def expired(connection: Connection, now: int, limit: int) -> list[int]:
    """Return leases whose holds nobody respects any more, of so many holds at most."""
    statement = select(hold.c.lease_id).where(hold.c.expires_at <= now).order_by(hold.c.expires_at, hold.c.id)
    return list(dict.fromkeys(connection.scalars(statement.limit(limit))))


def count_expired(connection: Connection, now: int) -> int:
    """Return how many leases `expired` would list."""
    statement = select(func.count(hold.c.lease_id.distinct())).where(hold.c.expires_at <= now)
    return int(connection.execute(statement).scalar_one())


def ending(connection: Connection, *, before: int, seen_after: int) -> list[int]:
    """Return leases that were seen running since a time and that nothing covers after another."""
    covered = select(func.max(hold.c.covers_until)).where(hold.c.lease_id == lease.c.id).scalar_subquery()
    statement = select(lease.c.id).where(
        lease.c.ended_at.is_(None),
        lease.c.rate > 0,
        lease.c.started_at.is_not(None),
        func.coalesce(lease.c.seen_at, lease.c.started_at) >= seen_after,
        or_(covered.is_(None), covered < before),
    )
    return list(connection.scalars(statement.order_by(lease.c.id)))


def held_by_running(connection: Connection, account_id: int, now: int) -> dict[int, int]:
    """Return for each allocation what leases that run hold of it."""
    statement = (
        select(hold.c.allocation_id, func.sum(hold.c.amount))
        .join_from(hold, lease, hold.c.lease_id == lease.c.id)
        .where(lease.c.account_id == account_id, lease.c.started_at.is_not(None), hold.c.expires_at > now)
        .group_by(hold.c.allocation_id)
    )
    return {number: int(amount) for number, amount in connection.execute(statement)}
