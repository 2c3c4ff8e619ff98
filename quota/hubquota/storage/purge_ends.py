"""What purges mean for the allocations under which things were kept: archived, purged, or back again.

A plan names an account's newest allocation. What was taken by the last plan that did and that took anything
says how far it has come with that allocation and those before it, down to the one that an earlier plan named.
It is noted with them, so that a decision about an account need not read its purges.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, Select, and_, case, func, or_, select, true, update

from hubquota.models.purge import Act, Stage
from hubquota.storage.tables import account, allocation, purge_event, purge_item

#: Stages of what was taken, whatever happened to it then.
_TAKEN = (Stage.QUARANTINED, Stage.DELETED, Stage.PURGED, Stage.RESTORED)
_AWAY = (Stage.QUARANTINED, Stage.DELETED)

#: Stages of which each changes what `follow` writes.
DECIDING = frozenset({*_TAKEN, Stage.LEFT_ALONE})


def follow(connection: Connection, account_id: int) -> None:
    """Note with an account's allocations how far what was kept under them has come."""
    noted = or_(allocation.c.archived_at.is_not(None), allocation.c.purged_at.is_not(None))
    own = allocation.c.account_id == account_id
    connection.execute(update(allocation).where(own, noted).values(archived_at=None, purged_at=None))
    # The newest first: what an earlier plan named has its own.
    for row in connection.execute(_ends(account_id).order_by(purge_item.c.allocation_id.desc())).all():
        facts = {"archived_at": row.archived, "purged_at": row.purged}
        connection.execute(update(allocation).where(own, allocation.c.id <= row.upto).values(facts))


def wrong(connection: Connection) -> Iterator[tuple[str, int, str, int | None, int | None]]:
    """Yield what allocations say and purges do not: account, allocation, what, what it should be, what it is."""
    ends = _ends().cte("ends")
    named = ends.alias("named")
    first = (
        select(func.min(named.c.upto))
        .where(named.c.account_id == allocation.c.account_id, named.c.upto >= allocation.c.id)
        .scalar_subquery()
    )
    statement = (
        select(
            account.c.name,
            allocation.c.id,
            ends.c.archived,
            allocation.c.archived_at,
            ends.c.purged,
            allocation.c.purged_at,
        )
        .join_from(allocation, account)
        .outerjoin(ends, and_(ends.c.account_id == allocation.c.account_id, ends.c.upto == first))
        .where(
            or_(
                allocation.c.archived_at.is_distinct_from(ends.c.archived),
                allocation.c.purged_at.is_distinct_from(ends.c.purged),
            )
        )
        .order_by(allocation.c.id)
    )
    for row in connection.execute(statement):
        for what, expected, found in (
            ("archived", row.archived, row.archived_at),
            ("purged", row.purged, row.purged_at),
        ):
            if expected != found:
                yield row.name, row.id, what, expected, found


def _ends(account_id: int | None = None) -> Select[tuple[int, int, int | None, int | None]]:
    """Return for each account and allocation that plans named, since when what was kept is away, or gone."""
    whose = true() if account_id is None else purge_item.c.account_id == account_id
    taken = and_(purge_item.c.stage.in_(_TAKEN), whose)
    newest = (
        select(func.max(purge_item.c.plan_id).label("plan_id"), purge_item.c.account_id)
        .where(taken)
        .group_by(purge_item.c.account_id, purge_item.c.allocation_id)
        .subquery()
    )
    # From the events, which are never changed: a thing itself says only since when it is where it is now.
    times = (
        select(
            purge_event.c.item_id,
            func.min(case((purge_event.c.kind == f"{Act.QUARANTINE}: ended", purge_event.c.at))).label("moved"),
            func.max(case((purge_event.c.kind == f"{Act.DISCARD}: ended", purge_event.c.at))).label("discarded"),
        )
        .join_from(purge_event, purge_item, purge_event.c.item_id == purge_item.c.id)
        .where(taken)
        .group_by(purge_event.c.item_id)
        .subquery()
    )
    back = func.max(case((purge_item.c.stage == Stage.RESTORED, 1), else_=0))
    away = func.max(case((purge_item.c.stage.in_(_AWAY), 1), else_=0))
    return (
        select(
            purge_item.c.account_id,
            purge_item.c.allocation_id.label("upto"),
            case((back == 0, func.min(times.c.moved))).label("archived"),
            case((and_(back == 0, away == 0), func.max(times.c.discarded))).label("purged"),
        )
        .join_from(
            purge_item,
            newest,
            and_(newest.c.account_id == purge_item.c.account_id, newest.c.plan_id == purge_item.c.plan_id),
        )
        .join(times, times.c.item_id == purge_item.c.id)
        .where(taken)
        .group_by(purge_item.c.account_id, purge_item.c.allocation_id)
    )
