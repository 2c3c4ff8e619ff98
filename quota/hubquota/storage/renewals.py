"""Previews of many renewals, on a connection whose transaction somebody else opened."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, and_, func, insert, or_, select, true, update
from sqlalchemy.dialects import postgresql, sqlite

from hubquota.models.renewals import Item
from hubquota.storage.tables import account, allocation, renewal, renewal_item, renewal_plan
from hubquota.storage.terms import FOLLOWER, FOLLOWS
from hubquota.storage.times import moment, seconds


@dataclass(frozen=True, slots=True)
class Candidate:
    """An allocation that might be followed by another."""

    id: int
    account_id: int
    account: str
    tier: str
    renewable: bool
    end_at: int | None
    suspended_at: int | None
    revoked_at: int | None
    following: int | None

    @property
    def seen(self) -> str:
        """What a preview knows of it. Another text means that somebody has changed something."""
        facts = [
            self.id,
            self.tier,
            self.renewable,
            self.end_at,
            self.suspended_at,
            self.revoked_at,
            self.following,
        ]
        return json.dumps(facts)


_later = allocation.alias("later")
_ends_before_another = select(_later.c.id).where(
    _later.c.account_id == allocation.c.account_id,
    _later.c.tier == allocation.c.tier,
    _later.c.revoked_at.is_(None),
    or_(
        _later.c.end_at.is_(None),
        _later.c.end_at > allocation.c.end_at,
        and_(_later.c.end_at == allocation.c.end_at, _later.c.id > allocation.c.id),
    ),
)
_candidates = (
    select(
        allocation.c.id,
        allocation.c.account_id,
        account.c.name.label("account"),
        allocation.c.tier,
        allocation.c.renewable,
        allocation.c.end_at,
        allocation.c.suspended_at,
        allocation.c.revoked_at,
        FOLLOWER.c.id.label("following_id"),
    )
    .join_from(allocation, account, allocation.c.account_id == account.c.id)
    .outerjoin(renewal, renewal.c.allocation_id == allocation.c.id)
    .outerjoin(FOLLOWER, FOLLOWS)
)


def ending(
    connection: Connection, *, tier: str | None, since: int, before: int, after: tuple[int, int], limit: int
) -> list[Candidate]:
    """Return allocations that may be renewed and end within some time, in the order of ends and numbers.

    Of an account's allocations of a tier only the one that ends last, whether that is within the time or not.
    """
    statement = (
        _candidates.where(
            allocation.c.lapsed_at.is_(None),
            allocation.c.renewable.is_(True),
            allocation.c.revoked_at.is_(None),
            allocation.c.suspended_at.is_(None),
            FOLLOWER.c.id.is_(None),
            ~_ends_before_another.exists(),
            allocation.c.end_at > since,
            allocation.c.end_at < before,
            true() if tier is None else allocation.c.tier == tier,
            # What ends together goes on by number.
            (allocation.c.end_at > after[0]) | ((allocation.c.end_at == after[0]) & (allocation.c.id > after[1])),
        )
        .order_by(allocation.c.end_at, allocation.c.id)
        .limit(limit)
    )
    return [_candidate(row) for row in connection.execute(statement)]


def named(connection: Connection, names: Collection[str]) -> tuple[set[str], list[Candidate]]:
    """Return which of these names are accounts, and all allocations of those."""
    there = set(connection.execute(select(account.c.name).where(account.c.name.in_(names))).scalars())
    statement = _candidates.where(account.c.name.in_(names)).order_by(allocation.c.id)
    return there, [_candidate(row) for row in connection.execute(statement)]


def by_ids(connection: Connection, numbers: Collection[int]) -> dict[int, Candidate]:
    """Return allocations by their numbers."""
    statement = _candidates.where(allocation.c.id.in_(numbers))
    return {row.id: _candidate(row) for row in connection.execute(statement)}


def save(
    connection: Connection, token: str, items: Sequence[Item], seen: Sequence[str], *, at: int, by: str
) -> None:
    """Keep a preview. One of the same token is the same."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    plan = dialect.insert(renewal_plan).values(token=token, made_at=at, actor=by)
    made = connection.execute(plan.on_conflict_do_nothing().returning(renewal_plan.c.token)).one_or_none()
    if made is None:
        return
    connection.execute(
        insert(renewal_item),
        [
            {
                "token": token,
                "position": item.line,
                "allocation_id": item.allocation,
                "tier": item.tier,
                "amount": item.units,
                "start_at": seconds(item.start),
                "end_at": seconds(item.end),
                "reason": item.reason,
                "seen": what,
            }
            for item, what in zip(items, seen, strict=True)
        ],
    )


def exists(connection: Connection, token: str) -> bool:
    """Return whether there is a preview of that token."""
    statement = select(func.count()).select_from(renewal_plan).where(renewal_plan.c.token == token)
    return bool(connection.execute(statement).scalar_one())


def items(connection: Connection, token: str, *, after: int, limit: int) -> list[tuple[Item, str]]:
    """Return what a preview would do, in order, each with what it saw."""
    statement = (
        select(renewal_item, account.c.name.label("account"))
        .join_from(renewal_item, allocation, renewal_item.c.allocation_id == allocation.c.id)
        .join(account, allocation.c.account_id == account.c.id)
        .where(renewal_item.c.token == token, renewal_item.c.position > after)
        .order_by(renewal_item.c.position)
        .limit(limit)
    )
    return [(_item(row), row.seen) for row in connection.execute(statement)]


def note_done(connection: Connection, token: str, position: int, following: int) -> None:
    """Note that a part of a preview has been carried out."""
    connection.execute(
        update(renewal_item)
        .where(renewal_item.c.token == token, renewal_item.c.position == position)
        .values(following_id=following)
    )


def following_of(connection: Connection, token: str, position: int) -> int | None:
    """Return the allocation that a part of a preview has made, if it has."""
    found: int | None = connection.execute(
        select(renewal_item.c.following_id).where(
            renewal_item.c.token == token, renewal_item.c.position == position
        )
    ).scalar_one()
    return found


def _candidate(row: Row[*tuple[Any, ...]]) -> Candidate:
    return Candidate(
        id=row.id,
        account_id=row.account_id,
        account=row.account,
        tier=row.tier,
        renewable=row.renewable,
        end_at=row.end_at,
        suspended_at=row.suspended_at,
        revoked_at=row.revoked_at,
        following=row.following_id,
    )


def _item(row: Row[*tuple[Any, ...]]) -> Item:
    return Item(
        line=row.position,
        account=row.account,
        allocation=row.allocation_id,
        tier=row.tier,
        units=row.amount,
        start=moment(row.start_at),
        end=moment(row.end_at),
        reason=row.reason,
        following=row.following_id,
    )
