"""Allocations, on a connection whose transaction somebody else opened."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    and_,
    bindparam,
    case,
    cast,
    func,
    insert,
    or_,
    select,
    true,
    tuple_,
    type_coerce,
    update,
)

from hubquota.models.burn import Pool, in_order
from hubquota.models.ledger import Allocation
from hubquota.storage.accounts import OWNER, Owner
from hubquota.storage.prepared import Prepared, among
from hubquota.storage.tables import account, allocation, hold, lease
from hubquota.storage.times import moment

_now = bindparam("now", type_=hold.c.expires_at.type)
_live_holds = (
    select(func.coalesce(func.sum(hold.c.amount), 0))
    .where(hold.c.allocation_id == allocation.c.id, hold.c.expires_at > _now)
    .scalar_subquery()
)
#: Allocations as `view` reads them; needs `now`.
VIEWS = select(allocation, account.c.name.label("account"), _live_holds.label("held")).join_from(
    allocation, account
)
# A start reads these. A prepared statement converts nothing, so yes and no are numbers to it.
_bare_views = select(
    *(
        type_coerce(column, Integer).label("renewable") if column is allocation.c.renewable else column
        for column in allocation.c
    ),
    account.c.name.label("account"),
    _live_holds.label("held"),
).join_from(allocation, account)
_in_order = allocation.c.end_at.is_(None), allocation.c.end_at, allocation.c.id
_is_open = allocation.c.lapsed_at.is_(None)
_open_views = Prepared(
    _bare_views.where(allocation.c.account_id == bindparam("account_id"), _is_open).order_by(*_in_order)
)
#: What an `OpenPool` is made of, in its order.
_pool = (
    allocation.c.id,
    cast(allocation.c.balance - _live_holds, BigInteger).label("free"),
    # What was to pay at once pays, even where another machine's clock is behind. What was granted from an earlier
    # day on, as a late sweep renews, pays from that day on.
    case((allocation.c.start_at != allocation.c.granted_at, allocation.c.start_at), else_=0).label("since"),
    allocation.c.end_at,
    type_coerce(allocation.c.suspended_at.is_not(None), Integer).label("suspended"),
    allocation.c.balance,
    allocation.c.tier,
)
_open_pools = Prepared(
    select(allocation.c.account_id, *_pool)
    .where(among(allocation.c.account_id, "ids"), _is_open)
    .order_by(*_in_order)
)
# Without an order, which would cost as much as the rest: nearly every account has one of them.
_with_owners = Prepared(
    select(*OWNER, *_pool)
    .outerjoin_from(account, allocation, and_(allocation.c.account_id == account.c.id, _is_open))
    .where(among(account.c.name, "names"))
)
_views_by_ids = Prepared(_bare_views.where(among(allocation.c.id, "ids")))
_view_by_id = Prepared(_bare_views.where(allocation.c.id == bindparam("number")))
_new = (
    "account_id",
    "tier",
    "renewable",
    "reason",
    "granted_by",
    "granted_at",
    "start_at",
    "end_at",
    "balance",
)
_add = Prepared(insert(allocation).returning(allocation.c.id), columns=_new)
_add_numbered = Prepared(insert(allocation), columns=("id", *_new))
_last_number = Prepared(select(func.max(allocation.c.id).label("number")))


@dataclass(slots=True)
class OpenPool(Pool):
    """An allocation in the middle of a decision."""

    balance: int = 0
    tier: str = ""

    @property
    def held(self) -> int:
        """What open leases hold of it."""
        return self.balance - self.free


def open_pools_of(connection: Connection, account_ids: Collection[int], now: int) -> dict[int, list[OpenPool]]:
    """Return for each account its allocations whose books are open, in the order in which they are spent."""
    found: dict[int, list[OpenPool]] = {number: [] for number in account_ids}
    for account_id, *row in _open_pools.tuples(connection, ids=list(account_ids), now=now):
        found[account_id].append(OpenPool(*row))
    return found


def open_pools_by_name(
    connection: Connection, names: Collection[str], now: int
) -> tuple[dict[str, Owner], dict[int, list[OpenPool]]]:
    """Return the accounts of these names by their name, and what `open_pools_of` returns of them.

    In one statement: it locks nothing, so that it is for who has everything locked already, as on SQLite.
    """
    owners: dict[str, Owner] = {}
    pools: dict[int, list[OpenPool]] = {}
    of_owner = len(OWNER)
    for row in _with_owners.tuples(connection, names=list(names), now=now):
        number, name = row[:2]
        mine = [] if row[of_owner] is None else [OpenPool(*row[of_owner:])]
        if name in owners:
            pools[number] = in_order([*pools[number], *mine])
        else:
            owners[name], pools[number] = Owner(*row[:of_owner]), mine
    return owners, pools


def open_pools(connection: Connection, account_id: int, now: int) -> list[OpenPool]:
    """Return an account's allocations whose books are open, in the order in which they are spent."""
    return open_pools_of(connection, [account_id], now)[account_id]


def add(
    connection: Connection,
    account_id: int,
    *,
    tier: str,
    start: int,
    end: int | None,
    renewable: bool,
    reason: str,
    actor: str,
    now: int,
) -> int:
    """Add an allocation with nothing on it yet; return its number."""
    added = _add.first(
        connection,
        account_id=account_id,
        tier=tier,
        renewable=renewable,
        reason=reason,
        granted_by=actor,
        granted_at=now,
        start_at=start,
        end_at=end,
        balance=0,
    )
    return int(added.id)


def set_fact(connection: Connection, allocation_id: int, **facts: int | None) -> None:
    """Note what a line of the journal says about an allocation: its end, or when something happened."""
    connection.execute(update(allocation).where(allocation.c.id == allocation_id).values(**facts))


def end_among(account_ids: Collection[object] | None) -> ColumnElement[int]:
    """Return the end of an allocation, for a question about everybody's or about some accounts' allocations.

    Of some accounts it is no bare column: by the index of ends, a database would read those of all others, too.
    """
    return allocation.c.end_at if account_ids is None else allocation.c.end_at + 0


def late(connection: Connection, names: Collection[str], now: int) -> list[str]:
    """Return those of the accounts of these names that have an allocation whose end no sweep has come by for."""
    statement = (
        select(account.c.name)
        .join_from(allocation, account)
        .where(account.c.name.in_(names), _is_open, end_among(names) <= now)
        .distinct()
    )
    return list(connection.execute(statement).scalars())


def newest(connection: Connection, account_id: int, at: int) -> int | None:
    """Return the number of an account's newest allocation that had started by a time; if none had, of any."""
    started = or_(allocation.c.start_at <= at, allocation.c.start_at <= allocation.c.granted_at)
    statement = (
        select(allocation.c.id)
        .where(allocation.c.account_id == account_id)
        .order_by(case((started, 0), else_=1), allocation.c.id.desc())
        .limit(1)
    )
    found: int | None = connection.execute(statement).scalar_one_or_none()
    return found


def first_start(connection: Connection, account_id: int) -> int | None:
    """Return when the first of all of an account's allocations started; None if it never had one."""
    statement = select(func.min(allocation.c.start_at)).where(allocation.c.account_id == account_id)
    found: int | None = connection.execute(statement).scalar_one()
    return found


def owner_of(connection: Connection, allocation_id: int) -> int | None:
    """Return the number of the account that an allocation belongs to; it never changes."""
    return connection.execute(
        select(allocation.c.account_id).where(allocation.c.id == allocation_id)
    ).scalar_one_or_none()


def find(connection: Connection, allocation_id: int, now: int) -> Allocation | None:
    """Return the allocation of that number."""
    row = _view_by_id.first(connection, number=allocation_id, now=now)
    return None if row is None else view(row)


def find_many(connection: Connection, numbers: Collection[int], now: int) -> dict[int, Allocation]:
    """Return by its number each of these allocations."""
    return {row.id: view(row) for row in _views_by_ids.all(connection, ids=list(numbers), now=now)}


def of_account(connection: Connection, account_id: int, now: int, *, lapsed: bool) -> list[Allocation]:
    """Return an account's allocations in the order in which they are spent; with `lapsed`, all."""
    if not lapsed:
        return [view(row) for row in _open_views.all(connection, account_id=account_id, now=now)]
    statement = VIEWS.where(allocation.c.account_id == account_id).order_by(*_in_order)
    return [view(row) for row in connection.execute(statement, {"now": now})]


def totals(
    connection: Connection, account_ids: Sequence[int], condition: Any, now: int
) -> dict[int, tuple[int, int]]:
    """Return for each account what the allocations of a condition have, and what is held of that."""
    rows = (
        select(allocation.c.account_id, allocation.c.balance, _live_holds.label("held"))
        .where(allocation.c.account_id.in_(account_ids), condition)
        .subquery()
    )
    statement = select(rows.c.account_id, func.sum(rows.c.balance), func.sum(rows.c.held)).group_by(
        rows.c.account_id
    )
    return {
        number: (int(posted), int(held)) for number, posted, held in connection.execute(statement, {"now": now})
    }


@dataclass(frozen=True, slots=True)
class Due:
    """An allocation past its end whose books can be closed."""

    id: int
    account_id: int
    balance: int
    end_at: int


def due(
    connection: Connection,
    now: int,
    *,
    after: tuple[int, int] = (0, 0),
    limit: int | None = None,
    account_ids: Collection[int] | None = None,
) -> list[Due]:
    """Return allocations past their end whose books can be closed, in the order of their ends and numbers.

    Not those that something still holds of, nor those of accounts where something ran before the end
    and has not been charged up to it: what it owes comes first.

    Args:
        connection: the transaction's.
        now: the time.
        after: only those that end later, or then and have a higher number.
        limit: how many at most; None for all.
        account_ids: only those of these accounts; None for every account.
    """
    live = select(hold.c.id).where(hold.c.allocation_id == allocation.c.id, hold.c.expires_at > now)
    unsettled = select(lease.c.id).where(
        lease.c.account_id == allocation.c.account_id,
        lease.c.ended_at.is_(None),
        or_(
            lease.c.settled_at < allocation.c.end_at,
            and_(lease.c.started_at.is_(None), lease.c.admitted_at < allocation.c.end_at),
        ),
    )
    end = end_among(account_ids)
    statement = (
        select(allocation.c.id, allocation.c.account_id, allocation.c.balance, allocation.c.end_at)
        .where(
            allocation.c.lapsed_at.is_(None),
            end <= now,
            tuple_(end, allocation.c.id) > after,
            true() if account_ids is None else allocation.c.account_id.in_(account_ids),
            ~live.exists(),
            ~unsettled.exists(),
        )
        .order_by(end, allocation.c.id)
        .limit(limit)
    )
    return [Due(row.id, row.account_id, row.balance, row.end_at) for row in connection.execute(statement)]


def add_many(connection: Connection, rows: Sequence[dict[str, Any]], *, now: int) -> list[int]:
    """Add allocations with nothing on them yet; return their numbers in the same order.

    Args:
        connection: the transaction's.
        rows: the columns `account_id`, `tier`, `start_at`, `end_at`, `renewable`, `reason`, `granted_by` of each.
        now: the time.
    """
    if not rows:
        return []
    pick = itemgetter(*_new)
    values = [pick({**row, "granted_at": now, "balance": 0}) for row in rows]
    if connection.dialect.name == "postgresql":
        return [int(row.id) for row in _add.add_returning(connection, values)]
    # Nobody else can write meanwhile, and allocations are never deleted: so these numbers are the next ones.
    first = (_last_number.first(connection).number or 0) + 1
    _add_numbered.add(connection, [(number, *row) for number, row in enumerate(values, first)])
    return list(range(first, first + len(rows)))


def close(connection: Connection, numbers: Sequence[int], *, at: int) -> None:
    """Note that the books of allocations are closed."""
    connection.execute(update(allocation).where(allocation.c.id.in_(numbers)).values(lapsed_at=at))


def count_ended(connection: Connection, now: int) -> int:
    """Return how many allocations are past their end and have their books open."""
    ended = (allocation.c.lapsed_at.is_(None), allocation.c.end_at <= now)
    return int(connection.execute(select(func.count()).select_from(allocation).where(*ended)).scalar_one())


def view(row: Any) -> Allocation:
    """Return an allocation as its readers see it, from a row of `VIEWS` or of one like it."""
    return Allocation(
        id=row.id,
        account=row.account,
        tier=row.tier,
        renewable=bool(row.renewable),
        reason=row.reason,
        granted_by=row.granted_by,
        granted_at=moment(row.granted_at),
        start=moment(row.start_at),
        end=moment(row.end_at),
        balance=row.balance,
        held=int(row.held),
        suspended_at=moment(row.suspended_at),
        revoked_at=moment(row.revoked_at),
        lapsed_at=moment(row.lapsed_at),
        archived_at=moment(row.archived_at),
        purged_at=moment(row.purged_at),
    )
