"""Reading much at once, a row at a time, on a connection whose transaction somebody else opened.

Everything here is a stream: on PostgreSQL from a cursor on the server, so that memory does not grow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import merge
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, case, func, or_, select, true, union

from hubquota.models.export import AllocationRow, AuditRow, JournalRow, UsageRow, audit_row, state_now
from hubquota.models.reading import AuditQuery, Deed
from hubquota.storage import allocations, deeds, journal
from hubquota.storage.tables import account, allocation, entry, hold, lease, segment
from hubquota.storage.times import moment

#: How many rows are fetched at a time.
_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows are wanted: of a range of time, and where given, of one account, person, kind or tier."""

    #: The first second, and the first one after it; None for the beginning, and for now.
    since: int | None = None
    until: int | None = None
    account: str | None = None
    person: str | None = None
    kind: str | None = None
    tier: str | None = None
    #: Who wrote a line of the journal.
    actor: str | None = None


def stream(connection: Connection, statement: Select[Any], parameters: dict[str, int] | None = None) -> Any:
    """Execute a statement and fetch its rows as they are asked for."""
    return connection.execute(statement, parameters or {}, execution_options={"yield_per": _ROWS})


def count(connection: Connection, statement: Select[Any], parameters: dict[str, int] | None = None) -> int:
    """Return how many rows a statement has."""
    rows = statement.order_by(None).subquery()
    return int(connection.execute(select(func.count()).select_from(rows), parameters or {}).scalar_one())


# Usage -------------------------------------------------------------------------------------------------


def usage_statement(wanted: Filter, now: int) -> Select[Any]:
    """Return the statement that finds the segments of a range."""
    until = now if wanted.until is None else min(wanted.until, now)
    payers = union(
        select(allocation.c.tier)
        .join_from(entry, allocation, entry.c.allocation_id == allocation.c.id)
        .where(entry.c.lease_id == lease.c.id, entry.c.kind == "charge")
        .correlate(lease),
        select(allocation.c.tier)
        .join_from(hold, allocation, hold.c.allocation_id == allocation.c.id)
        .where(hold.c.lease_id == lease.c.id)
        .correlate(lease),
    ).subquery()
    tiers = select(func.aggregate_strings(payers.c.tier, " ")).scalar_subquery()
    return (
        select(
            lease.c.id,
            account.c.name.label("account"),
            account.c.kind.label("account_kind"),
            lease.c.person,
            lease.c.kind,
            lease.c.key,
            lease.c.label,
            lease.c.settled_at,
            segment.c.rate,
            segment.c.from_at,
            segment.c.until_at,
            tiers.label("tiers"),
        )
        .join_from(segment, lease, segment.c.lease_id == lease.c.id)
        .join(account, lease.c.account_id == account.c.id)
        .where(
            segment.c.from_at < until,
            or_(segment.c.until_at.is_(None), segment.c.until_at > (wanted.since or 0)),
            account.c.name == wanted.account if wanted.account is not None else true(),
            lease.c.person == wanted.person if wanted.person is not None else true(),
            lease.c.kind == wanted.kind if wanted.kind is not None else true(),
            _paid_by(wanted.tier) if wanted.tier is not None else true(),
        )
        .order_by(lease.c.id, segment.c.id)
    )


def usage(connection: Connection, wanted: Filter, now: int) -> Iterator[UsageRow]:
    """Yield what was used in a range, cut at its bounds, by lease and in order of time."""
    bound = now if wanted.until is None else min(wanted.until, now)
    for row in stream(connection, usage_statement(wanted, now)):
        start = max(row.from_at, wanted.since or 0)
        end = min(bound if row.until_at is None else row.until_at, bound)
        if end <= start:
            continue
        # A part that is over is charged; one that goes on is charged up to when it was settled.
        open_from = end if row.until_at is not None else max(start, min(row.settled_at, end))
        yield UsageRow(
            lease=row.id,
            account=row.account,
            account_kind=row.account_kind,
            person=row.person,
            kind=row.kind,
            key=row.key,
            label=row.label,
            tiers=tuple(sorted((row.tiers or "").split())),
            rate=row.rate,
            start=moment(start),
            end=moment(end),
            amount=row.rate * (end - start),
            accrued=row.rate * (end - open_from),
        )


def _paid_by(tier: str) -> ColumnElement[bool]:
    charged = (
        select(entry.c.id)
        .join_from(entry, allocation, entry.c.allocation_id == allocation.c.id)
        .where(entry.c.lease_id == lease.c.id, entry.c.kind == "charge", allocation.c.tier == tier)
    )
    held = (
        select(hold.c.id)
        .join_from(hold, allocation, hold.c.allocation_id == allocation.c.id)
        .where(hold.c.lease_id == lease.c.id, allocation.c.tier == tier)
    )
    return or_(charged.correlate(lease).exists(), held.correlate(lease).exists())


# The journal and the allocations -----------------------------------------------------------------------


def journal_statement(wanted: Filter) -> Select[Any]:
    """Return the statement that finds the lines of a range."""
    return (
        select(entry, account.c.name.label("account"), allocation.c.tier, lease.c.person)
        .join_from(entry, account, entry.c.account_id == account.c.id)
        .join(allocation, entry.c.allocation_id == allocation.c.id)
        .outerjoin(lease, entry.c.lease_id == lease.c.id)
        .where(
            entry.c.at >= wanted.since if wanted.since is not None else true(),
            entry.c.at < wanted.until if wanted.until is not None else true(),
            account.c.name == wanted.account if wanted.account is not None else true(),
            lease.c.person == wanted.person if wanted.person is not None else true(),
            _of_kind(wanted.kind) if wanted.kind is not None else true(),
            entry.c.actor == wanted.actor if wanted.actor is not None else true(),
            allocation.c.tier == wanted.tier if wanted.tier is not None else true(),
        )
        .order_by(entry.c.id)
    )


def _of_kind(kind: str) -> ColumnElement[bool]:
    return entry.c.kind != "charge" if kind == "acts" else entry.c.kind == kind


def journal_rows(connection: Connection, wanted: Filter) -> Iterator[JournalRow]:
    """Yield the journal's lines of a range, in their order."""
    for row in stream(connection, journal_statement(wanted)):
        yield _journal_row(row)


def _journal_row(row: Any) -> JournalRow:
    return JournalRow(journal.view(row), row.tier, row.person, row.idempotency_key)


def audit_rows(connection: Connection, wanted: Filter, query: AuditQuery) -> Iterator[AuditRow]:
    """Yield what was decided, the oldest first: the journal's lines, and what is kept beside it."""
    parts: list[Iterator[AuditRow]] = []
    # Of one second, what comes first in a page comes last here.
    if query.beside or query.kind == "acts":
        parts += [_viewed(stream(connection, statement), view) for statement, view in reversed(deeds.every(query))]
    if not query.beside:
        # In the order of their times, as all the rest is; charges are too many to be sorted, and stand alone.
        lines = journal_statement(wanted)
        if query.kind != "charge":
            lines = lines.order_by(None).order_by(entry.c.at, entry.c.id)
        parts.append(_viewed(stream(connection, lines), _journal_row))
    yield from merge(*parts, key=lambda row: row.at)


def _viewed(rows: Any, view: Callable[[Any], JournalRow | Deed]) -> Iterator[AuditRow]:
    return (audit_row(view(row)) for row in rows)


def allocations_statement(wanted: Filter) -> Select[Any]:
    """Return the statement that finds the allocations whose terms touch a range; it needs `now`."""
    total = func.coalesce(func.sum(entry.c.amount), 0)
    of_this = entry.c.allocation_id == allocation.c.id
    charged = select(-total).where(of_this, entry.c.kind == "charge").correlate(allocation).scalar_subquery()
    granted = (
        select(func.coalesce(func.sum(case((entry.c.kind.in_(("charge", "expiry")), 0), else_=entry.c.amount)), 0))
        .where(of_this)
        .correlate(allocation)
        .scalar_subquery()
    )
    return (
        allocations.VIEWS.add_columns(granted.label("granted"), charged.label("charged"))
        .where(
            allocation.c.start_at < wanted.until if wanted.until is not None else true(),
            or_(allocation.c.end_at.is_(None), allocation.c.end_at > wanted.since)
            if wanted.since is not None
            else true(),
            account.c.name == wanted.account if wanted.account is not None else true(),
            allocation.c.tier == wanted.tier if wanted.tier is not None else true(),
        )
        .order_by(allocation.c.id)
    )


def allocation_rows(connection: Connection, wanted: Filter, now: int) -> Iterator[AllocationRow]:
    """Yield the allocations whose terms touch a range, in the order of their numbers."""
    for row in stream(connection, allocations_statement(wanted), {"now": now}):
        one = allocations.view(row)
        yield AllocationRow(one, state_now(one, moment(now)), int(row.granted), int(row.charged))
