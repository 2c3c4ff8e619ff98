"""Accounts and the members of projects, on a connection whose transaction somebody else opened."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, func, insert, or_, select, true, update
from sqlalchemy.dialects import postgresql, sqlite

from hubquota.models.ledger import Account, AccountKind, Member, Role
from hubquota.storage.parts import add_parts
from hubquota.storage.prepared import Prepared, among
from hubquota.storage.tables import account, allocation, membership
from hubquota.storage.times import moment


@dataclass(slots=True)
class Owner:
    """An account in the middle of a decision: its balance moves as lines are posted."""

    id: int
    name: str
    kind: AccountKind
    #: The tier that it was opened on.
    tier: str
    balance: int
    created_at: int


#: The columns of an `Owner`.
OWNER = account.c.id, account.c.name, account.c.kind, account.c.tier, account.c.balance, account.c.created_at
_accounts = select(*OWNER)
_by_name = Prepared(_accounts.where(account.c.name == bindparam("name")))
_by_name_locked = Prepared(_accounts.where(account.c.name == bindparam("name")).with_for_update())
_by_id_locked = Prepared(_accounts.where(account.c.id == bindparam("account_id")).with_for_update())
_add = {
    name: Prepared(
        dialect.insert(account).on_conflict_do_nothing(index_elements=[account.c.name]).returning(account.c.id),
        columns=("name", "kind", "tier", "balance", "created_at"),
    )
    for name, dialect in (("sqlite", sqlite), ("postgresql", postgresql))
}
_insert = Prepared(insert(account), columns=("name", "kind", "tier", "balance", "created_at"))
_by_names = Prepared(_accounts.where(among(account.c.name, "names")).order_by(account.c.id))
_by_names_locked = Prepared(
    _accounts.where(among(account.c.name, "names")).order_by(account.c.id).with_for_update()
)
_by_ids_locked = Prepared(_accounts.where(among(account.c.id, "ids")).order_by(account.c.id).with_for_update())
_roles = Prepared(
    select(membership.c.account_id, membership.c.member, membership.c.role).where(
        among(membership.c.account_id, "ids"),
        among(membership.c.member, "people"),
        membership.c.until_at.is_(None),
    )
)
_role = Prepared(
    select(membership.c.role).where(
        membership.c.account_id == bindparam("account_id"),
        membership.c.member == bindparam("member"),
        membership.c.until_at.is_(None),
    )
)


def find(connection: Connection, name: str) -> Owner | None:
    """Return the account of that name."""
    return _owner(_by_name.first(connection, name=name))


def lock(connection: Connection, name: str) -> Owner | None:
    """Return the account of that name; nobody else decides about it until the transaction's end."""
    return _owner(_by_name_locked.first(connection, name=name))


def lock_id(connection: Connection, account_id: int) -> Owner:
    """Return the account of that number; nobody else decides about it until the transaction's end."""
    owner = _owner(_by_id_locked.first(connection, account_id=account_id))
    assert owner is not None
    return owner


def find_all(connection: Connection, names: Collection[str]) -> list[Owner]:
    """Return the accounts of these names, in the order of their numbers; not those of which there is none."""
    return [Owner(*row) for row in _by_names.tuples(connection, names=list(names))]


def lock_names(connection: Connection, names: Collection[str]) -> dict[int, Owner]:
    """As `lock_ids`, of accounts of these names; not those of which there is none."""
    return {row[0]: Owner(*row) for row in _by_names_locked.tuples(connection, names=list(names))}


def lock_ids(connection: Connection, account_ids: Collection[int]) -> dict[int, Owner]:
    """Lock accounts in the order of their numbers, so that no two who do so wait for each other."""
    return {row[0]: Owner(*row) for row in _by_ids_locked.tuples(connection, ids=list(account_ids))}


def add(connection: Connection, *, name: str, kind: AccountKind, tier: str, now: int) -> bool:
    """Add an account with nothing on it. Return False if there is one of that name already."""
    values = {"name": name, "kind": kind, "tier": tier, "balance": 0, "created_at": now}
    added = _add[connection.dialect.name].first(connection, **values)
    if added is None:
        return False
    add_parts(connection, [(added.id, name)])
    return True


def add_users(connection: Connection, users: Mapping[str, str], now: int) -> list[Owner]:
    """Add users' accounts with nothing on them, in the order of their names; return those that were not there.

    Args:
        connection: a decision's.
        users: the tier that each is opened on, by their names.
        now: the time.
    """
    # In one order, so that no two who open the same ones wait for each other.
    names = sorted(users)
    if connection.dialect.name == "postgresql":
        # Others may be opening them: which are ours is what each insert says.
        added = [name for name in names if add(connection, name=name, kind="user", tier=users[name], now=now)]
        return list(lock_names(connection, added).values())
    there = {owner.name for owner in find_all(connection, names)}
    new = [name for name in names if name not in there]
    _insert.add(connection, [(name, "user", users[name], 0, now) for name in new])
    owners = find_all(connection, new)
    add_parts(connection, [(owner.id, owner.name) for owner in owners])
    return owners


def view(connection: Connection, owner: Owner, now: int) -> Account:
    """Return an account as its readers see it."""
    # On the way of every start, so without a list of accounts in the statements.
    found = _paying_tiers.all(connection, account_id=owner.id, now=now)
    if not found:
        found = _newest_tier.all(connection, account_id=owner.id)
    return view_on(owner, [row.tier for row in found] or [owner.tier])


def views(connection: Connection, owners: Sequence[Owner], now: int) -> list[Account]:
    """Return accounts as their readers see them, with the tiers that they are on now."""
    tiers: dict[int, list[str]] = {}
    last: dict[int, str] = {}
    ids = [owner.id for owner in owners]
    paying = select(allocation.c.account_id, allocation.c.tier).where(allocation.c.account_id.in_(ids), pays(now))
    for row in connection.execute(paying.order_by(allocation.c.id)):
        tiers.setdefault(row.account_id, []).append(row.tier)
    if without := [number for number in ids if number not in tiers]:
        newest = (
            select(func.max(allocation.c.id))
            .where(allocation.c.account_id.in_(without))
            .group_by(allocation.c.account_id)
        )
        found = select(allocation.c.account_id, allocation.c.tier).where(allocation.c.id.in_(newest))
        last = {row.account_id: row.tier for row in connection.execute(found)}
    return [view_on(owner, tiers.get(owner.id, [last.get(owner.id, owner.tier)])) for owner in owners]


def view_on(owner: Owner, tiers: Sequence[str]) -> Account:
    """Return an account as its readers see it, on some tiers, of which each may be there more than once."""
    return Account(
        id=owner.id,
        name=owner.name,
        kind=owner.kind,
        tiers=tuple(dict.fromkeys(tiers)),
        balance=owner.balance,
        created_at=moment(owner.created_at),
    )


def pays(now: int | ColumnElement[int]) -> Any:
    """Return the condition that an allocation can pay at a moment."""
    return and_(
        allocation.c.lapsed_at.is_(None),
        allocation.c.suspended_at.is_(None),
        or_(allocation.c.start_at <= now, allocation.c.start_at <= allocation.c.granted_at),
        or_(allocation.c.end_at.is_(None), allocation.c.end_at > now),
    )


_paying_tiers = Prepared(
    select(allocation.c.tier)
    .where(
        allocation.c.account_id == bindparam("account_id"),
        pays(bindparam("now", type_=allocation.c.start_at.type)),
    )
    .order_by(allocation.c.id)
)
_newest_tier = Prepared(
    select(allocation.c.tier)
    .where(allocation.c.account_id == bindparam("account_id"))
    .order_by(allocation.c.id.desc())
    .limit(1)
)


# Members of projects -----------------------------------------------------------------------------------


def role_of(connection: Connection, account_id: int, member: str) -> Role | None:
    """Return what somebody is in a project now."""
    found = _role.first(connection, account_id=account_id, member=member)
    return None if found is None else found.role


def roles(
    connection: Connection, account_ids: Collection[int], people: Collection[str]
) -> dict[tuple[int, str], Role]:
    """Return what some people are in some projects now, by the project's number and their name."""
    found = _roles.all(connection, ids=list(account_ids), people=list(people))
    return {(row.account_id, row.member): row.role for row in found}


def add_member(connection: Connection, account_id: int, *, member: str, role: Role, now: int, actor: str) -> int:
    """Make somebody part of a project; return the number of that."""
    statement = insert(membership).values(
        account_id=account_id, member=member, role=role, since_at=now, actor=actor
    )
    return int(connection.execute(statement.returning(membership.c.id)).scalar_one())


def end_membership(connection: Connection, account_id: int, member: str, now: int, *, actor: str) -> int | None:
    """End somebody's part in a project. Return the number of that; None if they had none."""
    ended = update(membership).where(
        membership.c.account_id == account_id, membership.c.member == member, membership.c.until_at.is_(None)
    )
    statement = ended.values(until_at=now, ended_by=actor).returning(membership.c.id)
    found: int | None = connection.execute(statement).scalar_one_or_none()
    return found


def members(connection: Connection, account_id: int, *, former: bool) -> list[Member]:
    """Return who is in a project, and with `former` who was."""
    statement = (
        select(membership, account.c.name.label("project"))
        .join_from(membership, account)
        .where(
            membership.c.account_id == account_id,
            true() if former else membership.c.until_at.is_(None),
        )
        .order_by(membership.c.member, membership.c.id)
    )
    return [
        Member(row.project, row.member, row.role, moment(row.since_at), moment(row.until_at))
        for row in connection.execute(statement)
    ]


def readers(connection: Connection, owners: Iterable[Owner]) -> dict[int, list[str]]:
    """Return for each account who is told about it: a user themselves, the PIs of a project."""
    found: dict[int, list[str]] = {}
    projects: list[int] = []
    for owner in owners:
        found[owner.id] = [owner.name] if owner.kind == "user" else []
        if owner.kind == "project":
            projects.append(owner.id)
    if projects:
        leading = select(membership.c.account_id, membership.c.member).where(
            membership.c.account_id.in_(projects), membership.c.role == "pi", membership.c.until_at.is_(None)
        )
        for row in connection.execute(leading.order_by(membership.c.member)):
            found[row.account_id].append(row.member)
    return found


def membership_of(connection: Connection, account_id: int, member: str) -> tuple[Role, str] | None:
    """Return what somebody is in a project now, and who made them that."""
    row = connection.execute(
        select(membership.c.role, membership.c.actor).where(
            membership.c.account_id == account_id,
            membership.c.member == member,
            membership.c.until_at.is_(None),
        )
    ).one_or_none()
    return None if row is None else (row.role, row.actor)


def memberships_of(connection: Connection, member: str) -> list[tuple[str, Role, str]]:
    """Return the projects that somebody is in now, what they are in each, and who made them that."""
    statement = (
        select(account.c.name, membership.c.role, membership.c.actor)
        .join_from(membership, account)
        .where(membership.c.member == member, membership.c.until_at.is_(None))
    )
    return [(row.name, row.role, row.actor) for row in connection.execute(statement)]


def memberships_by(connection: Connection, actor: str) -> list[tuple[str, str]]:
    """Return the projects and members whose memberships somebody opened, and that last."""
    statement = (
        select(account.c.name, membership.c.member)
        .join_from(membership, account)
        .where(membership.c.actor == actor, membership.c.until_at.is_(None))
        .order_by(account.c.name, membership.c.member)
    )
    return [(row.name, row.member) for row in connection.execute(statement)]


def drawable(connection: Connection, person: str) -> Iterable[Owner]:
    """Return the accounts that somebody may draw on: their own, then their projects by name."""
    own = find(connection, person)
    if own is not None and own.kind == "user":
        yield own
    projects = (
        _accounts.join_from(account, membership, membership.c.account_id == account.c.id)
        .where(membership.c.member == person, membership.c.until_at.is_(None))
        .order_by(account.c.name)
    )
    for row in connection.execute(projects):
        yield _owner_of(row)


def _owner(row: Any) -> Owner | None:
    return None if row is None else _owner_of(row)


def _owner_of(row: Any) -> Owner:
    return Owner(row.id, row.name, row.kind, row.tier, row.balance, row.created_at)
