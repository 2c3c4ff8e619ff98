"""Finding accounts, on a connection whose transaction somebody else opened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Select, and_, case, exists, func, literal, or_, select, tuple_

from hubquota.models.reading import AccountQuery, AccountState
from hubquota.storage.accounts import Owner, pays
from hubquota.storage.parts import PART_LETTERS
from hubquota.storage.tables import account, account_part, allocation
from hubquota.storage.times import seconds

#: Follows every letter, so that a range up to it holds everything that begins in one way.
_LAST = "\U0010ffff"

_owners = select(
    account.c.id, account.c.name, account.c.kind, account.c.tier, account.c.balance, account.c.created_at
)


def page(
    connection: Connection, query: AccountQuery, *, after: str | None, limit: int, now: int
) -> list[tuple[Owner, str]]:
    """Return accounts in the order that is asked for, each with what to pass as `after` to go on from it.

    With a search and in the order of names, those come first whose matching part comes first.

    Raises:
        ValueError: `after` is none that this order gives.
    """
    if query.order == "name" and query.search:
        return _matching(connection, query, after=after, limit=limit, now=now)
    if query.order == "end":
        return _by_end(connection, query, after=after, limit=limit, now=now)
    statement = _owners.where(*_conditions(query, now))
    if query.search:
        statement = statement.where(_contains(query.search))
    if query.order == "balance":
        # No index: it would have to be written at every charge. This order reads every account's row once.
        if after is not None:
            balance, number = _pair(after)
            statement = statement.where(tuple_(account.c.balance, account.c.id) > tuple_(balance, number))
        statement = statement.order_by(account.c.balance, account.c.id)
        return [(owner, f"{owner.balance}:{owner.id}") for owner in _read(connection, statement.limit(limit))]
    if after is not None:
        statement = statement.where(account.c.name > after)
    statement = statement.order_by(account.c.name)
    return [(owner, owner.name) for owner in _read(connection, statement.limit(limit))]


def states(
    connection: Connection, account_ids: Sequence[int], now: int
) -> dict[int, tuple[AccountState, int | None]]:
    """Return for each account its state and the next end of an open allocation."""
    open_ = and_(allocation.c.lapsed_at.is_(None), or_(allocation.c.end_at.is_(None), allocation.c.end_at > now))
    paying = case((pays(now), 1), else_=0)
    statement = (
        select(
            allocation.c.account_id,
            func.sum(paying).label("paying"),
            func.sum(case((pays(now), allocation.c.balance), else_=0)).label("posted"),
            func.sum(case((allocation.c.suspended_at.is_not(None), 1), else_=0)).label("suspended"),
            func.min(allocation.c.end_at).label("ends"),
        )
        .where(allocation.c.account_id.in_(account_ids), open_)
        .group_by(allocation.c.account_id)
    )
    found: dict[int, tuple[AccountState, int | None]] = dict.fromkeys(account_ids, ("expired", None))
    # Where nothing is open any more, the allocation whose things are nearest says where the account is.
    away = (
        select(allocation.c.account_id, func.count(allocation.c.id) - func.count(allocation.c.purged_at))
        .where(allocation.c.account_id.in_(account_ids))
        .group_by(allocation.c.account_id)
        .having(func.count(allocation.c.id) == func.count(allocation.c.archived_at))
    )
    for number, left in connection.execute(away):
        found[number] = ("archived" if left else "purged", None)
    for row in connection.execute(statement):
        state: AccountState = "approved"
        if row.paying:
            state = "active" if row.posted > 0 else "exhausted"
        elif row.suspended:
            state = "suspended"
        found[row.account_id] = (state, row.ends)
    return found


def _matching(
    connection: Connection, query: AccountQuery, *, after: str | None, limit: int, now: int
) -> list[tuple[Owner, str]]:
    search = query.search.casefold()
    begin = search[:PART_LETTERS]
    key: tuple[str, int] | None = None
    if after is not None:
        part = _first_match(after, search)
        number = connection.execute(select(account.c.id).where(account.c.name == after)).scalar_one_or_none()
        if part is None or number is None:
            raise ValueError("That page does not go on from there: it is of another search.")
        key = part, number
    statement = (
        select(account_part.c.part, *_owners.selected_columns)
        .join_from(account_part, account, account_part.c.account_id == account.c.id)
        .where(account_part.c.part >= begin, account_part.c.part < begin + _LAST, *_conditions(query, now))
        .order_by(account_part.c.part, account_part.c.account_id)
    )
    found: list[tuple[Owner, str]] = []
    chunk = 2 * limit
    while len(found) < limit:
        following = statement
        if key is not None:
            following = statement.where(tuple_(account_part.c.part, account_part.c.account_id) > tuple_(*key))
        rows = connection.execute(following.limit(chunk)).all()
        for part, *values in rows:
            owner = Owner(*values)
            # A name that contains the text more than once is listed where it does first.
            if _first_match(owner.name, search) == part and len(found) < limit:
                found.append((owner, owner.name))
        if len(rows) < chunk:
            break
        key = rows[-1][0], rows[-1][1]
    return found


def _first_match(name: str, search: str) -> str | None:
    folded = name.casefold()
    ends = (folded[start:] for start in range(len(folded)))
    return min((end[:PART_LETTERS] for end in ends if end.startswith(search)), default=None)


def _by_end(
    connection: Connection, query: AccountQuery, *, after: str | None, limit: int, now: int
) -> list[tuple[Owner, str]]:
    sooner = allocation.alias("sooner")
    statement = (
        select(allocation.c.end_at, allocation.c.id.label("number"), *_owners.selected_columns)
        .join_from(allocation, account, allocation.c.account_id == account.c.id)
        .where(
            allocation.c.lapsed_at.is_(None),
            allocation.c.end_at > now,
            # An account is listed once, by the allocation that ends first.
            ~exists().where(
                sooner.c.account_id == allocation.c.account_id,
                sooner.c.lapsed_at.is_(None),
                sooner.c.end_at > now,
                tuple_(sooner.c.end_at, sooner.c.id) < tuple_(allocation.c.end_at, allocation.c.id),
            ),
            *_conditions(query, now),
        )
        .order_by(allocation.c.end_at, allocation.c.id)
    )
    if query.search:
        statement = statement.where(_contains(query.search))
    begin = None if after is None else _pair(after)
    found: list[tuple[Owner, str]] = []
    if begin is None or begin[0]:
        if begin is not None:
            statement = statement.where(tuple_(allocation.c.end_at, allocation.c.id) > tuple_(*begin))
        rows = connection.execute(statement.limit(limit))
        found = [(Owner(*values), f"{end}:{number}") for end, number, *values in rows]
        begin = None
    if len(found) == limit:
        return found
    # Those without an end to come stand last, by name. No end is 0, so that says that a page goes on among them.
    endless = _owners.where(
        ~exists().where(sooner.c.account_id == account.c.id, sooner.c.lapsed_at.is_(None), sooner.c.end_at > now),
        *_conditions(query, now),
    ).order_by(account.c.name)
    if begin is not None:
        last = select(account.c.name).where(account.c.id == begin[1]).scalar_subquery()
        endless = endless.where(account.c.name > last)
    if query.search:
        endless = endless.where(_contains(query.search))
    found += [(owner, f"0:{owner.id}") for owner in _read(connection, endless.limit(limit - len(found)))]
    return found


def _conditions(query: AccountQuery, now: int) -> Iterator[Any]:
    own = allocation.c.account_id == account.c.id
    open_ = and_(
        own, allocation.c.lapsed_at.is_(None), or_(allocation.c.end_at.is_(None), allocation.c.end_at > now)
    )
    if query.kind is not None:
        yield account.c.kind == query.kind
    if query.tier is not None:
        yield _some(own, pays(now), allocation.c.tier == query.tier)
    if query.ending_before is not None:
        yield _some(open_, allocation.c.end_at < seconds(query.ending_before))
    if query.balance_below is not None:
        yield account.c.balance < query.balance_below
    paid = select(func.sum(allocation.c.balance)).where(own, pays(now)).correlate(account).scalar_subquery()
    match query.state:
        case "active":
            yield paid > 0
        case "exhausted":
            yield paid <= 0
        case "suspended":
            yield and_(~_some(own, pays(now)), _some(open_, allocation.c.suspended_at.is_not(None)))
        case "approved":
            yield and_(
                ~_some(own, pays(now)),
                ~_some(open_, allocation.c.suspended_at.is_not(None)),
                _some(open_, literal(1) == 1),
            )
        case "expired":
            yield ~_some(open_, literal(1) == 1)
            yield or_(~_some(own), _some(own, allocation.c.archived_at.is_(None)))
        case "archived":
            yield ~_some(own, allocation.c.archived_at.is_(None))
            yield _some(own, allocation.c.purged_at.is_(None))
        case "purged":
            yield and_(_some(own), ~_some(own, allocation.c.purged_at.is_(None)))


def _some(*conditions: Any) -> Any:
    return select(allocation.c.id).where(*conditions).correlate(account).exists()


def _contains(search: str) -> Any:
    begin = search.casefold()[:PART_LETTERS]
    found = select(account_part.c.account_id).where(
        account_part.c.part >= begin, account_part.c.part < begin + _LAST
    )
    condition = account.c.id.in_(found)
    return (
        condition
        if len(search) <= PART_LETTERS
        else and_(condition, account.c.name.icontains(search, autoescape=True))
    )


def _read(connection: Connection, statement: Select[Any]) -> list[Owner]:
    return [Owner(*row) for row in connection.execute(statement)]


def _pair(after: str) -> tuple[int, int]:
    first, _, second = after.partition(":")
    try:
        pair = int(first), int(second)
    except ValueError:
        pair = None
    if pair is None or max(map(abs, pair)) >= 2**63:
        raise ValueError("That page does not go on from there: it is of another order.")
    return pair
