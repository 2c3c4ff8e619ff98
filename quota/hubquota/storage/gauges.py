"""Numbers over the whole ledger, on a connection whose transaction somebody else opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, and_, case, func, literal, or_, select

from hubquota.models.states import State
from hubquota.storage.accounts import pays
from hubquota.storage.tables import (
    account,
    allocation,
    delivery,
    entry,
    hold,
    lease,
    purge_item,
    purge_plan,
    request,
)
from hubquota.storage.tables import data_read as data_read_table
from hubquota.storage.times import DAY

#: How many lines of the journal are added up at a time.
_LINES = 200_000


@dataclass(slots=True)
class Charged:
    """What has been charged up to a line of the journal, in units by tier."""

    line: int = 0
    by_tier: dict[str, int] = field(default_factory=dict)


def open_leases(connection: Connection) -> dict[tuple[str, str], int]:
    """Return how many leases are open, by kind and by whether they are "running" or "starting"."""
    state = case((lease.c.started_at.is_(None), "starting"), else_="running").label("state")
    statement = (
        select(lease.c.kind, state, func.count()).where(lease.c.ended_at.is_(None)).group_by(lease.c.kind, state)
    )
    return {(kind, found): int(number) for kind, found, number in connection.execute(statement)}


def credits_by_tier(connection: Connection, now: int) -> dict[str, tuple[int, int]]:
    """Return by tier what the allocations that can pay now have, and what is held of that, in units."""
    held = _held(now)
    statement = (
        select(allocation.c.tier, func.sum(allocation.c.balance), func.sum(func.coalesce(held.c.held, 0)))
        .outerjoin_from(allocation, held, held.c.allocation_id == allocation.c.id)
        .where(pays(now))
        .group_by(allocation.c.tier)
    )
    return {tier: (int(posted), int(taken)) for tier, posted, taken in connection.execute(statement)}


def add_charges(connection: Connection, so_far: Charged, before: int) -> bool:
    """Add the next charges to what is added up already. Return whether there are more.

    Args:
        connection: the connection.
        so_far: what is added up; is changed.
        before: only lines before the first that was written at or after this time. With a time a little
            past, whoever wrote such a line has long committed it.
    """
    first = select(func.min(entry.c.id)).where(entry.c.id > so_far.line, entry.c.at >= before)
    newest = select(func.max(entry.c.id))
    fresh: int | None = connection.execute(first).scalar_one()
    last: int | None = connection.execute(newest).scalar_one() if fresh is None else fresh - 1
    if last is None or last <= so_far.line:
        return False
    upto = min(last, so_far.line + _LINES)
    statement = (
        select(allocation.c.tier, func.sum(entry.c.amount))
        .join_from(entry, allocation, entry.c.allocation_id == allocation.c.id)
        .where(entry.c.id > so_far.line, entry.c.id <= upto, entry.c.kind == "charge")
        .group_by(allocation.c.tier)
    )
    for tier, amount in connection.execute(statement):
        so_far.by_tier[tier] = so_far.by_tier.get(tier, 0) - int(amount)
    so_far.line = upto
    return upto < last


def allocations_by_state(connection: Connection, now: int, expiring_days: Mapping[str, int]) -> dict[str, int]:
    """Return how many allocations are in each state: the order of `hubquota.models.states.state_of`.

    Args:
        connection: the connection.
        now: the time.
        expiring_days: how many days before its end an allocation of a tier counts as expiring.
    """
    held = _held(now)
    near = [
        and_(allocation.c.tier == tier, allocation.c.end_at <= now + days * DAY)
        for tier, days in expiring_days.items()
    ]
    whens: list[tuple[Any, Any]] = [
        (allocation.c.purged_at.is_not(None), State.PURGED.value),
        (allocation.c.archived_at.is_not(None), State.ARCHIVED.value),
        (allocation.c.lapsed_at.is_not(None), State.GRACE.value),
        (allocation.c.revoked_at.is_not(None), State.REVOKED.value),
        (allocation.c.end_at <= now, State.EXPIRED.value),
        (allocation.c.suspended_at.is_not(None), State.SUSPENDED.value),
        (
            and_(allocation.c.start_at > now, allocation.c.start_at > allocation.c.granted_at),
            State.APPROVED.value,
        ),
        (allocation.c.balance <= func.coalesce(held.c.held, 0), State.EXHAUSTED.value),
    ]
    if near:
        whens.append((or_(*near), State.EXPIRING.value))
    state = case(*whens, else_=State.ACTIVE.value).label("state")
    rows = select(state).outerjoin_from(allocation, held, held.c.allocation_id == allocation.c.id).subquery()
    statement = select(rows.c.state, func.count()).group_by(rows.c.state)
    return {found: int(number) for found, number in connection.execute(statement)}


def accounts_by_kind(connection: Connection) -> dict[str, int]:
    """Return how many accounts there are of each kind."""
    statement = select(account.c.kind, func.count()).group_by(account.c.kind)
    return {kind: int(number) for kind, number in connection.execute(statement)}


def waiting_requests(connection: Connection) -> tuple[int, int | None]:
    """Return how many requests nobody has decided about, and when the oldest of them was made."""
    statement = select(func.count(), func.min(request.c.asked_at)).where(request.c.decided_at.is_(None))
    number, oldest = connection.execute(statement).one()
    return int(number), oldest


def undelivered(connection: Connection) -> dict[tuple[str, str], int]:
    """Return how many deliveries have not been sent, by channel and by what has become of them.

    Returns:
        Numbers by the channel's name and "waiting" (not tried, or being tried for the first time), "failing" (to
        be tried again) or "given up".
    """
    is_open = (delivery.c.sent_at.is_(None), delivery.c.given_up_at.is_(None))
    state = case((delivery.c.last_error.is_(None), "waiting"), else_="failing").label("state")
    waiting = select(delivery.c.channel, state, func.count()).where(*is_open).group_by(delivery.c.channel, state)
    given_up = (
        select(delivery.c.channel, literal("given up"), func.count())
        .where(delivery.c.given_up_at.is_not(None))
        .group_by(delivery.c.channel)
    )
    return {
        (channel, found): int(number)
        for statement in (waiting, given_up)
        for channel, found, number in connection.execute(statement)
    }


def purge_things(connection: Connection) -> dict[str, int]:
    """Return how many things approved plans are at work on, or can give back, by their stage."""
    statement = select(purge_item.c.stage, func.count()).where(purge_item.c.active).group_by(purge_item.c.stage)
    return {stage: int(number) for stage, number in connection.execute(statement)}


def waiting_plans(connection: Connection) -> int:
    """Return how many purge plans nobody has decided about."""
    waiting = (purge_plan.c.approved_at.is_(None), purge_plan.c.closed_at.is_(None))
    return int(connection.execute(select(func.count()).select_from(purge_plan).where(*waiting)).scalar_one())


def _held(now: int) -> Any:
    """Return what is held of each allocation, where anything is."""
    return (
        select(hold.c.allocation_id, func.sum(hold.c.amount).label("held"))
        .where(hold.c.expires_at > now)
        .group_by(hold.c.allocation_id)
        .subquery()
    )


def data_read(connection: Connection, now: int) -> dict[tuple[str, str], float]:
    """Return the bytes that were read since the day began, by data set and region."""
    by = (data_read_table.c.dataset, data_read_table.c.region)
    query = select(*by, func.sum(data_read_table.c.bytes)).where(data_read_table.c.day == now - now % DAY)
    return {(row[0], row[1]): float(row[2]) for row in connection.execute(query.group_by(*by))}
