"""What runs costs its account now, on a connection whose transaction somebody else opened."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, case, func, or_, select

from hubquota.storage.holds import HELD, NOW
from hubquota.storage.prepared import Prepared, among
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
_waiting_since: ColumnElement[int] = bindparam("waiting_since", type_=lease.c.admitted_at.type)
_counts = case((or_(lease.c.started_at.is_not(None), lease.c.admitted_at > _waiting_since), 1), else_=0)
_each = (
    _running(NOW)
    .add_columns(lease.c.person, lease.c.kind, _counts.label("counts"))
    .where(among(lease.c.account_id, "ids"))
    .subquery()
)
_taken = case((_each.c.accrued > _each.c.held, _each.c.accrued), else_=_each.c.held)
_by_person = Prepared(
    select(
        _each.c.account_id,
        _each.c.person,
        _each.c.kind,
        func.sum(_each.c.accrued).label("accrued"),
        _unheld(_each).label("unheld"),
        func.sum(_taken).label("taken"),
        func.sum(_each.c.counts).label("number"),
    ).group_by(_each.c.account_id, _each.c.person, _each.c.kind)
)


@dataclass(slots=True)
class Running:
    """What somebody has open of one kind on an account. Amounts are in units."""

    #: What has been run up since the last charge.
    accrued: int = 0
    #: How much of that no hold covers.
    unheld: int = 0
    #: What has been run up, or is held where that is more, of each.
    taken: int = 0
    #: How many run, or may still begin.
    number: int = 0


#: What is open on an account, by who runs it and of which kind it is.
Open = Mapping[tuple[str, str], Running]
#: What is open where nothing is.
NOTHING: Open = MappingProxyType({})


def running(connection: Connection, account_ids: Collection[int], now: int, waiting_since: int) -> dict[int, Open]:
    """Return for each account that has something open what that is.

    Args:
        connection: the transaction's.
        account_ids: the accounts.
        now: the time.
        waiting_since: what was admitted after this time and has not begun may still begin.
    """
    found: dict[int, dict[tuple[str, str], Running]] = {}
    rows = _by_person.tuples(connection, ids=list(account_ids), now=now, waiting_since=waiting_since)
    for account_id, person, kind, accrued, unheld, taken, number in rows:
        amounts = Running(int(accrued or 0), int(unheld or 0), int(taken or 0), int(number))
        found.setdefault(account_id, {})[person, kind] = amounts
    return {**found}


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
