"""Reading the journal for pages, audits and exports, on a connection whose transaction somebody else opened."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, case, func, or_, select, text, true, tuple_

from hubquota.models.burndown import Point
from hubquota.models.ledger import Entry
from hubquota.models.reading import AuditQuery, Place
from hubquota.storage import journal
from hubquota.storage.tables import entry, lease
from hubquota.storage.times import moment, seconds

#: Written out, so that the indexes of what is no charge, and of what adds, are recognised.
_IS_ACT: ColumnElement[bool] = text("entry.kind <> 'charge'")  # type: ignore[assignment]
_ADDS: ColumnElement[bool] = text("entry.amount > 0")  # type: ignore[assignment]

_lines = journal.lines()


def by_session(connection: Connection, account_id: int, *, limit: int, before: int | None) -> list[Entry]:
    """Return an account's journal, newest first, of each lease's charges only the last."""
    later = entry.alias("later")
    statement = (
        _lines.where(
            entry.c.account_id == account_id,
            entry.c.id < before if before is not None else true(),
            or_(
                entry.c.lease_id.is_(None),
                ~select(later.c.id).where(later.c.lease_id == entry.c.lease_id, later.c.id > entry.c.id).exists(),
            ),
        )
        .order_by(entry.c.id.desc())
        .limit(limit)
    )
    return [journal.view(row) for row in connection.execute(statement)]


def session_sums(connection: Connection, lease_ids: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Return for each lease what its charges took, as an amount below zero, and how many there are."""
    statement = (
        select(entry.c.lease_id, func.sum(entry.c.amount), func.count())
        .where(entry.c.lease_id.in_(lease_ids))
        .group_by(entry.c.lease_id)
    )
    return {number: (int(amount), int(count)) for number, amount, count in connection.execute(statement)}


def charged_before(connection: Connection, account_id: int, line: Entry) -> int:
    """Return what sessions that have charges after a line were charged up to it, as an amount of at most zero."""
    at = seconds(line.at)
    around = select(lease.c.id).where(
        lease.c.account_id == account_id,
        lease.c.started_at <= at,
        or_(lease.c.ended_at.is_(None), lease.c.ended_at >= at),
    )
    sums = (
        select(func.sum(case((entry.c.id <= line.id, entry.c.amount), else_=0)).label("before"))
        .where(entry.c.lease_id.in_(around))
        .group_by(entry.c.lease_id)
        .having(func.max(entry.c.id) > line.id)
        .subquery()
    )
    return int(connection.execute(select(func.sum(sums.c.before))).scalar_one() or 0)


def of_lease(connection: Connection, lease_id: int, *, limit: int, before: int | None) -> list[Entry]:
    """Return the charges of one lease, newest first."""
    statement = _lines.where(entry.c.lease_id == lease_id, entry.c.id < before if before is not None else true())
    return [journal.view(row) for row in connection.execute(statement.order_by(entry.c.id.desc()).limit(limit))]


def last_added(connection: Connection, account_id: int) -> Entry | None:
    """Return the last line that added credits to an account: one look at an index."""
    statement = _lines.where(entry.c.account_id == account_id, _ADDS).order_by(entry.c.id.desc()).limit(1)
    row = connection.execute(statement).one_or_none()
    return None if row is None else journal.view(row)


def audit(connection: Connection, query: AuditQuery, *, limit: int, before: Place | None) -> list[Entry]:
    """Return lines of the journal of all accounts, newest first."""
    statement = _lines
    if query.kind != "charge":
        statement = statement.where(_IS_ACT)
    if query.kind != "acts":
        statement = statement.where(entry.c.kind == query.kind)
    if query.actor is not None:
        statement = statement.where(entry.c.actor == query.actor)
    if query.since is not None:
        statement = statement.where(entry.c.at >= seconds(query.since))
    if query.until is not None:
        statement = statement.where(entry.c.at < seconds(query.until))
    if before is not None:
        here = tuple_(entry.c.at, entry.c.id)
        # Within a second, the journal's lines come before what is kept beside it.
        statement = statement.where(here < (before.at, before.id if before.rank == 0 else 0))
    statement = statement.order_by(entry.c.at.desc(), entry.c.id.desc()).limit(limit)
    return [journal.view(row) for row in connection.execute(statement)]


def balances(connection: Connection, account_id: int, *, since: int, until: int, points: int) -> list[Point]:
    """Return the posted balance at the end of each of so many stretches of a time in which something happened."""
    width = max(1, (until - since) // points)
    newest = (
        select(func.max(entry.c.id))
        .where(entry.c.account_id == account_id, entry.c.at >= since, entry.c.at <= until)
        .group_by((entry.c.at - since).op("/")(width))  # of whole numbers: a whole number in both
    )
    statement = select(entry.c.at, entry.c.balance_after).where(entry.c.id.in_(newest)).order_by(entry.c.id)
    found = [Point(moment(row.at), row.balance_after) for row in connection.execute(statement)]
    before = (
        select(entry.c.balance_after)
        .where(entry.c.account_id == account_id, entry.c.at < since)
        .order_by(entry.c.id.desc())
        .limit(1)
    )
    opening = connection.execute(before).scalar_one_or_none()
    return found if opening is None else [Point(moment(since), opening), *found]


def by_person(connection: Connection, account_id: int) -> dict[str, tuple[int, int]]:
    """Return for everybody who ran something on an account: units charged, and how many things they ran."""
    statement = (
        select(lease.c.person, func.sum(lease.c.charged), func.count())
        .where(lease.c.account_id == account_id)
        .group_by(lease.c.person)
    )
    return {person: (int(charged), int(count)) for person, charged, count in connection.execute(statement)}
