"""What does not add up, recomputed from the journal, the segments and the leases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Connection, and_, func, literal, or_, select, union_all

from hubquota.models.ledger import Mismatch
from hubquota.storage import purge_ends
from hubquota.storage.tables import account, allocation, entry, hold, lease, segment, spending


def _balances(connection: Connection) -> Iterator[Mismatch]:
    total = func.coalesce(func.sum(entry.c.amount), 0)
    accounts = (
        select(account.c.name, account.c.balance, total)
        .outerjoin_from(account, entry)
        .group_by(account.c.id, account.c.name, account.c.balance)
        .having(total != account.c.balance)
        .order_by(account.c.name)
    )
    for name, balance, expected in connection.execute(accounts):
        yield Mismatch(name, "balance", int(expected), balance)
    allocations = (
        select(account.c.name, allocation.c.id, allocation.c.balance, total)
        .join_from(allocation, account)
        .outerjoin(entry, entry.c.allocation_id == allocation.c.id)
        .group_by(account.c.name, allocation.c.id, allocation.c.balance)
        .having(total != allocation.c.balance)
        .order_by(allocation.c.id)
    )
    for name, number, balance, expected in connection.execute(allocations):
        yield Mismatch(name, f"allocation {number}: balance", int(expected), balance)


def _chains(connection: Connection) -> Iterator[Mismatch]:
    for what, group, after in (
        ("balance after", entry.c.account_id, entry.c.balance_after),
        ("allocation after", entry.c.allocation_id, entry.c.allocation_after),
    ):
        so_far = func.sum(entry.c.amount).over(partition_by=group, order_by=entry.c.id)
        chain = (
            select(account.c.name, entry.c.id, after.label("found"), so_far.label("expected"))
            .join_from(entry, account)
            .subquery()
        )
        broken = select(chain).where(chain.c.found != chain.c.expected).order_by(chain.c.id)
        for name, number, found, expected in connection.execute(broken):
            yield Mismatch(name, f"entry {number}: {what}", int(expected), found)
    stray = (
        select(account.c.name, entry.c.id, allocation.c.account_id, entry.c.account_id)
        .join_from(entry, allocation, entry.c.allocation_id == allocation.c.id)
        .join(account, entry.c.account_id == account.c.id)
        .where(allocation.c.account_id != entry.c.account_id)
    )
    for name, number, expected, found in connection.execute(stray):
        yield Mismatch(name, f"entry {number}: account of its allocation", expected, found)


def _dates(connection: Connection) -> Iterator[Mismatch]:
    """What an allocation's row says of its dates, against the last line of the journal that says so."""

    def last(column: Any, *kinds: str) -> Any:
        return (
            select(column)
            .where(entry.c.allocation_id == allocation.c.id, entry.c.kind.in_(kinds))
            .order_by(entry.c.id.desc())
            .limit(1)
            .scalar_subquery()
        )

    paused = (
        select(entry.c.kind)
        .where(entry.c.allocation_id == allocation.c.id, entry.c.kind.in_(("suspension", "resumption")))
        .order_by(entry.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    statement = (
        select(
            account.c.name,
            allocation.c.id,
            allocation.c.end_at,
            last(entry.c.end_at, "grant", "extension", "revocation").label("end"),
            allocation.c.revoked_at,
            last(entry.c.at, "revocation").label("revoked"),
            allocation.c.lapsed_at,
            last(entry.c.at, "expiry").label("lapsed"),
            allocation.c.suspended_at,
            last(entry.c.at, "suspension").label("suspended"),
            paused.label("paused"),
        )
        .join_from(allocation, account)
        .order_by(allocation.c.id)
    )
    for row in connection.execute(statement):
        suspended = row.suspended if row.paused == "suspension" else None
        for what, expected, found in (
            ("end", row.end, row.end_at),
            ("revoked", row.revoked, row.revoked_at),
            ("lapsed", row.lapsed, row.lapsed_at),
            ("suspended", suspended, row.suspended_at),
        ):
            if expected != found:
                yield Mismatch(row.name, f"allocation {row.id}: {what}", expected or 0, found or 0)


def _charges(connection: Connection) -> Iterator[Mismatch]:
    ran = (
        select(
            func.coalesce(
                func.sum(
                    segment.c.rate * (func.coalesce(segment.c.until_at, lease.c.settled_at) - segment.c.from_at)
                ),
                0,
            )
        )
        .where(segment.c.lease_id == lease.c.id)
        .scalar_subquery()
    )
    posted = (
        select(func.coalesce(func.sum(entry.c.amount), 0))
        .where(entry.c.lease_id == lease.c.id, entry.c.kind == "charge")
        .scalar_subquery()
    )
    rows = (
        select(
            account.c.name,
            lease.c.id,
            lease.c.charged,
            ran.label("ran"),
            posted.label("posted"),
        )
        .join_from(lease, account)
        .subquery()
    )
    wrong = select(rows).where(or_(rows.c.charged != rows.c.ran, rows.c.charged != -rows.c.posted))
    for name, number, charged, expected, amount in connection.execute(wrong.order_by(rows.c.id)):
        if charged != expected:
            yield Mismatch(name, f"lease {number}: charge", int(expected), charged)
        if charged != -amount:
            yield Mismatch(name, f"lease {number}: posted charge", -charged, int(amount))


def _segments(connection: Connection) -> Iterator[Mismatch]:
    """Segments follow each other without a gap, from the begin to the end, each charged for its seconds."""
    before = func.lag(segment.c.until_at).over(partition_by=segment.c.lease_id, order_by=segment.c.id)
    after = func.lead(segment.c.id).over(partition_by=segment.c.lease_id, order_by=segment.c.id)
    cost = segment.c.rate * (func.coalesce(segment.c.until_at, lease.c.settled_at) - segment.c.from_at)
    rows = (
        select(
            account.c.name,
            lease.c.id,
            segment.c.from_at,
            func.coalesce(before, lease.c.started_at).label("should_start"),
            segment.c.until_at,
            lease.c.ended_at.label("should_end"),
            after.label("next_id"),
            segment.c.charged,
            cost.label("cost"),
        )
        .join_from(segment, lease)
        .join(account, lease.c.account_id == account.c.id)
        .subquery()
    )
    last = rows.c.next_id.is_(None)
    wrong_end = or_(
        and_(last, func.coalesce(rows.c.until_at, -1) != func.coalesce(rows.c.should_end, -1)),
        and_(~last, rows.c.until_at.is_(None)),
    )
    wrong = select(rows, wrong_end.label("wrong_end")).where(
        or_(rows.c.from_at != rows.c.should_start, rows.c.charged != rows.c.cost, wrong_end)
    )
    for row in connection.execute(wrong.order_by(rows.c.id, rows.c.from_at)):
        if row.from_at != row.should_start:
            yield Mismatch(row.name, f"lease {row.id}: start of a segment", row.should_start or 0, row.from_at)
        if row.charged != row.cost:
            yield Mismatch(row.name, f"lease {row.id}: charge of a segment", int(row.cost), row.charged)
        if row.wrong_end:
            yield Mismatch(row.name, f"lease {row.id}: end of a segment", row.should_end or 0, row.until_at or 0)


def _holds(connection: Connection) -> Iterator[Mismatch]:
    """Nothing is held for what has ended, of somebody else's allocation, or for a part of a second."""
    left_over = (
        select(account.c.name, lease.c.id, literal(0), func.sum(hold.c.amount))
        .join_from(hold, lease, hold.c.lease_id == lease.c.id)
        .join(allocation, hold.c.allocation_id == allocation.c.id)
        .join(account, lease.c.account_id == account.c.id)
        .where(or_(lease.c.ended_at.is_not(None), allocation.c.account_id != lease.c.account_id))
        .group_by(account.c.name, lease.c.id)
    )
    for name, number, expected, found in connection.execute(left_over):
        yield Mismatch(name, f"lease {number}: held", expected, int(found))
    held = func.sum(hold.c.amount)
    uneven = (
        select(account.c.name, lease.c.id, lease.c.rate, held)
        .join_from(hold, lease, hold.c.lease_id == lease.c.id)
        .join(account, lease.c.account_id == account.c.id)
        .group_by(account.c.name, lease.c.id, lease.c.rate)
        .having(or_(lease.c.rate == 0, held % func.nullif(lease.c.rate, 0) != 0))
    )
    for name, number, rate, found in connection.execute(uneven):
        whole = int(found) // rate * rate if rate else 0
        yield Mismatch(name, f"lease {number}: held", whole, int(found))


def _spending(connection: Connection) -> Iterator[Mismatch]:
    """What is kept as each person's spending on a project's allocations, against the journal's charges."""
    posted = (
        select(entry.c.allocation_id, lease.c.person, (-entry.c.amount).label("posted"), literal(0).label("kept"))
        .join_from(entry, lease, entry.c.lease_id == lease.c.id)
        .join(account, entry.c.account_id == account.c.id)
        .where(entry.c.kind == "charge", account.c.kind == "project")
    )
    kept = select(spending.c.allocation_id, spending.c.person, literal(0), spending.c.charged)
    both = union_all(posted, kept).subquery()
    wrong = (
        select(account.c.name, both.c.allocation_id, both.c.person, func.sum(both.c.posted), func.sum(both.c.kept))
        .join_from(both, allocation, both.c.allocation_id == allocation.c.id)
        .join(account, allocation.c.account_id == account.c.id)
        .group_by(account.c.name, both.c.allocation_id, both.c.person)
        .having(func.sum(both.c.posted) != func.sum(both.c.kept))
    )
    for name, number, person, expected, found in connection.execute(wrong):
        yield Mismatch(name, f"allocation {number}: spent by {person}", int(expected), int(found))


def _ends(connection: Connection) -> Iterator[Mismatch]:
    """What allocations say of what was kept under them, against what purges did."""
    for name, number, what, expected, found in purge_ends.wrong(connection):
        yield Mismatch(name, f"allocation {number}: {what}", expected or 0, found or 0)


#: Every check. Each yields what something should be and is not.
CHECKS: tuple[Callable[[Connection], Iterator[Mismatch]], ...] = (
    _balances,
    _chains,
    _dates,
    _charges,
    _segments,
    _holds,
    _spending,
    _ends,
)
