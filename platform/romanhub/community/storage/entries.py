"""Entries and their versions, on a connection whose transaction somebody else opened."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hubquota.storage.times import moment, seconds
from sqlalchemy import Connection, Row, delete, func, insert, select, update

from romanhub.community.storage.tables import act, entry, entry_text, facet, opened, star, version
from romanhub.models.community import Kind, State
from romanhub.models.entries import Done, Entry, Proof, Version


@dataclass(frozen=True)
class Kept:
    """An entry as the database has it: its number, and what is told of it."""

    id: int
    entry: Entry


def by_name(connection: Connection, name: str, *, lock: bool = False) -> Kept | None:
    """Return an entry with its newest version and its draft; None where there is none of that name.

    Args:
        connection: in a transaction.
        name: what it is called.
        lock: let nobody else change it before the transaction ends.
    """
    found = select(entry).where(entry.c.name == name)
    row = connection.execute(found.with_for_update() if lock else found).one_or_none()
    return None if row is None else _kept(connection, row)


def of_owner(connection: Connection, person: str, *, lock: bool = False) -> list[Kept]:
    """Return somebody's entries, whatever their state, by name."""
    found = select(entry).where(entry.c.owner == person).order_by(entry.c.name)
    rows = connection.execute(found.with_for_update() if lock else found).all()
    return [_kept(connection, row) for row in rows]


def _kept(connection: Connection, row: Row[Any]) -> Kept:
    wanted = (version.c.published_at.is_(None)) | (version.c.number == row.newest)
    rows = connection.execute(select(version).where(version.c.entry_id == row.id, wanted)).all()
    versions = [_version(row.name, one) for one in rows]
    return Kept(
        row.id,
        Entry(
            name=row.name,
            kind=Kind(row.kind),
            owner=row.owner,
            state=State(row.state),
            reason=row.reason,
            newest=next((one for one in versions if one.published_at is not None), None),
            pending=next((one for one in versions if one.published_at is None), None),
            proof=Proof(row.proof),
            proved_at=moment(row.proved_at),
            stars=row.stars,
            opens=row.opens,
            created_at=moment(row.created_at),
            changed_at=moment(row.changed_at),
        ),
    )


def _version(name: str, row: Row[Any]) -> Version:
    return Version(
        entry=name,
        number=row.number,
        digest=row.digest,
        size=row.size,
        sidecar=row.sidecar,
        details=row.details,
        made_by=row.made_by,
        made_at=moment(row.made_at),
        published_at=moment(row.published_at),
    )


def public_versions(connection: Connection, kept: Kept) -> list[Version]:
    """Return what was published of an entry, newest first."""
    found = select(version).where(version.c.entry_id == kept.id, version.c.published_at.is_not(None))
    rows = connection.execute(found.order_by(version.c.number.desc())).all()
    return [_version(kept.entry.name, row) for row in rows]


def one_version(connection: Connection, kept: Kept, number: int) -> Version | None:
    """Return one version of an entry, a draft too; None where there is none of that number."""
    row = connection.execute(
        select(version).where(version.c.entry_id == kept.id, version.c.number == number)
    ).one_or_none()
    return None if row is None else _version(kept.entry.name, row)


def add(connection: Connection, name: str, kind: Kind, owner: str, at: datetime) -> int:
    """Open an entry in the state of a draft; return its number. Raises IntegrityError where the name is taken."""
    now = seconds(at)
    return int(
        connection.execute(
            insert(entry)
            .values(
                name=name, kind=kind, owner=owner, state=State.DRAFT, proof=Proof.NEVER, stars=0, opens=0,
                created_at=now, changed_at=now,
            )
            .returning(entry.c.id)
        ).scalar_one()
    )  # fmt: skip


def put_draft(
    connection: Connection,
    entry_id: int,
    *,
    digest: str,
    size: int,
    sidecar: Mapping[str, Any],
    details: Mapping[str, Any],
    words: str,
    person: str,
    at: datetime,
) -> int:
    """Keep the version that is not public yet, instead of the one before; return its number."""
    pending = (version.c.entry_id == entry_id) & version.c.published_at.is_(None)
    connection.execute(delete(version).where(pending))
    last = connection.execute(select(func.max(version.c.number)).where(version.c.entry_id == entry_id)).scalar()
    number = (last or 0) + 1
    connection.execute(
        insert(version).values(
            entry_id=entry_id, number=number, digest=digest, size=size, sidecar=dict(sidecar),
            details=dict(details), words=words, made_by=person, made_at=seconds(at),
        )
    )  # fmt: skip
    connection.execute(update(entry).where(entry.c.id == entry_id).values(changed_at=seconds(at)))
    return number


def drop_draft(connection: Connection, kept: Kept) -> None:
    """Throw the version away that is not public yet; and of an entry that never was, the entry."""
    pending = (version.c.entry_id == kept.id) & version.c.published_at.is_(None)
    connection.execute(delete(version).where(pending))
    if kept.entry.newest is None:
        connection.execute(delete(entry).where(entry.c.id == kept.id))


def set_state(connection: Connection, kept: Kept, state: State, reason: str | None, at: datetime) -> None:
    """Put an entry into a state."""
    changed = {"state": state, "reason": reason, "changed_at": seconds(at)}
    connection.execute(update(entry).where(entry.c.id == kept.id).values(**changed))


def publish(
    connection: Connection,
    kept: Kept,
    *,
    sidecar: Mapping[str, Any],
    facets: Iterable[tuple[str, str]],
    text: Mapping[str, str],
    at: datetime,
) -> None:
    """Make the draft the newest public version, and have searches find it.

    Args:
        connection: in a transaction.
        kept: the entry, with a draft.
        sidecar: what its author says of it, complete.
        facets: pairs of a facet's name and a value.
        text: the columns `title`, `names` and `abstract` of what a search looks through.
        at: the present time.
    """
    pending = (version.c.entry_id == kept.id) & version.c.published_at.is_(None)
    number, words = connection.execute(select(version.c.number, version.c.words).where(pending)).one()
    connection.execute(
        update(version).where(pending).values(sidecar=dict(sidecar), words=None, published_at=seconds(at))
    )
    # A run was of the version before.
    fresh = {"state": State.PUBLIC, "newest": number, "reason": None, "proof": Proof.NEVER, "proved_at": None}
    connection.execute(update(entry).where(entry.c.id == kept.id).values(**fresh, changed_at=seconds(at)))
    forget(connection, kept.id)
    rows = [{"entry_id": kept.id, "name": name, "value": value} for name, value in sorted(set(facets))]
    if rows:
        connection.execute(insert(facet), rows)
    connection.execute(insert(entry_text).values(entry_id=kept.id, **text, words=words or ""))


def forget(connection: Connection, entry_id: int) -> None:
    """Have searches find an entry no more."""
    connection.execute(delete(facet).where(facet.c.entry_id == entry_id))
    connection.execute(delete(entry_text).where(entry_text.c.entry_id == entry_id))


def note(
    connection: Connection,
    entry_id: int,
    *,
    at: datetime,
    actor: str,
    act_: str,
    version_: int | None = None,
    reason: str | None = None,
) -> None:
    """Write down what was done to an entry."""
    connection.execute(
        insert(act).values(
            entry_id=entry_id, at=seconds(at), actor=actor, act=act_, version=version_, reason=reason
        )
    )


def done(connection: Connection, kept: Kept) -> list[Done]:
    """Return what was done to an entry, oldest first."""
    rows = connection.execute(select(act).where(act.c.entry_id == kept.id).order_by(act.c.id)).all()
    return [
        Done(at=moment(row.at), actor=row.actor, act=row.act, version=row.version, reason=row.reason)
        for row in rows
    ]


def files_of(connection: Connection, kept: Kept, *, pending_only: bool) -> set[str]:
    """Return what the bucket keeps for an entry's draft, or for all of its versions: digests, and folders."""
    found = select(version.c.digest, version.c.details).where(version.c.entry_id == kept.id)
    rows = connection.execute(found.where(version.c.published_at.is_(None)) if pending_only else found).all()
    return {row.digest for row in rows} | _besides(rows)


#: Where a version's details name more of what the bucket keeps: a card's picture, and the folder of a product.
_BESIDES = ("picture", "folder")


def _besides(rows: Iterable[Any]) -> set[str]:
    return {row.details[name] for row in rows for name in _BESIDES if row.details.get(name)}


def unused(connection: Connection, digests: set[str]) -> set[str]:
    """Return those digests and folders that no version needs: none has them, or those that do are withdrawn."""
    alive = select(version.c.digest, version.c.details).join(entry, entry.c.id == version.c.entry_id)
    alive = alive.where(entry.c.state != State.WITHDRAWN)
    by_file = connection.execute(alive.where(version.c.digest.in_(digests))).all()
    needed = {row.digest for row in by_file}
    for name in _BESIDES:
        needed |= _besides(connection.execute(alive.where(version.c.details[name].as_string().in_(digests))).all())
    return digests - needed


def kept_by(connection: Connection, person: str) -> int:
    """Return how much somebody's entries keep, all versions together, in bytes; withdrawn ones keep nothing."""
    sizes = select(func.coalesce(func.sum(version.c.size), 0)).join(entry, entry.c.id == version.c.entry_id)
    return int(
        connection.execute(sizes.where(entry.c.owner == person, entry.c.state != State.WITHDRAWN)).scalar_one()
    )


# Stars and opens ---------------------------------------------------------------------------------------


def set_star(connection: Connection, kept: Kept, person: str, *, given: bool, at: datetime) -> None:
    """Give an entry somebody's star, or take it back; what is so already stays so."""
    mine = (star.c.entry_id == kept.id) & (star.c.person == person)
    there = connection.execute(select(star.c.at).where(mine)).first() is not None
    if there == given:
        return
    if given:
        connection.execute(insert(star).values(entry_id=kept.id, person=person, at=seconds(at)))
    else:
        connection.execute(delete(star).where(mine))
    changed = entry.c.stars + (1 if given else -1)
    connection.execute(update(entry).where(entry.c.id == kept.id).values(stars=changed))


def has_star(connection: Connection, kept: Kept, person: str) -> bool:
    """Whether somebody gave an entry a star."""
    mine = (star.c.entry_id == kept.id) & (star.c.person == person)
    return connection.execute(select(star.c.at).where(mine)).first() is not None


def note_open(connection: Connection, kept: Kept, number: int, person: str, *, at: datetime, since: int) -> bool:
    """Count that somebody opened an entry, unless they did after a time; return whether it was counted.

    Args:
        connection: in a transaction.
        kept: the entry.
        number: which version of it.
        person: who.
        at: the present time.
        since: the time, in seconds since 1970.
    """
    mine = (opened.c.entry_id == kept.id) & (opened.c.person == person) & (opened.c.at > since)
    if connection.execute(select(opened.c.id).where(mine)).first() is not None:
        return False
    connection.execute(insert(opened).values(entry_id=kept.id, version=number, person=person, at=seconds(at)))
    connection.execute(update(entry).where(entry.c.id == kept.id).values(opens=entry.c.opens + 1))
    return True


def opens_of(connection: Connection, kept: Kept, *, since: int) -> tuple[int, int]:
    """Return how many people opened an entry, and how often it was opened after a time (seconds since 1970)."""
    mine = opened.c.entry_id == kept.id
    people = connection.execute(select(func.count(opened.c.person.distinct())).where(mine)).scalar_one()
    recent = connection.execute(select(func.count()).where(mine, opened.c.at > since)).scalar_one()
    return int(people), int(recent)
