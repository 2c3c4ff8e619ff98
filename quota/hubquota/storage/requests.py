"""Requests for allocations, on a connection whose transaction somebody else opened."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import Connection, Row, insert, select, true, update

from hubquota.models.requests import Decision, Request
from hubquota.storage.tables import account, request
from hubquota.storage.times import moment

_requests = select(request, account.c.name.label("account")).join_from(request, account)


def add(
    connection: Connection,
    account_id: int,
    *,
    tier: str,
    amount: int,
    renews: int | None,
    justification: str,
    results: str,
    used: int,
    asked_by: str,
    now: int,
) -> int:
    """Add an open request; return its number."""
    statement = insert(request).values(
        account_id=account_id,
        tier=tier,
        amount=amount,
        renews_id=renews,
        justification=justification,
        results=results,
        used=used,
        asked_by=asked_by,
        asked_at=now,
    )
    (number,) = cast("tuple[int]", connection.execute(statement).inserted_primary_key)
    return number


def owner_of(connection: Connection, request_id: int) -> int | None:
    """Return the number of the account that a request is for; it never changes."""
    found: int | None = connection.execute(
        select(request.c.account_id).where(request.c.id == request_id)
    ).scalar_one_or_none()
    return found


def find(connection: Connection, request_id: int) -> Request | None:
    """Return the request of that number."""
    row = connection.execute(_requests.where(request.c.id == request_id)).one_or_none()
    return None if row is None else _view(row)


def find_open(connection: Connection, account_id: int, tier: str) -> Request | None:
    """Return the open request of an account for a tier."""
    statement = _requests.where(
        request.c.account_id == account_id, request.c.tier == tier, request.c.decided_at.is_(None)
    )
    row = connection.execute(statement).one_or_none()
    return None if row is None else _view(row)


def decide(
    connection: Connection,
    request_id: int,
    *,
    decision: Decision,
    by: str,
    reason: str,
    now: int,
    allocation: int | None = None,
) -> None:
    """Note what was decided."""
    connection.execute(
        update(request)
        .where(request.c.id == request_id)
        .values(decision=decision, decided_by=by, decided_at=now, decision_reason=reason, allocation_id=allocation)
    )


def page(
    connection: Connection, *, account_id: int | None, open_only: bool, after: int, limit: int
) -> list[Request]:
    """Return requests in the order in which they were asked."""
    statement = _requests.where(
        request.c.id > after,
        request.c.account_id == account_id if account_id is not None else true(),
        request.c.decided_at.is_(None) if open_only else true(),
    )
    return [_view(row) for row in connection.execute(statement.order_by(request.c.id).limit(limit))]


def _view(row: Row[*tuple[Any, ...]]) -> Request:
    return Request(
        id=row.id,
        account=row.account,
        tier=row.tier,
        amount=row.amount,
        renews=row.renews_id,
        justification=row.justification,
        results=row.results,
        used=row.used,
        asked_by=row.asked_by,
        asked_at=moment(row.asked_at),
        decision=row.decision,
        decided_by=row.decided_by,
        decided_at=moment(row.decided_at),
        decision_reason=row.decision_reason,
        allocation=row.allocation_id,
    )
