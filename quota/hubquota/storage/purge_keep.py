"""Who may be purged: accounts past every grace, and what speaks for keeping what they have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, case, func, insert, or_, select, true, update

from hubquota.models.ledger import AccountKind
from hubquota.models.purge import PurgeHold
from hubquota.storage.tables import account, allocation, lease, membership, purge_hold, request
from hubquota.storage.times import DAY, moment

#: The end of a grace that no tier of the settings sets: later than any day there is.
_NEVER = 1 << 52


@dataclass(frozen=True, slots=True)
class Past:
    """An account whose every allocation is past its grace."""

    id: int
    name: str
    kind: AccountKind
    #: The end of its last term, and the number of its newest allocation.
    ended_at: int
    newest: int


def past_grace(
    connection: Connection, graces: Mapping[str, int], now: int, *, name: str | None = None
) -> list[Past]:
    """Return the accounts that had allocations and whose every one is past its tier's days of grace.

    Args:
        connection: the transaction.
        graces: days of grace by tier. An allocation of a tier that is not among them is never past it.
        now: the time.
        name: only the account of that name.
    """
    past = (
        select(
            account.c.id,
            account.c.name,
            account.c.kind,
            func.max(allocation.c.end_at).label("ended_at"),
            func.max(allocation.c.id).label("newest"),
        )
        .join_from(account, allocation)
        .where(account.c.name == name if name is not None else true())
        .group_by(account.c.id, account.c.name, account.c.kind)
        .having(func.max(case((_kept_by(graces, now), 1), else_=0)) == 0)
        .order_by(account.c.name)
    )
    return [Past(*row) for row in connection.execute(past)]


def reason_to_keep(connection: Connection, account_id: int, name: str, graces: Mapping[str, int], now: int) -> str:
    """Return why nothing of an account may be taken, for its owner; empty where nothing speaks for it."""
    if held := hold_reason(connection, account_id):
        return held
    own = select(allocation.c.id).where(allocation.c.account_id == account_id, _kept_by(graces, now))
    if (number := connection.execute(own.limit(1)).scalar_one_or_none()) is not None:
        return f"{name} has allocation {number}, which is not past its grace"
    runs = select(lease.c.label).where(
        or_(lease.c.account_id == account_id, lease.c.person == name), lease.c.ended_at.is_(None)
    )
    if (label := connection.execute(runs.limit(1)).scalar_one_or_none()) is not None:
        return f"{name} has something running: {label}"
    asked = select(request.c.id).where(request.c.account_id == account_id, request.c.decided_at.is_(None))
    if (number := connection.execute(asked.limit(1)).scalar_one_or_none()) is not None:
        return f"{name} has asked for an allocation with request {number}, which nobody has decided"
    # What a member of a living project keeps at home may be the project's.
    living = (
        select(account.c.name)
        .join_from(account, membership)
        .join(allocation, allocation.c.account_id == account.c.id)
        .where(membership.c.member == name, membership.c.until_at.is_(None), _kept_by(graces, now))
    )
    if (project := connection.execute(living.limit(1)).scalar_one_or_none()) is not None:
        return f"{name} is a member of the project {project}, which has an allocation"
    return ""


def newest_allocation(connection: Connection, account_id: int) -> int | None:
    """Return the number of an account's newest allocation."""
    found: int | None = connection.execute(
        select(func.max(allocation.c.id)).where(allocation.c.account_id == account_id)
    ).scalar_one()
    return found


def hold_reason(connection: Connection, account_id: int) -> str:
    """Return why an account is on hold, with who put it there; empty where it is not."""
    held = select(account.c.name, purge_hold.c.placed_by, purge_hold.c.reason).join_from(account, purge_hold)
    current = held.where(purge_hold.c.account_id == account_id, purge_hold.c.lifted_at.is_(None))
    found = connection.execute(current).one_or_none()
    return "" if found is None else f"{found.name} was put on hold by {found.placed_by}: {found.reason}"


# Holds -----------------------------------------------------------------------------------------------


def add_hold(connection: Connection, account_id: int, *, by: str, reason: str, now: int) -> bool:
    """Put an account on hold. Return False if it is on hold already."""
    if hold_reason(connection, account_id):
        return False
    connection.execute(
        insert(purge_hold).values(account_id=account_id, placed_at=now, placed_by=by, reason=reason)
    )
    return True


def lift_hold(connection: Connection, account_id: int, *, by: str, reason: str, now: int) -> bool:
    """Lift the hold on an account. Return False if there is none."""
    current = update(purge_hold).where(purge_hold.c.account_id == account_id, purge_hold.c.lifted_at.is_(None))
    return connection.execute(current.values(lifted_at=now, lifted_by=by, lifted_reason=reason)).rowcount == 1


def holds(connection: Connection, *, lifted: bool) -> list[PurgeHold]:
    """Return the accounts on hold, and with `lifted` those that were, oldest first."""
    statement = (
        select(purge_hold, account.c.name)
        .join_from(purge_hold, account)
        .where(true() if lifted else purge_hold.c.lifted_at.is_(None))
        .order_by(purge_hold.c.id)
    )
    return [
        PurgeHold(
            account=row.name,
            placed_at=moment(row.placed_at),
            placed_by=row.placed_by,
            reason=row.reason,
            lifted_at=moment(row.lifted_at),
            lifted_by=row.lifted_by,
            lifted_reason=row.lifted_reason,
        )
        for row in connection.execute(statement)
    ]


def _kept_by(graces: Mapping[str, int], now: int) -> Any:
    """Return the condition that an allocation is not past its grace."""
    whens: Sequence[Any] = [(allocation.c.tier == tier, days * DAY) for tier, days in graces.items()]
    grace = case(*whens, else_=_NEVER) if whens else _NEVER
    return or_(allocation.c.lapsed_at.is_(None), allocation.c.end_at.is_(None), allocation.c.end_at + grace > now)
