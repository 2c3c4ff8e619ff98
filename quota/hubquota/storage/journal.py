"""The journal, on a connection whose transaction somebody else opened."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, true, update

from hubquota.models.ledger import Entry, EntryKind
from hubquota.storage.accounts import Owner
from hubquota.storage.prepared import Prepared
from hubquota.storage.tables import account, allocation, entry
from hubquota.storage.times import moment

_entries = select(entry, account.c.name.label("account")).join_from(entry, account)
_by_key = Prepared(_entries.where(entry.c.idempotency_key == bindparam("key")))
_move_account = Prepared(
    update(account)
    .where(account.c.id == bindparam("owner"))
    .values(balance=account.c.balance + bindparam("change"))
)
_move_allocation = Prepared(
    update(allocation)
    .where(allocation.c.id == bindparam("number"))
    .values(balance=allocation.c.balance + bindparam("change"))
    .returning(allocation.c.balance)
)
_add = Prepared(
    insert(entry).returning(entry.c.id),
    columns=(
        "account_id",
        "allocation_id",
        "at",
        "kind",
        "amount",
        "balance_after",
        "allocation_after",
        "end_at",
        "lease_id",
        "actor",
        "reason",
        "idempotency_key",
    ),
)


def add(
    connection: Connection,
    owner: Owner,
    allocation_id: int,
    *,
    at: int,
    kind: EntryKind,
    amount: int,
    actor: str,
    reason: str,
    key: str,
    lease_id: int | None = None,
    end: int | None = None,
) -> Entry:
    """Add a line to the journal and move the balances with it. The account has to be locked."""
    after = _move_allocation.first(connection, number=allocation_id, change=amount).balance
    if amount:
        _move_account.run(connection, owner=owner.id, change=amount)
        owner.balance += amount
    added = _add.first(
        connection,
        account_id=owner.id,
        allocation_id=allocation_id,
        at=at,
        kind=kind,
        amount=amount,
        balance_after=owner.balance,
        allocation_after=after,
        end_at=end,
        lease_id=lease_id,
        actor=actor,
        reason=reason,
        idempotency_key=key,
    )
    return Entry(
        id=added.id,
        account=owner.name,
        allocation_id=allocation_id,
        at=moment(at),
        kind=kind,
        amount=amount,
        balance_after=owner.balance,
        allocation_after=after,
        end=moment(end),
        lease_id=lease_id,
        actor=actor,
        reason=reason,
    )


def find(connection: Connection, key: str) -> Entry | None:
    """Return the line with that idempotency key."""
    row = _by_key.first(connection, key=key)
    return None if row is None else _view(row)


def page(connection: Connection, account_id: int, *, limit: int, before: int | None) -> list[Entry]:
    """Return an account's journal, newest first, from the line before the one numbered `before`."""
    statement = (
        _entries.where(entry.c.account_id == account_id, entry.c.id < before if before is not None else true())
        .order_by(entry.c.id.desc())
        .limit(limit)
    )
    return [_view(row) for row in connection.execute(statement)]


def sums(connection: Connection, account_id: int) -> dict[tuple[int, EntryKind], tuple[int, int]]:
    """Return an account's journal as sums and numbers of lines, by allocation and kind."""
    statement = (
        select(entry.c.allocation_id, entry.c.kind, func.sum(entry.c.amount), func.count())
        .where(entry.c.account_id == account_id)
        .group_by(entry.c.allocation_id, entry.c.kind)
    )
    return {
        (number, kind): (int(amount), int(count)) for number, kind, amount, count in connection.execute(statement)
    }


def granted(connection: Connection, allocation_id: int) -> int:
    """Return what an allocation was opened with, in units."""
    statement = select(entry.c.amount).where(entry.c.allocation_id == allocation_id, entry.c.kind == "grant")
    return int(connection.execute(statement).scalar_one())


def taken(connection: Connection, allocation_id: int, prefix: str) -> int:
    """Return what was taken from an allocation by lines whose keys begin in one way, in units."""
    statement = select(func.sum(entry.c.amount)).where(
        entry.c.allocation_id == allocation_id, entry.c.idempotency_key.startswith(prefix, autoescape=True)
    )
    return -int(connection.execute(statement).scalar_one() or 0)


def spent(connection: Connection, allocation_id: int) -> int:
    """Return what has been charged to an allocation, in units."""
    statement = select(func.sum(entry.c.amount)).where(
        entry.c.allocation_id == allocation_id, entry.c.kind == "charge"
    )
    return -int(connection.execute(statement).scalar_one() or 0)


def _view(row: Any) -> Entry:
    return Entry(
        id=row.id,
        account=row.account,
        allocation_id=row.allocation_id,
        at=moment(row.at),
        kind=row.kind,
        amount=row.amount,
        balance_after=row.balance_after,
        allocation_after=row.allocation_after,
        end=moment(row.end_at),
        lease_id=row.lease_id,
        actor=row.actor,
        reason=row.reason,
    )
