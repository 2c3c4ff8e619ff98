"""Overrides, on a connection whose transaction somebody else opened."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, cast

from sqlalchemy import Connection, and_, bindparam, insert, select, true

from hubquota.models.overrides import Overridden, Override
from hubquota.storage.prepared import Prepared, among
from hubquota.storage.tables import account, override
from hubquota.storage.times import moment

_withdrawal = override.alias("withdrawal")
_given = (
    select(
        override,
        account.c.name.label("account"),
        _withdrawal.c.at.label("withdrawn_at"),
        _withdrawal.c.actor.label("withdrawn_by"),
        _withdrawal.c.reason.label("withdrawn_reason"),
    )
    .join_from(override, account, override.c.account_id == account.c.id)
    .outerjoin(_withdrawal, _withdrawal.c.withdraws_id == override.c.id)
    .where(override.c.withdraws_id.is_(None))
)
_current = Prepared(
    _given.where(among(override.c.account_id, "ids"), override.c.until_at > bindparam("now")).order_by(
        override.c.id
    )
)


def current(connection: Connection, account_ids: Collection[int], now: int) -> dict[int, list[Override]]:
    """Return for each account that has any the overrides whose dates are not over."""
    found: dict[int, list[Override]] = {}
    for row in _current.all(connection, ids=list(account_ids), now=now):
        found.setdefault(row.account_id, []).append(_view(row))
    return found


def of(connection: Connection, *, owner: str | None, after: int | None) -> list[Override]:
    """Return overrides in the order in which they were given: all, an account's, those that end later."""
    statement = _given.where(
        and_(
            account.c.name == owner if owner is not None else true(),
            override.c.until_at > after if after is not None else true(),
            _withdrawal.c.id.is_(None) if after is not None else true(),
        )
    )
    return [_view(row) for row in connection.execute(statement.order_by(override.c.id))]


def find(connection: Connection, override_id: int) -> Override | None:
    """Return the override of that number."""
    row = connection.execute(_given.where(override.c.id == override_id)).one_or_none()
    return None if row is None else _view(row)


def by_key(connection: Connection, key: str) -> tuple[int, int | None] | None:
    """Return the line with that idempotency key: its number, and that of the one it withdraws."""
    row = connection.execute(
        select(override.c.id, override.c.withdraws_id).where(override.c.idempotency_key == key)
    ).one_or_none()
    return None if row is None else (row.id, row.withdraws_id)


def add(
    connection: Connection,
    account_id: int,
    *,
    actor: str,
    reason: str,
    key: str,
    now: int,
    person: str | None = None,
    limits: Overridden | None = None,
    until: int | None = None,
    withdraws: int | None = None,
) -> int:
    """Add a line that gives an override, or that withdraws one; return its number."""
    statement = insert(override).values(
        account_id=account_id,
        person=person,
        limits=None if limits is None else limits.model_dump_json(exclude_defaults=True),
        until_at=until,
        withdraws_id=withdraws,
        at=now,
        actor=actor,
        reason=reason,
        idempotency_key=key,
    )
    (number,) = cast("tuple[int]", connection.execute(statement).inserted_primary_key)
    return number


def _view(row: Any) -> Override:
    return Override(
        id=row.id,
        account=row.account,
        person=row.person,
        limits=Overridden.model_validate_json(row.limits),
        given_at=moment(row.at),
        given_by=row.actor,
        reason=row.reason,
        until=moment(row.until_at),
        withdrawn_at=moment(row.withdrawn_at),
        withdrawn_by=row.withdrawn_by,
        withdrawn_reason=row.withdrawn_reason,
    )
