"""Purge plans and what is in them, on a connection whose transaction somebody else opened."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import Connection, Row, and_, exists, func, insert, or_, select, true, update

from hubquota.models.purge import Act, Item, Plan, PurgeEvent, Seen, Stage
from hubquota.storage.tables import account, purge_event, purge_item, purge_plan
from hubquota.storage.times import moment

_items = select(purge_item, account.c.name.label("account"), account.c.kind.label("kind")).join_from(
    purge_item, account
)


def count_accounts(connection: Connection) -> int:
    """Return how many accounts there are."""
    found: int = connection.execute(select(func.count()).select_from(account)).scalar_one()
    return found


# Plans -------------------------------------------------------------------------------------------------


def add_plan(connection: Connection, *, by: str, digest: str, now: int) -> int:
    """Add a plan; return its number."""
    statement = insert(purge_plan).values(made_at=now, made_by=by, digest=digest)
    (number,) = cast("tuple[int]", connection.execute(statement).inserted_primary_key)
    return number


def set_plan(connection: Connection, plan_id: int, **facts: Any) -> None:
    """Note something about a plan."""
    connection.execute(update(purge_plan).where(purge_plan.c.id == plan_id).values(**facts))


def close_drafts(connection: Connection, *, before: int, now: int, reason: str) -> None:
    """Close the plans before another that nobody has approved."""
    drafts = and_(purge_plan.c.id < before, purge_plan.c.approved_at.is_(None), purge_plan.c.closed_at.is_(None))
    connection.execute(update(purge_plan).where(drafts).values(closed_at=now, closed_reason=reason))


def lock_plan(connection: Connection, plan_id: int) -> Plan | None:
    """Return the plan of that number; nobody else decides about it until the transaction's end."""
    connection.execute(select(purge_plan.c.id).where(purge_plan.c.id == plan_id).with_for_update())
    return find_plan(connection, plan_id)


def find_plan(connection: Connection, plan_id: int) -> Plan | None:
    """Return the plan of that number."""
    found = _plans(connection, purge_plan.c.id == plan_id, 1, of=purge_item.c.plan_id == plan_id)
    return found[0] if found else None


def closed_reason(connection: Connection, plan_id: int) -> str | None:
    """Return why nothing more is taken under a plan; None while it counts."""
    found: str | None = connection.execute(
        select(purge_plan.c.closed_reason).where(purge_plan.c.id == plan_id)
    ).scalar_one_or_none()
    return found


def plans(connection: Connection, *, limit: int, before: int | None) -> list[Plan]:
    """Return the newest plans first; with `before`, of those with a lower number."""
    return _plans(connection, true() if before is None else purge_plan.c.id < before, limit)


def open_plans(connection: Connection) -> list[Plan]:
    """Return the approved plans that something is still to be done under, oldest first."""
    at_work = exists().where(
        purge_item.c.plan_id == purge_plan.c.id, or_(purge_item.c.active, purge_item.c.archive_kept)
    )
    return _plans(connection, and_(purge_plan.c.approved_at.is_not(None), at_work), None)[::-1]


def _plans(connection: Connection, condition: Any, limit: int | None, *, of: Any = None) -> list[Plan]:
    totals = (
        select(
            purge_item.c.plan_id,
            func.count().label("things"),
            func.count(purge_item.c.account_id.distinct()).label("accounts"),
            func.sum(purge_item.c.bytes).label("bytes"),
            func.sum(purge_item.c.files).label("files"),
        )
        .where(true() if of is None else of)
        .group_by(purge_item.c.plan_id)
        .subquery()
    )
    statement = (
        select(purge_plan, totals.c.things, totals.c.accounts, totals.c.bytes, totals.c.files)
        .outerjoin(totals, totals.c.plan_id == purge_plan.c.id)
        .where(condition)
        .order_by(purge_plan.c.id.desc())
        .limit(limit)
    )
    return [
        Plan(
            id=row.id,
            made_at=moment(row.made_at),
            made_by=row.made_by,
            digest=row.digest,
            accounts=row.accounts or 0,
            items=row.things or 0,
            bytes=int(row.bytes or 0),
            files=int(row.files or 0),
            approved_at=moment(row.approved_at),
            approved_by=row.approved_by,
            override=row.override_reason,
            closed_reason=row.closed_reason,
        )
        for row in connection.execute(statement)
    ]


# Things ------------------------------------------------------------------------------------------------


def add_item(
    connection: Connection,
    plan_id: int,
    account_id: int,
    *,
    adapter: str,
    name: str,
    seen: Seen,
    newest_at: int | None,
    why: str,
    allocation_id: int,
    now: int,
) -> None:
    """Add a thing to a plan."""
    connection.execute(
        insert(purge_item).values(
            plan_id=plan_id,
            account_id=account_id,
            adapter=adapter,
            name=name,
            bytes=seen.bytes,
            files=seen.files,
            newest_at=newest_at,
            fingerprint=seen.fingerprint,
            why=why,
            allocation_id=allocation_id,
            stage=Stage.PLANNED,
            stage_at=now,
            archive_kept=False,
            active=False,
        )
    )


def set_item(connection: Connection, item_id: int, **facts: Any) -> None:
    """Note how far a thing has come."""
    connection.execute(update(purge_item).where(purge_item.c.id == item_id).values(**facts))


def activate(connection: Connection, plan_id: int) -> None:
    """Note that a plan is at work on its things."""
    connection.execute(update(purge_item).where(purge_item.c.plan_id == plan_id).values(active=True))


def taken_by_others(connection: Connection, plan_id: int) -> list[tuple[str, str, int]]:
    """Return what of a plan another plan is at work on: account, adapter and that plan's number."""
    other = purge_item.alias()
    statement = (
        select(account.c.name, purge_item.c.adapter, other.c.plan_id)
        .join_from(purge_item, account)
        .join(
            other,
            and_(
                other.c.account_id == purge_item.c.account_id,
                other.c.adapter == purge_item.c.adapter,
                other.c.name == purge_item.c.name,
                other.c.active,
                other.c.plan_id != plan_id,
            ),
        )
        .where(purge_item.c.plan_id == plan_id)
        .order_by(purge_item.c.id)
    )
    return [(row[0], row[1], row[2]) for row in connection.execute(statement)]


def is_taken(connection: Connection, account_id: int, adapter: str, name: str) -> bool:
    """Return whether an approved plan is at work on a thing."""
    statement = select(
        exists().where(
            purge_item.c.account_id == account_id,
            purge_item.c.adapter == adapter,
            purge_item.c.name == name,
            purge_item.c.active,
        )
    )
    return bool(connection.execute(statement).scalar_one())


def find_item(connection: Connection, item_id: int) -> Item | None:
    """Return the thing of that number."""
    row = connection.execute(_items.where(purge_item.c.id == item_id)).one_or_none()
    return None if row is None else _item(row)


def items(connection: Connection, *, plan_id: int | None = None, account_id: int | None = None) -> list[Item]:
    """Return the things of a plan, or of an account."""
    statement = _items.where(
        purge_item.c.plan_id == plan_id if plan_id is not None else true(),
        purge_item.c.account_id == account_id if account_id is not None else true(),
    )
    return [_item(row) for row in connection.execute(statement.order_by(purge_item.c.id))]


# Events --------------------------------------------------------------------------------------


def note(
    connection: Connection, plan_id: int, item_id: int | None, *, kind: str, actor: str, text: str, now: int
) -> None:
    """Add a line of what was done."""
    connection.execute(
        insert(purge_event).values(plan_id=plan_id, item_id=item_id, at=now, kind=kind, actor=actor, text=text)
    )


def events(connection: Connection, *, plan_id: int, item_id: int | None = None) -> list[PurgeEvent]:
    """Return what was done under a plan, or to one thing of it, oldest first."""
    statement = (
        select(purge_event)
        .where(
            purge_event.c.plan_id == plan_id,
            purge_event.c.item_id == item_id if item_id is not None else true(),
        )
        .order_by(purge_event.c.id)
    )
    return [
        PurgeEvent(row.id, row.plan_id, row.item_id, moment(row.at), row.kind, row.actor, row.text)
        for row in connection.execute(statement)
    ]


def _item(row: Row[*tuple[Any, ...]]) -> Item:
    return Item(
        id=row.id,
        plan=row.plan_id,
        account=row.account,
        account_id=row.account_id,
        kind=row.kind,
        adapter=row.adapter,
        name=row.name,
        seen=Seen(row.bytes, row.files, moment(row.newest_at), row.fingerprint),
        why=row.why,
        allocation=row.allocation_id,
        stage=Stage(row.stage),
        stage_at=moment(row.stage_at),
        doing=None if row.doing is None else Act(row.doing),
        due=moment(row.due_at),
        told_days=row.told_days,
        archive_digest=row.archive_digest,
        manifest_digest=row.manifest_digest,
        archive_bytes=row.archive_bytes,
        archive_kept=row.archive_kept,
        quarantine_print=row.quarantine_print,
        reason=row.reason,
        asked_by=row.asked_by,
        place=row.place,
    )
