"""Deliveries of notices, and what people have said about them, on somebody else's transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, select, true, update
from sqlalchemy.dialects import postgresql, sqlite

from hubquota.models.delivery import ChannelName, Delivery
from hubquota.models.notices import Notice
from hubquota.storage.notices import view
from hubquota.storage.tables import delivery, notice, notice_address, notice_opt_out
from hubquota.storage.times import moment

_deliveries = select(delivery, notice.c.person, notice.c.kind, notice.c.subject).join_from(delivery, notice)
_open = (delivery.c.sent_at.is_(None), delivery.c.given_up_at.is_(None))


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that is one deliverer's to try, for a while."""

    id: int
    #: How often it has been tried, this time included. Tells a claim from the one after it.
    attempts: int
    channel: ChannelName
    notice: Notice


def unrouted(connection: Connection, *, after: int, limit: int) -> list[Notice]:
    """Return notices of which it has not been decided where they go, in the order in which they were posted."""
    statement = select(notice).where(notice.c.routed_at.is_(None), notice.c.id > after).order_by(notice.c.id)
    return [view(row) for row in connection.execute(statement.limit(limit))]


def opted_out(connection: Connection, people: Collection[str]) -> set[tuple[str, str]]:
    """Return of which kinds people do not want to be sent notices, as pairs of person and kind."""
    statement = select(notice_opt_out.c.person, notice_opt_out.c.kind).where(notice_opt_out.c.person.in_(people))
    return {(row.person, row.kind) for row in connection.execute(statement)}


def route(connection: Connection, routes: Sequence[tuple[int, Sequence[ChannelName]]], *, at: int) -> None:
    """Note by which channels notices go out. Others may do so at the same time."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    rows = [
        {"notice_id": number, "channel": channel, "attempts": 0, "next_try_at": at}
        for number, channels in routes
        for channel in channels
    ]
    if rows:
        connection.execute(dialect.insert(delivery).on_conflict_do_nothing(), rows)
    connection.execute(
        update(notice)
        .where(notice.c.id.in_([number for number, _ in routes]), notice.c.routed_at.is_(None))
        .values(routed_at=at)
    )


def claim(connection: Connection, channels: Collection[ChannelName], *, now: int, until: int) -> Claimed | None:
    """Take the delivery that has waited longest, for one try. Nobody else gets it until the given time."""
    waiting = (
        select(delivery.c.id)
        .where(*_open, delivery.c.next_try_at <= now, delivery.c.channel.in_(channels))
        .order_by(delivery.c.next_try_at, delivery.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    taken = (
        update(delivery)
        .where(delivery.c.id == waiting)
        .values(attempts=delivery.c.attempts + 1, next_try_at=until)
        .returning(delivery.c.id, delivery.c.attempts, delivery.c.channel, delivery.c.notice_id)
    )
    row = connection.execute(taken).one_or_none()
    if row is None:
        return None
    told = view(connection.execute(select(notice).where(notice.c.id == row.notice_id)).one())
    return Claimed(row.id, row.attempts, row.channel, told)


def note_sent(connection: Connection, claimed: Claimed, *, at: int) -> None:
    """Note that a delivery was sent."""
    connection.execute(update(delivery).where(delivery.c.id == claimed.id).values(sent_at=at, last_error=None))


def note_failed(connection: Connection, claimed: Claimed, error: str, *, next_try_at: int) -> None:
    """Note why a delivery failed, and when it is tried again."""
    connection.execute(_mine(claimed).values(last_error=error, next_try_at=next_try_at))


def give_up(connection: Connection, claimed: Claimed, error: str, *, at: int) -> None:
    """Note why a delivery failed for the last time."""
    connection.execute(_mine(claimed).values(last_error=error, given_up_at=at))


def given_up(connection: Connection, *, after: int, limit: int) -> list[Delivery]:
    """Return deliveries that were given up, in the order of their numbers."""
    statement = _deliveries.where(delivery.c.given_up_at.is_not(None), delivery.c.id > after)
    return [_view(row) for row in connection.execute(statement.order_by(delivery.c.id).limit(limit))]


def of_notice(connection: Connection, number: int) -> list[Delivery]:
    """Return what has become of a notice, by channel."""
    statement = _deliveries.where(delivery.c.notice_id == number).order_by(delivery.c.channel)
    return [_view(row) for row in connection.execute(statement)]


def try_again(connection: Connection, numbers: Collection[int] | None, *, now: int) -> int:
    """Let deliveries that were given up, or with None all of them, be tried anew; return how many."""
    statement = (
        update(delivery)
        .where(delivery.c.given_up_at.is_not(None), true() if numbers is None else delivery.c.id.in_(numbers))
        .values(given_up_at=None, attempts=0, next_try_at=now)
    )
    return connection.execute(statement).rowcount


# What people have said --------------------------------------------------------------------------------


def set_opt_out(connection: Connection, person: str, kind: str, *, out: bool, at: int) -> None:
    """Note that a person does not want to be sent notices of a kind, or does again."""
    if out:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        values = {"person": person, "kind": kind, "since_at": at}
        connection.execute(dialect.insert(notice_opt_out).on_conflict_do_nothing(), values)
        return
    connection.execute(
        delete(notice_opt_out).where(notice_opt_out.c.person == person, notice_opt_out.c.kind == kind)
    )


def address_of(connection: Connection, person: str) -> str | None:
    """Return the mail address that was noted for a person."""
    found: str | None = connection.execute(
        select(notice_address.c.address).where(notice_address.c.person == person)
    ).scalar_one_or_none()
    return found


def set_address(connection: Connection, person: str, address: str | None, *, at: int) -> None:
    """Note a person's mail address, or with None forget it."""
    connection.execute(delete(notice_address).where(notice_address.c.person == person))
    if address is not None:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        values = {"person": person, "address": address, "noted_at": at}
        statement = dialect.insert(notice_address).values(values)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=[notice_address.c.person], set_={"address": address, "noted_at": at}
            )
        )


def _mine(claimed: Claimed) -> Any:
    # Whoever was so slow that another one tried in the meantime has nothing more to say about a failure.
    return update(delivery).where(delivery.c.id == claimed.id, *_open, delivery.c.attempts == claimed.attempts)


def _view(row: Row[*tuple[Any, ...]]) -> Delivery:
    return Delivery(
        id=row.id,
        notice=row.notice_id,
        person=row.person,
        kind=row.kind,
        subject=row.subject,
        channel=row.channel,
        attempts=row.attempts,
        next_try_at=moment(row.next_try_at),
        sent_at=moment(row.sent_at),
        given_up_at=moment(row.given_up_at),
        last_error=row.last_error,
    )
