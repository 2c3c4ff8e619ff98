"""What runs costs its account now, on a connection whose transaction somebody else opened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, case, func, select

from hubquota.storage.holds import HELD, NOW
from hubquota.storage.prepared import Prepared
from hubquota.storage.tables import lease

_open = lease.c.ended_at.is_(None)


def _accrued(now: ColumnElement[int]) -> ColumnElement[int]:
    seconds = case((lease.c.settled_at < now, now - lease.c.settled_at), else_=0)
    return lease.c.rate * seconds


def _running(now: ColumnElement[int]) -> Any:
    """Return open leases, each with what it accrued and what is held for it."""
    return select(lease.c.account_id, _accrued(now).label("accrued"), HELD.label("held")).where(_open)


def _unheld(rows: Any) -> ColumnElement[int]:
    return func.sum(case((rows.c.accrued > rows.c.held, rows.c.accrued - rows.c.held), else_=0))


_of_account = _running(NOW).where(lease.c.account_id == bindparam("account_id")).subquery()
_burden = Prepared(select(func.sum(_of_account.c.accrued).label("accrued"), _unheld(_of_account).label("unheld")))


def of_account(connection: Connection, account_id: int, now: int) -> tuple[int, int]:
    """Return what an account's open leases have accrued, and how much of that no hold covers."""
    accrued, unheld = _burden.first(connection, account_id=account_id, now=now)
    return int(accrued or 0), int(unheld or 0)


def of_accounts(connection: Connection, account_ids: Sequence[int], now: int) -> dict[int, tuple[int, int, int]]:
    """Return for each account what `of_account` does, and how many open leases it has."""
    rows = _running(NOW).where(lease.c.account_id.in_(account_ids)).subquery()
    statement = select(rows.c.account_id, func.sum(rows.c.accrued), _unheld(rows), func.count()).group_by(
        rows.c.account_id
    )
    return {
        number: (int(accrued), int(unheld), int(count))
        for number, accrued, unheld, count in connection.execute(statement, {"now": now})
    }


def running_rate(connection: Connection, account_id: int) -> int:
    """Return what all that an account runs costs together, in units a second."""
    statement = select(func.sum(lease.c.rate)).where(
        lease.c.account_id == account_id, _open, lease.c.started_at.is_not(None)
    )
    return int(connection.execute(statement).scalar_one() or 0)
