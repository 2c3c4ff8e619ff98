"""Allocations that were granted beside another one, on a connection whose transaction somebody else opened.

Where a tier renews itself, one allocation of it does so for an account, and what follows on that one. What is
granted besides is for once: at its end the account has the tier's budget already.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, exists, insert, literal, or_, select

from hubquota.storage.tables import additional, allocation

_base = allocation.alias("base")
_also = additional.alias("also")
_beside = exists().where(
    _base.c.account_id == allocation.c.account_id,
    _base.c.tier == allocation.c.tier,
    _base.c.id < allocation.c.id,
    _base.c.renewable.is_(True),
    _base.c.revoked_at.is_(None),
    or_(_base.c.end_at.is_(None), _base.c.end_at > allocation.c.start_at),
    ~exists().where(_also.c.allocation_id == _base.c.id),
)


def note(connection: Connection, numbers: Collection[int]) -> None:
    """Note which of some new allocations are beside one of the same tier that can be renewed."""
    connection.execute(
        insert(additional).from_select(
            ["allocation_id"], select(allocation.c.id).where(allocation.c.id.in_(numbers), _beside)
        )
    )


def note_following(connection: Connection, number: int, last: int) -> None:
    """Note of a new allocation that it follows another: it is additional where that one is."""
    connection.execute(
        insert(additional).from_select(
            ["allocation_id"], select(literal(number)).where(exists().where(additional.c.allocation_id == last))
        )
    )
