"""Ends of terms and what follows them, on a connection whose transaction somebody else opened."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    bindparam,
    exists,
    false,
    func,
    insert,
    or_,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from hubquota.storage.allocations import end_among
from hubquota.storage.tables import additional, allocation, ending, lease, reminder, renewal
from hubquota.storage.times import DAY

_other = allocation.alias("other")
_covered = exists().where(
    _other.c.account_id == allocation.c.account_id,
    _other.c.id != allocation.c.id,
    or_(
        _other.c.end_at.is_(None),
        _other.c.end_at > allocation.c.end_at,
        # Of two that end together, one stands for the end of both.
        and_(_other.c.end_at == allocation.c.end_at, _other.c.id > allocation.c.id),
    ),
)
_additional = exists().where(additional.c.allocation_id == allocation.c.id)
#: What was made to follow an allocation.
FOLLOWER = allocation.alias("follower")
#: What follows an allocation, while it lasts longer: it may have been revoked since, or the first one extended.
FOLLOWS: ColumnElement[bool] = and_(
    FOLLOWER.c.id == renewal.c.following_id,
    FOLLOWER.c.revoked_at.is_(None),
    or_(FOLLOWER.c.end_at.is_(None), FOLLOWER.c.end_at > allocation.c.end_at),
)
_terms: Select[Any] = (
    select(
        allocation.c.id,
        allocation.c.account_id,
        allocation.c.tier,
        allocation.c.renewable,
        allocation.c.suspended_at,
        allocation.c.revoked_at,
        allocation.c.start_at,
        allocation.c.end_at,
        reminder.c.made_at.label("reminded_at"),
        FOLLOWER.c.id.label("following_id"),
        renewal.c.following_id.label("renewed_by"),
        ending.c.lapsed,
        ending.c.grace_until,
        _covered.label("covered"),
        _additional.label("additional"),
    )
    .select_from(allocation)
    .outerjoin(
        reminder, and_(reminder.c.allocation_id == allocation.c.id, reminder.c.end_at == allocation.c.end_at)
    )
    .outerjoin(renewal, renewal.c.allocation_id == allocation.c.id)
    .outerjoin(FOLLOWER, FOLLOWS)
)


@dataclass(frozen=True, slots=True)
class Ended:
    """An allocation whose books have been closed, and what of it has lapsed, in units."""

    id: int
    end_at: int
    lapsed: int


@dataclass(slots=True)
class Term:
    """An allocation near its end or past it, with what decides about what follows."""

    id: int
    account_id: int
    tier: str
    renewable: bool
    suspended: bool
    revoked: bool
    start_at: int
    end_at: int
    #: Whether this end was announced.
    reminded: bool
    #: The allocation that follows it.
    following: int | None
    #: Whether another was made to follow it, whatever has become of that.
    renewed: bool
    #: Whether the account has another allocation that ends later, or never.
    covered: bool
    #: Whether it was granted beside another one of its tier.
    additional: bool
    #: Units that have lapsed; 0 before its books are closed.
    lapsed: int
    #: Until when what was kept under it stays.
    grace_until: int | None


def add_ended(connection: Connection, ended: Sequence[Ended]) -> None:
    """Note allocations whose owners are to be told of the end."""
    if ended:
        connection.execute(
            insert(ending),
            [{"allocation_id": one.id, "end_at": one.end_at, "lapsed": one.lapsed} for one in ended],
        )


def near(
    connection: Connection,
    *,
    tier: str,
    now: int,
    window: int,
    active_within_days: int | None,
    after: tuple[int, int] = (0, 0),
    limit: int | None = None,
    account_ids: Collection[int] | None = None,
) -> list[Term]:
    """Return open allocations of a tier whose end is near, and is to be announced, or that are to be renewed.

    Args:
        connection: the transaction's.
        tier: the tier.
        now: the time.
        window: how many seconds before its end the end of an allocation is near.
        active_within_days: those renew themselves whose account was charged within so many days before the
            end; None if none does.
        after: only those that end later, or then and have a higher number.
        limit: how many at most; None for all.
        account_ids: only those of these accounts; None for every account.

    Returns:
        The allocations in the order of their ends and numbers.
    """
    # One whose term is no longer than that is not announced: it was near its end from the start.
    announced = and_(reminder.c.made_at.is_(None), allocation.c.start_at < allocation.c.end_at - window)
    renewed: Any = false()
    if active_within_days is not None:
        renewed = and_(
            allocation.c.renewable.is_(True),
            allocation.c.suspended_at.is_(None),
            # Nobody's revocation is undone by a renewal that nobody asked for.
            renewal.c.following_id.is_(None),
            ~_additional,
            or_(*(exists().where(one) for one in _used(active_within_days))),
        )
    end = end_among(account_ids)
    statement = (
        _terms.outerjoin(ending, ending.c.allocation_id == allocation.c.id)
        .where(
            allocation.c.lapsed_at.is_(None),
            allocation.c.revoked_at.is_(None),
            allocation.c.tier == tier,
            end <= now + window,
            tuple_(end, allocation.c.id) > after,
            FOLLOWER.c.id.is_(None),
            or_(announced, renewed),
            _of(account_ids),
        )
        .order_by(end, allocation.c.id)
        .limit(limit)
    )
    return [_term(row) for row in connection.execute(statement)]


def untold(
    connection: Connection, *, limit: int | None = None, account_ids: Collection[int] | None = None
) -> list[Term]:
    """Return allocations whose books are closed and whose owners have not been told; arguments as for `near`."""
    return _ended(connection, ending.c.told_at.is_(None), limit, account_ids)


def grace_due(
    connection: Connection, *, now: int, limit: int | None = None, account_ids: Collection[int] | None = None
) -> list[Term]:
    """Return allocations whose grace is over and whose owners have not been told; arguments as for `near`."""
    due = and_(ending.c.grace_until.is_not(None), ending.c.grace_until <= now, ending.c.over_at.is_(None))
    return _ended(connection, due, limit, account_ids)


def first_active(connection: Connection, numbers: Collection[int], within_days: int) -> dict[int, int]:
    """Return when each account was first charged within some days before the end of an allocation, where it was.

    What ran on from before counts from when it began.

    Returns:
        The time in seconds since 1970, by the allocation's number.
    """
    ended, running = (select(func.min(lease.c.started_at)).where(one) for one in _used(within_days))
    statement = select(
        allocation.c.id,
        ended.correlate(allocation).scalar_subquery().label("ended"),
        running.correlate(allocation).scalar_subquery().label("running"),
    ).where(allocation.c.id.in_(numbers))
    found: dict[int, int] = {}
    for row in connection.execute(statement):
        began = [int(at) for at in (row.ended, row.running) if at is not None]
        if began:
            found[row.id] = min(began)
    return found


def add_reminders(connection: Connection, terms: Sequence[Term], *, at: int) -> None:
    """Note that the ends of allocations were announced."""
    if terms:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        connection.execute(
            dialect.insert(reminder).on_conflict_do_nothing(),
            [{"allocation_id": term.id, "end_at": term.end_at, "made_at": at} for term in terms],
        )


def follower(connection: Connection, allocation_id: int) -> int | None:
    """Return the number of the allocation that follows another, if there is one that lasts longer."""
    found: int | None = connection.execute(
        select(FOLLOWER.c.id)
        .select_from(renewal)
        .join(allocation, allocation.c.id == renewal.c.allocation_id)
        .join(FOLLOWER, FOLLOWS)
        .where(renewal.c.allocation_id == allocation_id)
    ).scalar_one_or_none()
    return found


def waiting_follower(connection: Connection, allocation_id: int, now: int) -> int | None:
    """Return the number of what was made to follow an allocation, where that has not begun and was not revoked."""
    found: int | None = connection.execute(
        select(allocation.c.id)
        .join_from(renewal, allocation, allocation.c.id == renewal.c.following_id)
        .where(
            renewal.c.allocation_id == allocation_id,
            allocation.c.revoked_at.is_(None),
            allocation.c.start_at > now,
        )
    ).scalar_one_or_none()
    return found


def renewal_key(connection: Connection, allocation_id: int) -> str:
    """Return the journal's key of the renewal of an allocation: one, and another when that has come to nothing."""
    last = connection.execute(
        select(renewal.c.following_id).where(renewal.c.allocation_id == allocation_id)
    ).scalar_one_or_none()
    return f"renewal:{allocation_id}" if last is None else f"renewal:{allocation_id}:{last}"


def add_renewals(connection: Connection, pairs: Sequence[tuple[int, int]], *, at: int, actor: str) -> None:
    """Note which allocation follows which, in the place of what may have followed it and does so no more."""
    if pairs:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        statement = dialect.insert(renewal)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=[renewal.c.allocation_id],
                set_={name: statement.excluded[name] for name in ("following_id", "made_at", "actor")},
            ),
            [
                {"allocation_id": number, "following_id": following, "made_at": at, "actor": actor}
                for number, following in pairs
            ],
        )


def set_told(connection: Connection, grace: Sequence[tuple[int, int | None]], *, at: int) -> None:
    """Note that owners were told of the ends of allocations, and until when what was kept stays."""
    if grace:
        connection.execute(
            update(ending)
            .where(ending.c.allocation_id == bindparam("number"))
            .values(told_at=at, grace_until=bindparam("until")),
            [{"number": number, "until": until} for number, until in grace],
        )


def set_over(connection: Connection, numbers: Sequence[int], *, at: int) -> None:
    """Note that the grace of allocations is over."""
    connection.execute(update(ending).where(ending.c.allocation_id.in_(numbers)).values(over_at=at))


def _ended(
    connection: Connection, condition: Any, limit: int | None, account_ids: Collection[int] | None
) -> list[Term]:
    statement = (
        _terms.join(ending, ending.c.allocation_id == allocation.c.id)
        .where(condition, _of(account_ids))
        .order_by(ending.c.allocation_id)
        .limit(limit)
    )
    return [_term(row) for row in connection.execute(statement)]


def _used(within_days: int) -> tuple[Any, Any]:
    """Return the conditions that an ended or a running lease was charged to its account near the end of a term."""
    since = allocation.c.end_at - within_days * DAY
    of_account = and_(lease.c.account_id == allocation.c.account_id, lease.c.started_at < allocation.c.end_at)
    ended = and_(of_account, lease.c.ended_at > since, lease.c.charged > 0)
    running = and_(
        of_account,
        lease.c.ended_at.is_(None),
        lease.c.rate > 0,
        or_(lease.c.started_at > since, lease.c.seen_at > since),
    )
    return ended, running


def _of(account_ids: Collection[int] | None) -> Any:
    return true() if account_ids is None else allocation.c.account_id.in_(account_ids)


def _term(row: Row[*tuple[Any, ...]]) -> Term:
    return Term(
        id=row.id,
        account_id=row.account_id,
        tier=row.tier,
        renewable=row.renewable,
        suspended=row.suspended_at is not None,
        revoked=row.revoked_at is not None,
        start_at=row.start_at,
        end_at=row.end_at,
        reminded=row.reminded_at is not None,
        following=row.following_id,
        renewed=row.renewed_by is not None,
        covered=bool(row.covered),
        additional=bool(row.additional),
        lapsed=row.lapsed or 0,
        grace_until=row.grace_until,
    )
