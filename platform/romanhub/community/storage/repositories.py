"""Registered repositories, on a connection whose transaction somebody else opened."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from hubquota.storage.times import moment, seconds
from sqlalchemy import Connection, Row, delete, func, insert, or_, select, update

from romanhub.community.storage.tables import repository
from romanhub.models.repositories import Repository


def add(
    connection: Connection, *, url: str, branch: str, folder: str, owner: str, prefix: str, at_once: bool
) -> Repository:
    """Note a repository; the database refuses one that its owner has registered already."""
    values = {"url": url, "branch": branch, "folder": folder, "owner": owner}
    added = insert(repository).values(**values, entry_prefix=prefix, at_once=at_once).returning(*repository.c)
    return _repository(connection.execute(added).one())


def of_owner(connection: Connection, owner: str) -> tuple[Repository, ...]:
    """Return somebody's repositories, in the order in which they were registered."""
    found = select(repository).where(repository.c.owner == owner).order_by(repository.c.id)
    return tuple(_repository(row) for row in connection.execute(found))


def by_number(connection: Connection, number: int, owner: str) -> Repository | None:
    """Return one of somebody's repositories."""
    found = select(repository).where(repository.c.id == number, repository.c.owner == owner)
    row = connection.execute(found).one_or_none()
    return None if row is None else _repository(row)


def due(connection: Connection, before: datetime, most: int) -> tuple[Repository, ...]:
    """Return repositories that were not looked at since some time; the one that waits longest first."""
    late = or_(repository.c.read_at.is_(None), repository.c.read_at <= seconds(before))
    order = (func.coalesce(repository.c.read_at, 0), repository.c.id)
    found = select(repository).where(late).order_by(*order).limit(most)
    return tuple(_repository(row) for row in connection.execute(found))


def note_read(
    connection: Connection, number: int, *, at: datetime, commit: str | None, problem: str | None
) -> Repository | None:
    """Note that a repository was looked at; None where it is gone meanwhile."""
    values: dict[str, Any] = {"read_at": seconds(at), "problem": problem}
    if commit is not None:
        values["commit_read"] = commit
    noted = update(repository).where(repository.c.id == number).values(**values).returning(*repository.c)
    row = connection.execute(noted).one_or_none()
    return None if row is None else _repository(row)


def set_at_once(connection: Connection, number: int, owner: str, *, at_once: bool) -> bool:
    """Note whether new versions go public by themselves; False where there is no such repository."""
    which = (repository.c.id == number, repository.c.owner == owner)
    return connection.execute(update(repository).where(*which).values(at_once=at_once)).rowcount == 1


def remove(connection: Connection, number: int, owner: str) -> bool:
    """Forget one of somebody's repositories; False where there is none of that number."""
    which = (repository.c.id == number, repository.c.owner == owner)
    return connection.execute(delete(repository).where(*which)).rowcount == 1


def _repository(row: Row[Any]) -> Repository:
    return Repository(
        id=row.id,
        url=row.url,
        branch=row.branch,
        folder=row.folder,
        owner=row.owner,
        prefix=row.entry_prefix,
        at_once=row.at_once,
        commit=row.commit_read,
        read_at=None if row.read_at is None else moment(row.read_at),
        problem=row.problem,
    )
