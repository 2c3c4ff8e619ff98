"""Notices, on a connection whose transaction somebody else opened."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import Connection, Row, func, select, true, update
from sqlalchemy.dialects import postgresql, sqlite

from hubquota.models.letters import Letter
from hubquota.models.notices import Notice, checked
from hubquota.storage.prepared import Prepared
from hubquota.storage.tables import notice
from hubquota.storage.times import moment

_columns = ("person", "kind", "key", "subject", "text", "optional", "made_at")
_post = {
    name: Prepared(
        dialect.insert(notice).on_conflict_do_nothing(index_elements=[notice.c.person, notice.c.key]),
        columns=_columns,
    )
    for name, dialect in (("sqlite", sqlite), ("postgresql", postgresql))
}


def add(
    connection: Connection,
    *,
    person: str,
    kind: str,
    key: str,
    subject: str,
    text: str,
    optional: bool = False,
    at: int,
) -> bool:
    """Post a notice for a person, as a part of whatever else the transaction does.

    Args:
        connection: the transaction's.
        person: whom to tell.
        kind: what it is about, such as "allocation-expiring".
        key: says which notice this is; a person gets one of a key.
        subject: one line.
        text: what there is to say, as plain text.
        optional: whether the person may choose not to be sent it.
        at: the time, in seconds since 1970.

    Returns:
        Whether it is new; False if the person has one of that key already, which stays as it is.

    Raises:
        ValueError: a part is empty, or the subject is longer than a line or 200 characters.
    """
    subject, text = checked(person=person, kind=kind, key=key, subject=subject, text=text)
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = (
        dialect.insert(notice)
        .values(person=person, kind=kind, key=key, subject=subject, text=text, optional=optional, made_at=at)
        .on_conflict_do_nothing(index_elements=[notice.c.person, notice.c.key])
        .returning(notice.c.id)
    )
    return connection.execute(statement).one_or_none() is not None


def post(connection: Connection, letters: Iterable[tuple[str, Letter]], *, at: int) -> None:
    """Post letters, each to its person. Those that are there already stay as they are."""
    rows = [
        {
            "person": person,
            "kind": letter.kind,
            "key": letter.key,
            "subject": letter.subject,
            "text": letter.text,
            "optional": letter.optional,
            "made_at": at,
        }
        for person, letter in letters
    ]
    if rows:
        _post[connection.dialect.name].run_many(connection, rows)


def page(
    connection: Connection,
    person: str,
    *,
    unread_only: bool,
    read_only: bool = False,
    before: int | None,
    limit: int,
) -> list[Notice]:
    """Return a person's notices, the newest first."""
    statement = (
        select(notice)
        .where(
            notice.c.person == person,
            notice.c.read_at.is_(None) if unread_only else true(),
            notice.c.read_at.is_not(None) if read_only else true(),
            notice.c.id < before if before is not None else true(),
        )
        .order_by(notice.c.id.desc())
        .limit(limit)
    )
    return [view(row) for row in connection.execute(statement)]


def count_unread(connection: Connection, person: str) -> int:
    """Return how many notices a person has not seen."""
    statement = (
        select(func.count()).select_from(notice).where(notice.c.person == person, notice.c.read_at.is_(None))
    )
    return int(connection.execute(statement).scalar_one())


def mark_read(connection: Connection, person: str, numbers: Collection[int] | None, *, at: int) -> int:
    """Note that a person has seen notices of theirs, or with None all; return how many they had not."""
    statement = (
        update(notice)
        .where(
            notice.c.person == person,
            notice.c.read_at.is_(None),
            true() if numbers is None else notice.c.id.in_(numbers),
        )
        .values(read_at=at)
    )
    return connection.execute(statement).rowcount


def view(row: Row[*tuple[Any, ...]]) -> Notice:
    """Return a row of the table as its readers get it."""
    return Notice(
        id=row.id,
        person=row.person,
        kind=row.kind,
        key=row.key,
        subject=row.subject,
        text=row.text,
        optional=row.optional,
        made_at=moment(row.made_at),
        read_at=moment(row.read_at),
    )
