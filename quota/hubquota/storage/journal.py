"""The journal, on a connection whose transaction somebody else opened."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, bindparam, case, func, insert, select, true, update

from hubquota.models.ledger import Entry, EntryKind, ImpossibleError
from hubquota.models.money import FULL
from hubquota.storage.accounts import Owner
from hubquota.storage.prepared import Prepared, among
from hubquota.storage.tables import account, allocation, entry
from hubquota.storage.times import moment

_entries = select(entry, account.c.name.label("account")).join_from(entry, account)
_by_key = Prepared(_entries.where(entry.c.idempotency_key == bindparam("key")))
_by_keys = Prepared(_entries.where(among(entry.c.idempotency_key, "keys")))
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
_set_allocation = Prepared(
    update(allocation).where(allocation.c.id == bindparam("number")).values(balance=bindparam("after"))
)
_add = Prepared(
    insert(entry),
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
) -> None:
    """Add a line to the journal and move the balances with it. The account has to be locked.

    Raises:
        ImpossibleError: the account would have more than a balance can say.
    """
    _move(owner, amount)
    after = _move_allocation.first(connection, number=allocation_id, change=amount).balance
    if amount:
        _move_account.run(connection, owner=owner.id, change=amount)
    row = (
        owner.id,
        allocation_id,
        at,
        kind,
        amount,
        owner.balance,
        after,
        end,
        lease_id,
        actor,
        reason,
        key,
    )
    _add.add(connection, [row])


@dataclass(frozen=True, slots=True)
class Line:
    """A line for many at once: of an account that is locked, with what its allocation has after it."""

    owner: Owner
    allocation_id: int
    allocation_after: int
    kind: EntryKind
    amount: int
    actor: str
    reason: str
    key: str
    end: int | None = None


def add_lines(connection: Connection, lines: Sequence[Line], *, at: int) -> None:
    """Add lines to the journals of many accounts, and move the balances with them; raises what `add` raises."""
    rows: list[tuple[Any, ...]] = []
    for line in lines:
        owner = line.owner
        _move(owner, line.amount)
        rows.append(
            (
                owner.id,
                line.allocation_id,
                at,
                line.kind,
                line.amount,
                owner.balance,
                line.allocation_after,
                line.end,
                None,
                line.actor,
                line.reason,
                line.key,
            )
        )
    moved = [line for line in lines if line.amount]
    _set_allocation.run_many(
        connection, [{"number": line.allocation_id, "after": line.allocation_after} for line in moved]
    )
    _move_account.run_many(connection, [{"owner": line.owner.id, "change": line.amount} for line in moved])
    _add.add(connection, rows)


def _move(owner: Owner, amount: int) -> None:
    if owner.balance + amount > FULL:
        raise ImpossibleError(f"{owner.name} would have more credits than a balance can say.")
    owner.balance += amount


def find(connection: Connection, key: str) -> Entry | None:
    """Return the line with that idempotency key."""
    row = _by_key.first(connection, key=key)
    return None if row is None else view(row)


def find_many(connection: Connection, keys: Collection[str]) -> dict[str, Entry]:
    """Return by its idempotency key each line that has one of these."""
    return {row.idempotency_key: view(row) for row in _by_keys.all(connection, keys=list(keys))}


def page(connection: Connection, account_id: int, *, limit: int, before: int | None) -> list[Entry]:
    """Return an account's journal, newest first, from the line before the one numbered `before`."""
    statement = (
        _entries.where(entry.c.account_id == account_id, entry.c.id < before if before is not None else true())
        .order_by(entry.c.id.desc())
        .limit(limit)
    )
    return [view(row) for row in connection.execute(statement)]


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


def funding(connection: Connection, allocation_ids: Sequence[int]) -> tuple[int, int]:
    """Return what allocations were given in all, in units, and when something was last added to them."""
    given = entry.c.kind.in_(("grant", "supplement", "transfer-in", "transfer-out", "correction"))
    adds = entry.c.kind.in_(("grant", "supplement", "transfer-in", "extension", "resumption"))
    statement = select(
        func.sum(case((given, entry.c.amount), else_=0)), func.max(case((adds, entry.c.at), else_=0))
    ).where(entry.c.allocation_id.in_(allocation_ids))
    amount, at = connection.execute(statement).one()
    return int(amount or 0), int(at or 0)


def granted(connection: Connection, allocation_id: int) -> int:
    """Return what an allocation was opened with, in units."""
    statement = select(entry.c.amount).where(entry.c.allocation_id == allocation_id, entry.c.kind == "grant")
    return int(connection.execute(statement).scalar_one())


def taken(connection: Connection, allocation_ids: Collection[int], prefix: str) -> dict[int, int]:
    """Return what was taken from allocations by lines whose keys begin in one way, in units, where it was."""
    statement = (
        select(entry.c.allocation_id, func.sum(entry.c.amount))
        .where(
            entry.c.allocation_id.in_(allocation_ids),
            entry.c.idempotency_key.startswith(prefix, autoescape=True),
        )
        .group_by(entry.c.allocation_id)
    )
    return {number: -int(amount) for number, amount in connection.execute(statement)}


def last_reason(connection: Connection, allocation_id: int, kind: EntryKind) -> str:
    """Return the reason of an allocation's last line of a kind; nothing where there is none."""
    statement = (
        select(entry.c.reason)
        .where(entry.c.allocation_id == allocation_id, entry.c.kind == kind)
        .order_by(entry.c.id.desc())
        .limit(1)
    )
    return connection.execute(statement).scalar_one_or_none() or ""


def spent(connection: Connection, allocation_id: int) -> int:
    """Return what has been charged to an allocation, in units."""
    statement = select(func.sum(entry.c.amount)).where(
        entry.c.allocation_id == allocation_id, entry.c.kind == "charge"
    )
    return -int(connection.execute(statement).scalar_one() or 0)


def lines() -> Select[*tuple[Any, ...]]:
    """Return the selection of lines that `view` reads, to be narrowed."""
    return _entries


def view(row: Any) -> Entry:
    """Return a line as its readers see it, from a row that has the account's name as `account`."""
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
