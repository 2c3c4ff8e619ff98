"""Scratch spaces, in a transaction that somebody else opened."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from hubquota.models.scratch import Scratch
from hubquota.storage.tables import account, lease, scratch
from hubquota.storage.times import moment

_all = (
    select(scratch, account.c.name.label("account"), account.c.kind.label("kind"), lease.c.rate)
    .join_from(scratch, account, scratch.c.account_id == account.c.id)
    .join(lease, scratch.c.lease_id == lease.c.id)
)
_there = scratch.c.cleared_at.is_(None)


def add(
    connection: Connection,
    account_id: int,
    *,
    person: str,
    name: str,
    gib: int,
    now: int,
    ends_at: int,
    lease_id: int,
) -> int:
    """Add one; return its number."""
    values = {
        "account_id": account_id,
        "person": person,
        "name": name,
        "gib": gib,
        "made_at": now,
        "ends_at": ends_at,
        "lease_id": lease_id,
    }
    return int(connection.execute(insert(scratch).values(values).returning(scratch.c.id)).scalar_one())


def change(connection: Connection, number: int, **values: Any) -> None:
    """Change some columns of one."""
    connection.execute(update(scratch).where(scratch.c.id == number).values(**values))


def find(connection: Connection, number: int) -> Scratch | None:
    """Return the one of that number."""
    row = connection.execute(_all.where(scratch.c.id == number)).one_or_none()
    return None if row is None else _view(row)


def named(connection: Connection, account_id: int, name: str) -> Scratch | None:
    """Return the one of that name whose content is still there."""
    query = _all.where(scratch.c.account_id == account_id, scratch.c.name == name, _there)
    row = connection.execute(query).one_or_none()
    return None if row is None else _view(row)


def there(connection: Connection) -> list[Scratch]:
    """Return all whose content is still there, by number."""
    return [_view(row) for row in connection.execute(_all.where(_there).order_by(scratch.c.id))]


def of_accounts(connection: Connection, names: list[str]) -> list[Scratch]:
    """Return those of some accounts whose content is still there, by account and name."""
    query = _all.where(account.c.name.in_(names), _there).order_by(account.c.name, scratch.c.name)
    return [_view(row) for row in connection.execute(query)]


def open_gib(connection: Connection, account_id: int) -> int:
    """Return how many GiB an account has open in all."""
    query = select(func.coalesce(func.sum(scratch.c.gib), 0)).where(
        scratch.c.account_id == account_id, scratch.c.ended_at.is_(None)
    )
    return int(connection.execute(query).scalar_one())


def _view(row: Row[Any]) -> Scratch:
    return Scratch(
        id=row.id,
        account=row.account,
        kind=row.kind,
        person=row.person,
        name=row.name,
        gib=row.gib,
        made_at=moment(row.made_at),
        ends_at=moment(row.ends_at),
        lease=row.lease_id,
        rate=row.rate,
        ended_at=moment(row.ended_at),
        reason=row.reason,
        used=row.used,
        measured_at=moment(row.measured_at),
        aside_at=moment(row.aside_at),
        cleared_at=moment(row.cleared_at),
    )
