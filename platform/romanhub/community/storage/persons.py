"""What the catalogue knows of one person beyond what they made public, on somebody else's transaction."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from romanhub.community.storage.tables import entry, opened, repository, run, star, version
from romanhub.models.runs import Purpose

_own_runs = run.c.purpose == Purpose.OWN.value

#: The tables that name somebody, and the rows that are theirs alone.
_OF_PERSON = {
    "opens": (opened, opened.c.person),
    "repositories": (repository, repository.c.owner),
    "runs": (run, run.c.person),
}


def rows_of(connection: Connection, person: str) -> dict[str, list[dict[str, Any]]]:
    """Return somebody's drafts, stars, opens, own runs and registered repositories, as plain values."""
    drafts = (
        select(
            entry.c.name, entry.c.kind, version.c.digest, version.c.size, version.c.sidecar, version.c.details,
            version.c.made_at,
        )
        .join_from(version, entry, entry.c.id == version.c.entry_id)
        .where(entry.c.owner == person, version.c.published_at.is_(None))
        .order_by(entry.c.name)
    )  # fmt: skip
    stars = (
        select(entry.c.name, star.c.at)
        .join_from(star, entry, entry.c.id == star.c.entry_id)
        .where(star.c.person == person)
        .order_by(entry.c.name)
    )
    found = {"drafts": _plain(connection, drafts), "stars": _plain(connection, stars)}
    for name, (table, owner) in _OF_PERSON.items():
        mine = select(table).where(owner == person).order_by(table.c.id)
        found[name] = _plain(connection, mine.where(_own_runs) if table is run else mine)
    return found


def running_of(connection: Connection, person: str) -> list[int]:
    """Return the numbers of somebody's own runs that have a server."""
    statement = select(run.c.id).where(run.c.person == person, _own_runs, run.c.server.is_not(None))
    return list(connection.execute(statement).scalars())


def forget(connection: Connection, person: str) -> None:
    """Forget somebody's stars, opens, own runs and registered repositories.

    A star is taken back. How often an entry was opened stays, without who did.
    """
    mine = select(star.c.entry_id).where(star.c.person == person)
    connection.execute(update(entry).where(entry.c.id.in_(mine)).values(stars=entry.c.stars - 1))
    connection.execute(delete(star).where(star.c.person == person))
    for table, owner in _OF_PERSON.values():
        theirs = delete(table).where(owner == person)
        connection.execute(theirs.where(_own_runs) if table is run else theirs)


def bring_back(connection: Connection, kept: dict[str, list[dict[str, Any]]]) -> None:
    """Bring back what `rows_of` returned, but for drafts and stars; what is there again stays as it is."""
    for name, (table, _) in _OF_PERSON.items():
        there = set(connection.execute(select(table.c.id)).scalars())
        rows = [row for row in kept.get(name, []) if row["id"] not in there]
        if table is opened:
            entries = set(connection.execute(select(entry.c.id)).scalars())
            rows = [row for row in rows if row["entry_id"] in entries]
        if rows:
            connection.execute(insert(table), rows)


def _plain(connection: Connection, statement: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(statement).mappings()]
