"""Purge plans and what is in them, on a connection whose transaction somebody else opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Connection, Row, and_, case, exists, func, insert, or_, select, true, update

from hubquota.models.ledger import AccountKind
from hubquota.models.purge import Act, Item, Plan, PurgeEvent, PurgeHold, Seen, Stage
from hubquota.storage.purge_tables import purge_event, purge_hold, purge_item, purge_plan
from hubquota.storage.tables import account, allocation, lease, membership, request
from hubquota.storage.times import moment

_DAY = 86_400

#: The end of a grace that no tier of the settings sets: later than any day there is.
_NEVER = 1 << 52

_items = select(purge_item, account.c.name.label("account"), account.c.kind.label("kind")).join_from(
    purge_item, account
)


@dataclass(frozen=True, slots=True)
class Past:
    """An account whose every allocation is past its grace."""

    id: int
    name: str
    kind: AccountKind
    #: The end of its last term, and the number of its newest allocation.
    ended_at: int
    newest: int


def past_grace(
    connection: Connection, graces: Mapping[str, int], now: int, *, name: str | None = None
) -> list[Past]:
    """Return the accounts that had allocations and whose every one is past its tier's days of grace.

    Args:
        connection: the transaction.
        graces: days of grace by tier. An allocation of a tier that is not among them is never past it.
        now: the time.
        name: only the account of that name.
    """
    past = (
        select(
            account.c.id,
            account.c.name,
            account.c.kind,
            func.max(allocation.c.end_at).label("ended_at"),
            func.max(allocation.c.id).label("newest"),
        )
        .join_from(account, allocation)
        .where(account.c.name == name if name is not None else true())
        .group_by(account.c.id, account.c.name, account.c.kind)
        .having(func.max(case((_kept_by(graces, now), 1), else_=0)) == 0)
        .order_by(account.c.name)
    )
    return [Past(*row) for row in connection.execute(past)]


def reason_to_keep(connection: Connection, account_id: int, name: str, graces: Mapping[str, int], now: int) -> str:
    """Return why nothing of an account may be taken, for its owner; empty where nothing speaks for it."""
    if held := hold_reason(connection, account_id):
        return held
    own = select(allocation.c.id).where(allocation.c.account_id == account_id, _kept_by(graces, now))
    if (number := connection.execute(own.limit(1)).scalar_one_or_none()) is not None:
        return f"{name} has allocation {number}, which is not past its grace"
    runs = select(lease.c.label).where(
        or_(lease.c.account_id == account_id, lease.c.person == name), lease.c.ended_at.is_(None)
    )
    if (label := connection.execute(runs.limit(1)).scalar_one_or_none()) is not None:
        return f"{name} has something running: {label}"
    asked = select(request.c.id).where(request.c.account_id == account_id, request.c.decided_at.is_(None))
    if (number := connection.execute(asked.limit(1)).scalar_one_or_none()) is not None:
        return f"{name} has asked for an allocation with request {number}, which nobody has decided"
    # What a member of a living project keeps at home may be the project's.
    living = (
        select(account.c.name)
        .join_from(account, membership)
        .join(allocation, allocation.c.account_id == account.c.id)
        .where(membership.c.member == name, membership.c.until_at.is_(None), _kept_by(graces, now))
    )
    if (project := connection.execute(living.limit(1)).scalar_one_or_none()) is not None:
        return f"{name} is a member of the project {project}, which has an allocation"
    return ""


def newest_allocation(connection: Connection, account_id: int) -> int | None:
    """Return the number of an account's newest allocation."""
    found: int | None = connection.execute(
        select(func.max(allocation.c.id)).where(allocation.c.account_id == account_id)
    ).scalar_one()
    return found


def hold_reason(connection: Connection, account_id: int) -> str:
    """Return why an account is on hold, with who put it there; empty where it is not."""
    held = select(account.c.name, purge_hold.c.placed_by, purge_hold.c.reason).join_from(account, purge_hold)
    current = held.where(purge_hold.c.account_id == account_id, purge_hold.c.lifted_at.is_(None))
    found = connection.execute(current).one_or_none()
    return "" if found is None else f"{found.name} was put on hold by {found.placed_by}: {found.reason}"


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


def plans(connection: Connection, *, limit: int) -> list[Plan]:
    """Return the newest plans first."""
    return _plans(connection, true(), limit)


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


# Events and holds --------------------------------------------------------------------------------------


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


def add_hold(connection: Connection, account_id: int, *, by: str, reason: str, now: int) -> bool:
    """Put an account on hold. Return False if it is on hold already."""
    if hold_reason(connection, account_id):
        return False
    connection.execute(
        insert(purge_hold).values(account_id=account_id, placed_at=now, placed_by=by, reason=reason)
    )
    return True


def lift_hold(connection: Connection, account_id: int, *, by: str, now: int) -> bool:
    """Lift the hold on an account. Return False if there is none."""
    current = update(purge_hold).where(purge_hold.c.account_id == account_id, purge_hold.c.lifted_at.is_(None))
    return connection.execute(current.values(lifted_at=now, lifted_by=by)).rowcount == 1


def holds(connection: Connection, *, lifted: bool) -> list[PurgeHold]:
    """Return the accounts on hold, and with `lifted` those that were, oldest first."""
    statement = (
        select(purge_hold, account.c.name)
        .join_from(purge_hold, account)
        .where(true() if lifted else purge_hold.c.lifted_at.is_(None))
        .order_by(purge_hold.c.id)
    )
    return [
        PurgeHold(row.name, moment(row.placed_at), row.placed_by, row.reason, moment(row.lifted_at), row.lifted_by)
        for row in connection.execute(statement)
    ]


def _kept_by(graces: Mapping[str, int], now: int) -> Any:
    """Return the condition that an allocation is not past its grace."""
    whens: Sequence[Any] = [(allocation.c.tier == tier, days * _DAY) for tier, days in graces.items()]
    grace = case(*whens, else_=_NEVER) if whens else _NEVER
    return or_(allocation.c.lapsed_at.is_(None), allocation.c.end_at.is_(None), allocation.c.end_at + grace > now)


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
