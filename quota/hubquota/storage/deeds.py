"""What people decided that is no line of the journal, newest first, from the tables where each is kept.

On a connection whose transaction somebody else opened.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, literal, or_, select

from hubquota.models.clusters import cluster_of
from hubquota.models.limit_letters import limits_text
from hubquota.models.money import format_credits
from hubquota.models.overrides import Overridden
from hubquota.models.reading import AuditQuery, Deed, DeedKind, Place
from hubquota.models.words import number_text
from hubquota.storage.tables import (
    account,
    cap,
    instruction,
    lease,
    membership,
    override,
    purge_event,
    purge_hold,
    request,
)
from hubquota.storage.times import moment, seconds

_Row = Row[*tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class _Source:
    """One kind of deed in one table."""

    kind: DeedKind
    #: Its rows, with the account's name as `account`.
    rows: Select[Any]
    id: ColumnElement[Any]
    at: ColumnElement[Any]
    actor: ColumnElement[Any]
    reason: ColumnElement[Any]
    #: What was done, in words.
    told: Callable[[_Row], str]


def _of_account(table: Any) -> Select[Any]:
    return select(table, account.c.name.label("account")).join_from(
        table, account, table.c.account_id == account.c.id
    )


def _override(row: _Row) -> str:
    whom = f" for {row.person}" if row.person else ""
    if row.withdraws_id is not None:
        return f"Override {row.withdraws_id} withdrawn"
    limits = limits_text(Overridden.model_validate_json(row.limits))
    return f"Override {row.id}{whom} until {moment(row.until_at):%Y-%m-%d}: {limits}"


def _cap(row: _Row) -> str:
    parts = [] if row.credits is None else [f"{format_credits(row.credits)} credits"]
    parts += [] if row.workers is None else [number_text(row.workers, "worker")]
    return f"Cap of {row.member}: {' and '.join(parts)}" if parts else f"Cap of {row.member} lifted"


def _cluster(row: _Row) -> str:
    name = cluster_of(row.key)
    return (
        f"Cluster {name} stopped"
        if row.most is None
        else f"Cluster {name} kept to {number_text(row.most, 'worker')}"
    )


#: The order of deeds of one second. The journal's lines come before them.
_SOURCES: tuple[_Source, ...] = (
    _Source(
        "override",
        _of_account(override),
        override.c.id,
        override.c.at,
        override.c.actor,
        override.c.reason,
        _override,
    ),
    _Source("cap", _of_account(cap), cap.c.id, cap.c.at, cap.c.actor, cap.c.reason, _cap),
    _Source(
        "cluster",
        select(instruction, lease.c.key, account.c.name.label("account"))
        .join_from(instruction, lease, instruction.c.lease_id == lease.c.id)
        .join(account, lease.c.account_id == account.c.id),
        instruction.c.id,
        instruction.c.at,
        instruction.c.actor,
        instruction.c.reason,
        _cluster,
    ),
    _Source(
        "hold",
        _of_account(purge_hold).where(purge_hold.c.lifted_at.is_not(None)),
        purge_hold.c.id,
        purge_hold.c.lifted_at,
        purge_hold.c.lifted_by,
        func.coalesce(purge_hold.c.lifted_reason, ""),
        lambda _row: "Hold lifted",
    ),
    _Source(
        "hold",
        _of_account(purge_hold),
        purge_hold.c.id,
        purge_hold.c.placed_at,
        purge_hold.c.placed_by,
        purge_hold.c.reason,
        lambda _row: "Put on hold: nothing of it is purged",
    ),
    _Source(
        "purge",
        select(purge_event).where(purge_event.c.kind.in_(("approve", "cancel"))),
        purge_event.c.id,
        purge_event.c.at,
        purge_event.c.actor,
        purge_event.c.text,
        lambda row: f"Plan {row.plan_id} {'approved' if row.kind == 'approve' else 'cancelled'}",
    ),
    _Source(
        "request",
        _of_account(request).where(request.c.decision == "denied"),
        request.c.id,
        request.c.decided_at,
        request.c.decided_by,
        func.coalesce(request.c.decision_reason, ""),
        lambda row: f"Request {row.id} denied",
    ),
    _Source(
        "member",
        _of_account(membership),
        membership.c.id,
        membership.c.since_at,
        membership.c.actor,
        literal(""),
        lambda row: f"{row.member} became {'a PI' if row.role == 'pi' else 'a member'}",
    ),
    _Source(
        "member",
        _of_account(membership).where(membership.c.until_at.is_not(None)),
        membership.c.id,
        membership.c.until_at,
        func.coalesce(membership.c.ended_by, ""),
        literal(""),
        lambda row: f"{row.member} is no longer {'a PI' if row.role == 'pi' else 'a member'}",
    ),
)


def deeds(
    connection: Connection, query: AuditQuery, *, limit: int, before: Place | None
) -> list[tuple[Place, Deed]]:
    """Return deeds, newest first, each with its place.

    Args:
        connection: the transaction.
        query: by whom, within which time, and of which kind; "acts" for all.
        limit: how many at most.
        before: only what comes after this place in the list.
    """
    found: list[tuple[Place, Deed]] = []
    for rank, source in _wanted(query):
        statement = _after(_statement(source, query), source, rank, before)
        rows = connection.execute(statement.order_by(source.at.desc(), source.id.desc()).limit(limit))
        found += [(Place(row.done_at, rank, row.id), _view(source, row)) for row in rows]
    return sorted(found, key=lambda one: one[0].order)[:limit]


def every(query: AuditQuery) -> list[tuple[Select[Any], Callable[[_Row], Deed]]]:
    """Return statements that find all deeds, each the oldest first, and what makes a deed of their rows."""
    return [
        (_statement(source, query).order_by(source.at, source.id), partial(_view, source))
        for _, source in _wanted(query)
    ]


def _wanted(query: AuditQuery) -> list[tuple[int, _Source]]:
    """Return the sources that a query asks for, each with its rank within a second."""
    return [(rank, one) for rank, one in enumerate(_SOURCES, 1) if query.kind in ("acts", one.kind)]


def _statement(source: _Source, query: AuditQuery) -> Select[Any]:
    statement = source.rows.add_columns(
        source.at.label("done_at"), source.actor.label("done_by"), source.reason.label("why")
    )
    if query.actor is not None:
        statement = statement.where(source.actor == query.actor)
    if query.since is not None:
        statement = statement.where(source.at >= seconds(query.since))
    if query.until is not None:
        statement = statement.where(source.at < seconds(query.until))
    return statement


def _after(statement: Select[Any], source: _Source, rank: int, before: Place | None) -> Select[Any]:
    """Return a statement that finds only what comes after a place in the list."""
    if before is None:
        return statement
    if rank > before.rank:
        return statement.where(source.at <= before.at)
    if rank < before.rank:
        return statement.where(source.at < before.at)
    return statement.where(or_(source.at < before.at, and_(source.at == before.at, source.id < before.id)))


def _view(source: _Source, row: _Row) -> Deed:
    return Deed(
        kind=source.kind,
        at=moment(row.done_at),
        account=getattr(row, "account", None),
        text=source.told(row),
        actor=row.done_by,
        reason=row.why,
    )
