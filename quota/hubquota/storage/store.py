"""The ledger's statements, on a connection whose transaction somebody else opened."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    bindparam,
    case,
    func,
    insert,
    literal,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from hubquota.models.ledger import Account, Entry, EntryKind, Lease, Mismatch
from hubquota.storage.tables import account, entry, lease

#: SQLite allows so many values in a statement at least; keys are sent in groups of this size.
_GROUP = 500

_accounts = select(
    account.c.id, account.c.name, account.c.kind, account.c.tier, account.c.balance, account.c.created_at
)
_leases = select(
    lease.c.id,
    account.c.name.label("account"),
    lease.c.kind,
    lease.c.key,
    lease.c.label,
    lease.c.rate,
    lease.c.set_aside,
    lease.c.admitted_at,
    lease.c.started_at,
    lease.c.seen_at,
    lease.c.ended_at,
    lease.c.charged,
    lease.c.reason,
).join_from(lease, account)
_entries = select(
    entry.c.id,
    account.c.name.label("account"),
    entry.c.at,
    entry.c.kind,
    entry.c.amount,
    entry.c.balance_after,
    entry.c.lease_id,
    entry.c.actor,
    entry.c.reason,
    entry.c.idempotency_key,
).join_from(entry, account)
_open = lease.c.ended_at.is_(None)

_account_by_name = _accounts.where(account.c.name == bindparam("name"))
_account_by_name_locked = _account_by_name.with_for_update()
_lease_by_id = _leases.where(lease.c.id == bindparam("lease_id"))
_lease_by_id_locked = _lease_by_id.with_for_update(of=lease)
_open_lease_by_key = _leases.where(lease.c.key == bindparam("key"), _open)
_open_count = select(func.count()).where(
    lease.c.account_id == bindparam("account_id"), lease.c.kind == bindparam("kind"), _open
)


def _accrued(now: ColumnElement[int]) -> ColumnElement[int]:
    seconds = case((lease.c.started_at < now, now - lease.c.started_at), else_=0)
    return lease.c.rate * seconds


def _held(now: ColumnElement[int]) -> ColumnElement[int]:
    accrued = _accrued(now)
    return case((lease.c.set_aside > accrued, lease.c.set_aside - accrued), else_=0)


_now: ColumnElement[int] = bindparam("now", type_=lease.c.admitted_at.type)
_open_totals = select(func.sum(_accrued(_now)), func.sum(_held(_now))).where(
    lease.c.account_id == bindparam("account_id"), _open
)


def seconds(at: datetime) -> int:
    """Return a time as the database keeps it: whole seconds since 1970, rounded down.

    Raises:
        ValueError: the time has no time zone.
    """
    if at.tzinfo is None:
        raise ValueError("A time without a time zone could be any time: pass one with a zone.")
    return int(at.timestamp() // 1)


def moment(at: int) -> datetime:
    """Return a time that the database keeps as a datetime in UTC."""
    return datetime.fromtimestamp(at, UTC)


def find_account(connection: Connection, name: str, *, lock: bool = False) -> Account | None:
    """Return the account of that name; with `lock`, nobody else decides about it until the end."""
    statement = _account_by_name_locked if lock else _account_by_name
    row = connection.execute(statement, {"name": name}).one_or_none()
    return None if row is None else _account(row)


def add_account(connection: Connection, *, name: str, kind: str, tier: str, now: int) -> bool:
    """Add an account with nothing on it. Return False if there is one of that name already."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = (
        dialect.insert(account)
        .values(name=name, kind=kind, tier=tier, balance=0, created_at=now)
        .on_conflict_do_nothing(index_elements=[account.c.name])
        .returning(account.c.id)
    )
    return connection.execute(statement).one_or_none() is not None


def list_accounts(
    connection: Connection, *, search: str, limit: int, after: str | None, now: int
) -> list[tuple[Account, int, int, int]]:
    """Return accounts by name, each with what its open leases accrued and hold, and their number."""
    moment_now = literal(now, lease.c.admitted_at.type)
    running = (
        select(
            lease.c.account_id,
            func.sum(_accrued(moment_now)).label("accrued"),
            func.sum(_held(moment_now)).label("held"),
            func.count().label("number"),
        )
        .where(_open)
        .group_by(lease.c.account_id)
        .subquery()
    )
    statement = (
        _accounts.add_columns(running.c.accrued, running.c.held, running.c.number)
        .outerjoin(running, running.c.account_id == account.c.id)
        .where(
            account.c.name.icontains(search, autoescape=True) if search else true(),
            account.c.name > after if after is not None else true(),
        )
        .order_by(account.c.name)
        .limit(limit)
    )
    return [
        (_account(row), int(row.accrued or 0), int(row.held or 0), int(row.number or 0))
        for row in connection.execute(statement)
    ]


def open_totals(connection: Connection, account_id: int, now: int) -> tuple[int, int]:
    """Return what an account's open leases have accrued, and what they hold beyond that."""
    accrued, held = connection.execute(_open_totals, {"account_id": account_id, "now": now}).one()
    return int(accrued or 0), int(held or 0)


def count_open(connection: Connection, account_id: int, kind: str) -> int:
    """Return how many open leases of one kind an account has."""
    found = connection.execute(_open_count, {"account_id": account_id, "kind": kind}).scalar_one()
    return int(found)


def add_lease(
    connection: Connection,
    owner: Account,
    *,
    kind: str,
    key: str,
    label: str,
    rate: int,
    set_aside: int,
    now: int,
) -> Lease:
    """Add an open lease that has not begun."""
    statement = insert(lease).values(
        account_id=owner.id,
        kind=kind,
        key=key,
        label=label,
        rate=rate,
        set_aside=set_aside,
        admitted_at=now,
        charged=0,
    )
    (lease_id,) = cast("tuple[int]", connection.execute(statement).inserted_primary_key)
    return Lease(
        id=lease_id,
        account=owner.name,
        kind=kind,
        key=key,
        label=label,
        rate=rate,
        set_aside=set_aside,
        admitted_at=moment(now),
        started_at=None,
        seen_at=None,
        ended_at=None,
        charged=0,
        reason=None,
    )


def find_lease(connection: Connection, lease_id: int, *, lock: bool = False) -> Lease | None:
    """Return the lease of that number."""
    statement = _lease_by_id_locked if lock else _lease_by_id
    row = connection.execute(statement, {"lease_id": lease_id}).one_or_none()
    return None if row is None else _lease(row)


def find_open_lease(connection: Connection, key: str) -> Lease | None:
    """Return the open lease that has the key."""
    row = connection.execute(_open_lease_by_key, {"key": key}).one_or_none()
    return None if row is None else _lease(row)


def list_open_leases(connection: Connection, *, kind: str | None, owner: str | None) -> list[Lease]:
    """Return open leases in the order of their admission."""
    return _lease_list(
        connection,
        _leases.where(
            _open,
            lease.c.kind == kind if kind is not None else true(),
            account.c.name == owner if owner is not None else true(),
        ).order_by(lease.c.id),
    )


def list_ended_leases(connection: Connection, account_id: int, limit: int) -> list[Lease]:
    """Return an account's latest leases that have ended, newest first."""
    return _lease_list(
        connection,
        _leases.where(lease.c.account_id == account_id, lease.c.ended_at.is_not(None))
        .order_by(lease.c.ended_at.desc(), lease.c.id.desc())
        .limit(limit),
    )


def set_started(connection: Connection, lease_id: int, at: int) -> None:
    """Note when a lease began."""
    connection.execute(
        update(lease).where(lease.c.id == bindparam("lease_id")).values(started_at=bindparam("at")),
        {"lease_id": lease_id, "at": at},
    )


def set_seen(connection: Connection, keys: Sequence[str], at: int) -> int:
    """Note that the open leases of these keys run. Never takes a later sight back. Return how many."""
    touched = 0
    for start in range(0, len(keys), _GROUP):
        chosen = and_(
            lease.c.key.in_(keys[start : start + _GROUP]),
            _open,
            lease.c.started_at <= at,
            or_(lease.c.seen_at.is_(None), lease.c.seen_at < at),
        )
        # Locked in one order, so that two passes over the same leases cannot wait for each other.
        ids = connection.scalars(select(lease.c.id).where(chosen).order_by(lease.c.id).with_for_update())
        wanted = list(ids)
        if wanted:
            connection.execute(update(lease).where(lease.c.id.in_(wanted)).values(seen_at=at))
        touched += len(wanted)
    return touched


def set_reason(connection: Connection, lease_id: int, reason: str | None) -> bool:
    """Note why an open lease is about to be stopped. Return False if it is not open."""
    changed = connection.execute(update(lease).where(lease.c.id == lease_id, _open).values(reason=reason)).rowcount
    return changed == 1


def end_lease(connection: Connection, lease_id: int, *, at: int, charged: int, reason: str) -> None:
    """End a lease."""
    connection.execute(
        update(lease)
        .where(lease.c.id == bindparam("lease_id"))
        .values(ended_at=bindparam("at"), charged=bindparam("charge"), reason=bindparam("why")),
        {"lease_id": lease_id, "at": at, "charge": charged, "why": reason},
    )


def add_entry(
    connection: Connection,
    owner: Account,
    *,
    at: int,
    kind: EntryKind,
    amount: int,
    lease_id: int | None,
    actor: str,
    reason: str,
    key: str,
) -> Entry:
    """Add a line to the journal and move the balance with it. The account has to be locked."""
    balance = owner.balance + amount
    connection.execute(
        update(account).where(account.c.id == bindparam("owner")).values(balance=bindparam("total")),
        {"owner": owner.id, "total": balance},
    )
    statement = insert(entry).values(
        account_id=owner.id,
        at=at,
        kind=kind,
        amount=amount,
        balance_after=balance,
        lease_id=lease_id,
        actor=actor,
        reason=reason,
        idempotency_key=key,
    )
    (entry_id,) = cast("tuple[int]", connection.execute(statement).inserted_primary_key)
    return Entry(
        id=entry_id,
        account=owner.name,
        at=moment(at),
        kind=kind,
        amount=amount,
        balance_after=balance,
        lease_id=lease_id,
        actor=actor,
        reason=reason,
    )


def find_entry(connection: Connection, key: str) -> Entry | None:
    """Return the journal's line with that idempotency key."""
    row = connection.execute(_entries.where(entry.c.idempotency_key == key)).one_or_none()
    return None if row is None else _entry(row)


def list_entries(connection: Connection, account_id: int, *, limit: int, before: int | None) -> list[Entry]:
    """Return an account's journal, newest first, from the line before the one numbered `before`."""
    statement = (
        _entries.where(entry.c.account_id == account_id, entry.c.id < before if before is not None else true())
        .order_by(entry.c.id.desc())
        .limit(limit)
    )
    return [_entry(row) for row in connection.execute(statement)]


def mismatches(connection: Connection) -> list[Mismatch]:
    """Return what does not add up, recomputed from the journal and the leases."""
    found: list[Mismatch] = []

    total = func.coalesce(func.sum(entry.c.amount), 0)
    sums = (
        select(account.c.name, account.c.balance, total)
        .outerjoin_from(account, entry)
        .group_by(account.c.id, account.c.name, account.c.balance)
        .having(total != account.c.balance)
        .order_by(account.c.name)
    )
    for name, balance, expected in connection.execute(sums):
        found.append(Mismatch(name, "balance", int(expected), balance))

    so_far = func.sum(entry.c.amount).over(partition_by=entry.c.account_id, order_by=entry.c.id)
    running = select(account.c.name, entry.c.id, entry.c.balance_after, so_far.label("expected")).join_from(
        entry, account
    )
    chain = running.subquery()
    broken = select(chain).where(chain.c.balance_after != chain.c.expected).order_by(chain.c.id)
    for name, entry_id, after, expected in connection.execute(broken):
        found.append(Mismatch(name, f"entry {entry_id}: balance after", int(expected), after))

    ran = lease.c.rate * func.coalesce(lease.c.ended_at - lease.c.started_at, 0)
    wrong = (
        select(account.c.name, lease.c.id, ran.label("expected"), lease.c.charged)
        .join_from(lease, account)
        .where(lease.c.charged != ran)
        .order_by(lease.c.id)
    )
    for name, lease_id, expected, charged in connection.execute(wrong):
        found.append(Mismatch(name, f"lease {lease_id}: charge", int(expected), charged))

    posted = func.coalesce(func.sum(entry.c.amount), 0)
    unposted = (
        select(account.c.name, lease.c.id, lease.c.charged, posted)
        .join_from(lease, account)
        .outerjoin(entry, and_(entry.c.lease_id == lease.c.id, entry.c.kind == "charge"))
        .group_by(account.c.name, lease.c.id, lease.c.charged)
        .having(posted != -lease.c.charged)
        .order_by(lease.c.id)
    )
    for name, lease_id, charged, amount in connection.execute(unposted):
        found.append(Mismatch(name, f"lease {lease_id}: posted charge", -charged, int(amount)))
    return found


def _lease_list(connection: Connection, statement: Select[*tuple[Any, ...]]) -> list[Lease]:
    return [_lease(row) for row in connection.execute(statement)]


def _account(row: Row[*tuple[Any, ...]]) -> Account:
    return Account(
        id=row.id,
        name=row.name,
        kind=row.kind,
        tier=row.tier,
        balance=row.balance,
        created_at=moment(row.created_at),
    )


def _lease(row: Row[*tuple[Any, ...]]) -> Lease:
    return Lease(
        id=row.id,
        account=row.account,
        kind=row.kind,
        key=row.key,
        label=row.label,
        rate=row.rate,
        set_aside=row.set_aside,
        admitted_at=moment(row.admitted_at),
        started_at=None if row.started_at is None else moment(row.started_at),
        seen_at=None if row.seen_at is None else moment(row.seen_at),
        ended_at=None if row.ended_at is None else moment(row.ended_at),
        charged=row.charged,
        reason=row.reason,
    )


def _entry(row: Row[*tuple[Any, ...]]) -> Entry:
    return Entry(
        id=row.id,
        account=row.account,
        at=moment(row.at),
        kind=row.kind,
        amount=row.amount,
        balance_after=row.balance_after,
        lease_id=row.lease_id,
        actor=row.actor,
        reason=row.reason,
    )
