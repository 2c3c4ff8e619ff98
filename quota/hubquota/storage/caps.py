"""Caps on the members of projects and what they have spent, in a transaction that somebody else opened."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, bindparam, case, func, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from hubquota.models.caps import Cap
from hubquota.storage.prepared import Prepared, among
from hubquota.storage.tables import account, cap, hold, lease, spending
from hubquota.storage.times import moment

_now: ColumnElement[int] = bindparam("now", type_=lease.c.admitted_at.type)
_caps = select(cap, account.c.name.label("project")).join_from(cap, account)
_last = (
    _caps.where(cap.c.account_id == bindparam("account_id"), cap.c.member == bindparam("person"))
    .order_by(cap.c.id.desc())
    .limit(1)
)
_spent = select(func.sum(spending.c.charged)).where(
    spending.c.person == bindparam("person"), spending.c.allocation_id.in_(bindparam("ids", expanding=True))
)
_held = (
    select(func.coalesce(func.sum(hold.c.amount), 0))
    .where(hold.c.lease_id == lease.c.id, hold.c.expires_at > _now)
    .scalar_subquery()
)
_accrued = lease.c.rate * case((lease.c.settled_at < _now, _now - lease.c.settled_at), else_=0)
_open = lease.c.ended_at.is_(None)
_running = (
    select(lease.c.person, lease.c.rate, lease.c.started_at, _accrued.label("accrued"), _held.label("held"))
    .where(lease.c.account_id == bindparam("account_id"), _open)
    .subquery()
)
_of_person = select(
    func.sum(case((_running.c.accrued > _running.c.held, _running.c.accrued), else_=_running.c.held)),
    func.sum(_running.c.accrued),
    func.sum(case((_running.c.started_at.is_not(None), _running.c.rate), else_=0)),
).where(_running.c.person == bindparam("person"))
_of_members = Prepared(
    _caps.where(among(cap.c.account_id, "ids"), among(cap.c.member, "people")).order_by(cap.c.id)
)
_spent_by = Prepared(
    select(spending.c.allocation_id, spending.c.person, spending.c.charged).where(
        among(spending.c.allocation_id, "ids"), among(spending.c.person, "people")
    )
)


def add(
    connection: Connection,
    account_id: int,
    *,
    member: str,
    credits_: int | None,
    workers: int | None,
    actor: str,
    reason: str,
    now: int,
) -> None:
    """Add a cap, which takes the place of the member's last one."""
    connection.execute(
        insert(cap).values(
            account_id=account_id,
            member=member,
            credits=credits_,
            workers=workers,
            actor=actor,
            reason=reason,
            at=now,
        )
    )


def find(connection: Connection, account_id: int, member: str) -> Cap | None:
    """Return the cap of a member that counts, if they have one."""
    row = connection.execute(_last, {"account_id": account_id, "person": member}).one_or_none()
    found = None if row is None else _view(row)
    return None if found is None or (found.credits is None and found.workers is None) else found


def of_members(
    connection: Connection, account_ids: Collection[int], people: Collection[str]
) -> dict[tuple[int, str], Cap]:
    """Return the caps of some people on some projects that count, by the project's number and their name."""
    # Of a member's caps the last one counts, and they come in that order.
    rows = _of_members.all(connection, ids=list(account_ids), people=list(people))
    found = {(row.account_id, row.member): _view(row) for row in rows}
    return {key: one for key, one in found.items() if one.credits is not None or one.workers is not None}


def spent_by(
    connection: Connection, allocation_ids: Collection[int], people: Collection[str]
) -> dict[tuple[int, str], int]:
    """Return what some people were charged on some allocations, in units, by allocation and name."""
    rows = _spent_by.all(connection, ids=list(allocation_ids), people=list(people))
    return {(row.allocation_id, row.person): int(row.charged) for row in rows}


def history(connection: Connection, account_id: int) -> list[Cap]:
    """Return every cap that a project's members ever had, oldest first; one without limits lifts the last."""
    return [
        _view(row) for row in connection.execute(_caps.where(cap.c.account_id == account_id).order_by(cap.c.id))
    ]


def spent(connection: Connection, person: str, allocation_ids: Sequence[int]) -> int:
    """Return what somebody was charged on some allocations, in units."""
    if not allocation_ids:
        return 0
    found = connection.execute(_spent, {"person": person, "ids": list(allocation_ids)}).scalar_one()
    return int(found or 0)


def spenders(connection: Connection, allocation_ids: Sequence[int]) -> dict[str, int]:
    """Return what each person was charged on some allocations, in units."""
    statement = (
        select(spending.c.person, func.sum(spending.c.charged))
        .where(spending.c.allocation_id.in_(allocation_ids))
        .group_by(spending.c.person)
    )
    return {person: int(charged) for person, charged in connection.execute(statement)}


def running(connection: Connection, account_id: int, person: str, now: int) -> tuple[int, int, int]:
    """Return of what somebody runs on an account: what it takes (run up, or held where that is more), what
    it has run up, and what it costs in units a second.
    """
    row = connection.execute(_of_person, {"account_id": account_id, "person": person, "now": now}).one()
    taken, accrued, rate = (int(value or 0) for value in row)
    return taken, accrued, rate


def add_spent(connection: Connection, allocation_id: int, person: str, amount: int) -> None:
    """Note that somebody was charged an amount on an allocation."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(spending).values(allocation_id=allocation_id, person=person, charged=amount)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[spending.c.allocation_id, spending.c.person],
            set_={"charged": spending.c.charged + amount},
        )
    )


def _view(row: Row[*tuple[Any, ...]]) -> Cap:
    return Cap(
        project=row.project,
        member=row.member,
        credits=row.credits,
        workers=row.workers,
        at=moment(row.at),
        actor=row.actor,
        reason=row.reason,
    )
