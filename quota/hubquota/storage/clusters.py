"""What clusters are told, and what their workers cost, on a connection whose transaction somebody else opened."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select

from hubquota.models.clusters import Instruction
from hubquota.models.kinds import WORKER
from hubquota.storage.tables import account, instruction, lease
from hubquota.storage.times import moment


def add_instruction(
    connection: Connection, lease_id: int, *, most: int | None, at: int, actor: str, reason: str
) -> Instruction:
    """Add what an administrator says of a cluster."""
    row = connection.execute(
        insert(instruction)
        .values(lease_id=lease_id, most=most, at=at, actor=actor, reason=reason)
        .returning(instruction)
    ).one()
    return _view(row)


def last_instructions(connection: Connection, lease_ids: Collection[int]) -> dict[int, Instruction]:
    """Return what was said last of each of some leases; those of which nothing was said are left out."""
    if not lease_ids:
        return {}
    newest = (
        select(func.max(instruction.c.id))
        .where(instruction.c.lease_id.in_(lease_ids))
        .group_by(instruction.c.lease_id)
    )
    rows = connection.execute(select(instruction).where(instruction.c.id.in_(newest)))
    return {row.lease_id: _view(row) for row in rows}


def ended_cost(connection: Connection, owner: str, *, since: int, prefix: str) -> int:
    """Return what was charged for an account's workers that have ended since a time, in units.

    Args:
        connection: the transaction's.
        owner: the account's name.
        since: only those that ended at this time or later, in seconds since 1970.
        prefix: what their keys begin with.
    """
    number = select(account.c.id).where(account.c.name == owner).scalar_subquery()
    statement = select(func.sum(lease.c.charged)).where(
        lease.c.account_id == number,
        lease.c.ended_at >= since,
        lease.c.kind == WORKER,
        func.substr(lease.c.key, 1, len(prefix)) == prefix,
    )
    return int(connection.execute(statement).scalar_one() or 0)


def _view(row: Row[*tuple[Any, ...]]) -> Instruction:
    return Instruction(
        id=row.id, lease_id=row.lease_id, most=row.most, at=moment(row.at), actor=row.actor, reason=row.reason
    )
