"""Leases, their segments and their holds, on a connection whose transaction somebody else opened."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    and_,
    bindparam,
    func,
    insert,
    or_,
    select,
    true,
    update,
)

from hubquota.models.ledger import Lease, Segment
from hubquota.models.stops import EndKind
from hubquota.storage import holds
from hubquota.storage.holds import HELD
from hubquota.storage.prepared import Prepared, among
from hubquota.storage.tables import account, lease, segment
from hubquota.storage.times import moment

#: SQLite allows so many values in a statement at least; keys are sent in groups of this size.
_GROUP = 500

_leases = select(
    lease.c.id,
    lease.c.account_id,
    account.c.name.label("account"),
    lease.c.person,
    lease.c.kind,
    lease.c.key,
    lease.c.label,
    lease.c.rate,
    HELD.label("held"),
    lease.c.admitted_at,
    lease.c.started_at,
    lease.c.seen_at,
    lease.c.settled_at,
    lease.c.ended_at,
    lease.c.charged,
    lease.c.reason,
    lease.c.end_kind,
).join_from(lease, account)
_open = lease.c.ended_at.is_(None)

_of_lease = lease.c.id == bindparam("lease_id")
_its_last_segment = and_(segment.c.lease_id == bindparam("owner"), segment.c.until_at.is_(None))

_by_id = Prepared(_leases.where(_of_lease))
_by_id_locked = Prepared(_leases.where(_of_lease).with_for_update(of=lease))
_by_ids = Prepared(_leases.where(among(lease.c.id, "ids")))
_by_ids_locked = Prepared(_leases.where(among(lease.c.id, "ids")).order_by(lease.c.id).with_for_update(of=lease))
_owner_by_id = Prepared(select(lease.c.account_id).where(_of_lease))
_open_by_key = Prepared(_leases.where(lease.c.key == bindparam("key"), _open))
_running_of = Prepared(
    _leases.where(lease.c.account_id == bindparam("account_id"), _open, lease.c.started_at.is_not(None))
    .order_by(lease.c.id)
    .with_for_update(of=lease)
)
_running_on = Prepared(
    select(lease.c.account_id).where(among(lease.c.account_id, "ids"), _open, lease.c.started_at.is_not(None))
)
_open_by_keys = Prepared(_leases.where(among(lease.c.key, "keys"), _open))
_new = ("account_id", "person", "kind", "key", "label", "rate", "admitted_at", "charged")
_add = Prepared(insert(lease).returning(lease.c.id), columns=_new)
_add_numbered = Prepared(insert(lease), columns=("id", *_new))
_last_number = Prepared(select(func.max(lease.c.id).label("number")))
_add_segment = Prepared(insert(segment), columns=("lease_id", "rate", "from_at", "charged"))
_begin = Prepared(update(lease).where(_of_lease).values(started_at=bindparam("at"), settled_at=bindparam("at")))
_settle = Prepared(
    update(lease).where(_of_lease).values(settled_at=bindparam("at"), charged=lease.c.charged + bindparam("cost"))
)
_set_rate = Prepared(update(lease).where(_of_lease).values(rate=bindparam("new_rate")))
_charge_segment = Prepared(
    update(segment).where(_its_last_segment).values(charged=segment.c.charged + bindparam("cost"))
)
_end_segment = Prepared(
    update(segment)
    .where(_its_last_segment)
    .values(until_at=bindparam("at"), charged=segment.c.charged + bindparam("cost"))
)
_ended: dict[str, Any] = {"ended_at": bindparam("at"), "reason": bindparam("why"), "end_kind": bindparam("word")}
_end = Prepared(update(lease).where(_of_lease).values(_ended))
_end_charged = Prepared(
    update(lease)
    .where(_of_lease)
    .values(_ended | {"settled_at": bindparam("at"), "charged": lease.c.charged + bindparam("cost")})
)

#: What a lease is added with: its account's number, the person, the kind, the key, the label, the rate, when it
#: was admitted, and what is charged, which is zero.
NewLease = tuple[int, str, str, str, str, int, int, int]


def add(
    connection: Connection,
    account_id: int,
    *,
    person: str,
    kind: str,
    key: str,
    label: str,
    rate: int,
    now: int,
) -> int:
    """Add an open lease that has not begun; return its number."""
    added = _add.first(
        connection,
        account_id=account_id,
        person=person,
        kind=kind,
        key=key,
        label=label,
        rate=rate,
        admitted_at=now,
        charged=0,
    )
    return int(added.id)


def add_many(connection: Connection, rows: Sequence[NewLease]) -> list[int]:
    """Add open leases that have not begun; return their numbers in the same order."""
    if connection.dialect.name == "postgresql":
        return [int(row.id) for row in _add.add_returning(connection, rows)]
    # Nobody else can write meanwhile, and leases are never deleted: so these numbers are the next ones.
    first = (_last_number.first(connection).number or 0) + 1
    _add_numbered.add(connection, [(number, *row) for number, row in enumerate(rows, first)])
    return list(range(first, first + len(rows)))


def owner_of(connection: Connection, lease_id: int) -> int | None:
    """Return the number of the account that a lease belongs to; it never changes."""
    found = _owner_by_id.first(connection, lease_id=lease_id)
    return None if found is None else found.account_id


def find(connection: Connection, lease_id: int, now: int, *, lock: bool = False) -> Lease | None:
    """Return the lease of that number."""
    statement = _by_id_locked if lock else _by_id
    row = statement.first(connection, lease_id=lease_id, now=now)
    return None if row is None else _view(row)


def find_many(
    connection: Connection, lease_ids: Collection[int], now: int, *, lock: bool = False
) -> dict[int, tuple[Lease, int]]:
    """Return by its number each of these leases, with the number of its account."""
    statement = _by_ids_locked if lock else _by_ids
    return {
        row.id: (_view(row), row.account_id) for row in statement.all(connection, ids=list(lease_ids), now=now)
    }


def find_open(connection: Connection, key: str, now: int) -> tuple[Lease, int] | None:
    """Return the open lease that has the key, with the number of its account."""
    row = _open_by_key.first(connection, key=key, now=now)
    return None if row is None else (_view(row), row.account_id)


def open_by_keys(connection: Connection, keys: Collection[str], now: int) -> dict[str, tuple[Lease, int]]:
    """Return by its key each open lease that has one of these, with the number of its account."""
    return {
        row.key: (_view(row), row.account_id) for row in _open_by_keys.all(connection, keys=list(keys), now=now)
    }


def open_of(connection: Connection, account_id: int, now: int) -> list[Lease]:
    """Return an account's open leases that run, locked, in the order of their admission."""
    return [_view(row) for row in _running_of.all(connection, account_id=account_id, now=now)]


def running_on(connection: Connection, account_ids: Collection[int]) -> set[int]:
    """Return which of some accounts have an open lease that runs."""
    return {number for (number,) in _running_on.tuples(connection, ids=list(account_ids))}


def list_open(
    connection: Connection, now: int, *, kind: str | None, owner: str | None, person: str | None
) -> list[Lease]:
    """Return open leases in the order of their admission."""
    return _list(
        connection,
        _leases.where(
            _open,
            lease.c.kind == kind if kind is not None else true(),
            account.c.name == owner if owner is not None else true(),
            lease.c.person == person if person is not None else true(),
        ).order_by(lease.c.id),
        now,
    )


def list_ended(connection: Connection, account_id: int, limit: int, now: int) -> list[Lease]:
    """Return an account's latest leases that have ended, newest first."""
    return _list(
        connection,
        _leases.where(lease.c.account_id == account_id, lease.c.ended_at.is_not(None))
        .order_by(lease.c.ended_at.desc(), lease.c.id.desc())
        .limit(limit),
        now,
    )


def list_ended_of(
    connection: Connection, person: str, kind: str, limit: int, before: int | None, now: int
) -> list[Lease]:
    """Return a person's leases of a kind that have ended, the newest admission first, from before a number."""
    return _list(
        connection,
        _leases.where(
            lease.c.person == person,
            lease.c.kind == kind,
            lease.c.ended_at.is_not(None),
            lease.c.id < before if before is not None else true(),
        )
        .order_by(lease.c.id.desc())
        .limit(limit),
        now,
    )


def of_ids(connection: Connection, lease_ids: Sequence[int], now: int) -> list[Lease]:
    """Return the leases of these numbers."""
    return _list(connection, _leases.where(lease.c.id.in_(lease_ids)), now)


def list_waiting(connection: Connection, *, before: int, limit: int) -> list[int]:
    """Return leases that were admitted before or at a time and have not begun."""
    statement = select(lease.c.id).where(_open, lease.c.started_at.is_(None), lease.c.admitted_at <= before)
    return list(connection.scalars(statement.order_by(lease.c.admitted_at).limit(limit)))


def count_waiting(connection: Connection, before: int) -> int:
    """Return how many leases `list_waiting` would list."""
    waiting = (_open, lease.c.started_at.is_(None), lease.c.admitted_at <= before)
    return int(connection.execute(select(func.count()).select_from(lease).where(*waiting)).scalar_one())


def begin_many(connection: Connection, rows: Sequence[tuple[int, int, int, int, int]]) -> None:
    """Note when leases began, and what their holds cover from there.

    Args:
        connection: a decision's.
        rows: of each lease its number, its rate, when it began, until when its holds cover it, and their expiry.
    """
    _begin.run_many(connection, [{"lease_id": number, "at": at} for number, _, at, _, _ in rows])
    holds.move_many(connection, [(number, covered, expiry) for number, _, _, covered, expiry in rows])
    _add_segment.add(connection, [(number, rate, at, 0) for number, rate, at, _, _ in rows])


def add_segment(connection: Connection, lease_id: int, *, rate: int, at: int) -> None:
    """Add the part of a lease in which it costs a rate."""
    _add_segment.run(connection, lease_id=lease_id, rate=rate, from_at=at, charged=0)


def settle(connection: Connection, lease_id: int, *, at: int, cost: int) -> None:
    """Note that a lease is charged up to a time."""
    _settle.run(connection, lease_id=lease_id, at=at, cost=cost)
    if cost:
        _charge_segment.run(connection, owner=lease_id, cost=cost)


def change_rate(connection: Connection, lease_id: int, *, rate: int, at: int | None) -> None:
    """Change what a lease costs; from a time on, if it runs."""
    _set_rate.run(connection, lease_id=lease_id, new_rate=rate)
    if at is not None:
        _end_segment.run(connection, owner=lease_id, at=at, cost=0)
        add_segment(connection, lease_id, rate=rate, at=at)


def end(
    connection: Connection, lease_id: int, *, at: int, reason: str, kind: EndKind | None, cost: int | None
) -> None:
    """End a lease, and let go of what is held for it.

    Args:
        connection: a decision's.
        lease_id: the lease's number.
        at: when it ended.
        reason: why.
        kind: the same as a word for programs.
        cost: what it is charged for up to its end; None if it never began.
    """
    if cost is None:
        _end.run(connection, lease_id=lease_id, at=at, why=reason, word=kind)
    else:
        _end_charged.run(connection, lease_id=lease_id, at=at, why=reason, word=kind, cost=cost)
        _end_segment.run(connection, owner=lease_id, at=at, cost=cost)
    holds.drop_all(connection, lease_id)


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


def set_reason(connection: Connection, lease_id: int, reason: str | None, kind: EndKind | None) -> bool:
    """Note why an open lease is about to be stopped. Return False if it is not open."""
    statement = update(lease).where(lease.c.id == lease_id, _open).values(reason=reason, end_kind=kind)
    return connection.execute(statement).rowcount == 1


def last_ended(connection: Connection, person: str, kind: str, key: str | None, now: int) -> Lease | None:
    """Return what a person's latest lease of a kind to end was, or the latest that had a key."""
    statement = _leases.where(
        lease.c.person == person,
        lease.c.ended_at.is_not(None),
        lease.c.kind == kind,
        lease.c.key == key if key is not None else true(),
    ).order_by(lease.c.ended_at.desc(), lease.c.id.desc())
    found = _list(connection, statement.limit(1), now)
    return found[0] if found else None


def find_origin(connection: Connection, origin: str, now: int) -> Lease | None:
    """Return the lease that was made from something outside the ledger, or None."""
    found = _list(connection, _leases.where(lease.c.origin == origin), now)
    return found[0] if found else None


def set_origin(connection: Connection, lease_id: int, origin: str) -> None:
    """Note what outside the ledger a lease was made from."""
    connection.execute(update(lease).where(lease.c.id == lease_id).values(origin=origin))


def paying_accounts(connection: Connection) -> list[tuple[int, str]]:
    """Return the accounts on which something runs that costs, by number and name."""
    statement = (
        select(account.c.id, account.c.name)
        .where(account.c.id.in_(select(lease.c.account_id).where(_open, lease.c.rate > 0)))
        .order_by(account.c.id)
    )
    return [(row.id, row.name) for row in connection.execute(statement)]


def segments(connection: Connection, lease_id: int) -> list[Segment]:
    """Return the parts of a lease between changes of its rate."""
    statement = select(segment).where(segment.c.lease_id == lease_id).order_by(segment.c.id)
    return [
        Segment(row.rate, moment(row.from_at), moment(row.until_at), row.charged)
        for row in connection.execute(statement)
    ]


def _list(connection: Connection, statement: Select[*tuple[Any, ...]], now: int) -> list[Lease]:
    return [_view(row) for row in connection.execute(statement, {"now": now})]


def _view(row: Any) -> Lease:
    return Lease(
        id=row.id,
        account=row.account,
        person=row.person,
        kind=row.kind,
        key=row.key,
        label=row.label,
        rate=row.rate,
        held=int(row.held),
        admitted_at=moment(row.admitted_at),
        started_at=moment(row.started_at),
        seen_at=moment(row.seen_at),
        settled_at=moment(row.settled_at),
        ended_at=moment(row.ended_at),
        charged=row.charged,
        reason=row.reason,
        end_kind=row.end_kind,
    )
