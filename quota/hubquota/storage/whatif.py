"""What a replay reads: accounts a page at a time, their allocations, and what they ran as a stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, and_, case, func, or_, select

from hubquota.models.ledger import AccountKind
from hubquota.models.whatif import Used
from hubquota.storage.export import stream
from hubquota.storage.tables import account, allocation, entry, lease, segment


@dataclass(frozen=True, slots=True)
class Owner:
    """An account."""

    id: int
    name: str
    kind: AccountKind
    tier: str


@dataclass(frozen=True, slots=True)
class Granted:
    """An allocation with what it was granted, and what it had paid before a range. Amounts are units."""

    id: int
    tier: str
    start: int
    end: int | None
    granted: int
    charged_before: int


def owners(connection: Connection, *, after: int, limit: int) -> list[Owner]:
    """Return accounts in the order of their numbers."""
    statement = (
        select(account.c.id, account.c.name, account.c.kind, account.c.tier)
        .where(account.c.id > after)
        .order_by(account.c.id)
        .limit(limit)
    )
    return [Owner(row.id, row.name, row.kind, row.tier) for row in connection.execute(statement)]


def number_of_accounts(connection: Connection) -> int:
    """Return how many accounts there are."""
    return int(connection.execute(select(func.count()).select_from(account)).scalar_one())


def granted(
    connection: Connection, account_ids: Sequence[int], since: int, until: int
) -> dict[int, list[Granted]]:
    """Return for each account the allocations whose terms touch a range."""
    before = func.sum(case((and_(entry.c.kind == "charge", entry.c.at < since), -entry.c.amount), else_=0))
    given = func.sum(case((entry.c.kind.in_(("charge", "expiry")), 0), else_=entry.c.amount))
    statement = (
        select(allocation, before.label("before"), given.label("given"))
        .outerjoin_from(allocation, entry, entry.c.allocation_id == allocation.c.id)
        .where(
            allocation.c.account_id.in_(account_ids),
            allocation.c.start_at < until,
            or_(allocation.c.end_at.is_(None), allocation.c.end_at > since),
        )
        .group_by(allocation.c.id)
        .order_by(allocation.c.id)
    )
    found: dict[int, list[Granted]] = {}
    for row in connection.execute(statement):
        found.setdefault(row.account_id, []).append(
            Granted(
                row.id,
                row.tier,
                # What was to pay at once pays, even where another machine's clock was behind.
                row.start_at if row.start_at > row.granted_at else 0,
                row.end_at,
                int(row.given or 0),
                int(row.before or 0),
            )
        )
    return found


def used(connection: Connection, first: int, last: int, since: int, until: int) -> Iterator[tuple[int, Used]]:
    """Yield what the accounts from one number to another ran in a range, each account's in order of time."""
    earlier = segment.alias()
    first_rate = (
        select(earlier.c.rate)
        .where(earlier.c.lease_id == lease.c.id)
        .order_by(earlier.c.id)
        .limit(1)
        .scalar_subquery()
    )
    statement = (
        select(
            lease.c.account_id,
            lease.c.id,
            lease.c.person,
            lease.c.kind,
            lease.c.label,
            lease.c.started_at,
            segment.c.rate,
            segment.c.from_at,
            segment.c.until_at,
            first_rate.label("first_rate"),
        )
        .join_from(lease, segment, segment.c.lease_id == lease.c.id)
        .where(
            lease.c.account_id.between(first, last),
            segment.c.from_at < until,
            or_(segment.c.until_at.is_(None), segment.c.until_at > since),
        )
        .order_by(lease.c.account_id, segment.c.from_at, segment.c.id)
    )
    for row in stream(connection, statement):
        start = max(row.from_at, since)
        end = until if row.until_at is None else min(row.until_at, until)
        if end > start:
            yield (
                row.account_id,
                Used(
                    lease=row.id,
                    person=row.person,
                    kind=row.kind,
                    label=row.label,
                    rate=row.rate,
                    first_rate=row.first_rate,
                    start=start,
                    end=end,
                    begins=row.from_at == row.started_at and row.from_at >= since,
                ),
            )
