"""Runs of notebooks, on a connection whose transaction somebody else opened."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hubquota.storage.times import moment, seconds
from sqlalchemy import Connection, Row, Select, and_, case, delete, func, insert, or_, select, update

from romanhub.community.storage.tables import entry, run, version
from romanhub.models.entries import Proof
from romanhub.models.runs import Outcome, Purpose, Run, server_of

#: The outcomes that say something of the notebook, and not only of the platform.
_TELLING = (Outcome.PASSED.value, Outcome.FAILED.value)

#: The states in which an entry is public.
_PUBLIC = ("public", "reviewed", "deprecated")

_queued = and_(run.c.started_at.is_(None), run.c.ended_at.is_(None))
_running = and_(run.c.started_at.is_not(None), run.c.ended_at.is_(None))


@dataclass(frozen=True, slots=True)
class Shared:
    """A public notebook as the queue knows it."""

    id: int
    name: str
    owner: str
    newest: int
    #: The environment that its author ran it in, as they call it; empty where they did not say.
    image: str
    #: The smallest tier that it needs; empty where they did not say.
    tier: str
    #: What was last noted of it, and since when.
    proof: Proof
    proved_at: datetime | None
    #: The last regular run of the newest version that has ended, and the one that has not.
    last: Run | None
    waiting: Run | None


def shared(connection: Connection, entry_ids: Collection[int] | None = None) -> list[Shared]:
    """Return the public notebooks, all or those of some numbers, with their regular runs."""
    statement = (
        select(
            entry.c.id,
            entry.c.name,
            entry.c.owner,
            entry.c.newest,
            entry.c.proof,
            entry.c.proved_at,
            version.c.sidecar,
        )
        .join_from(entry, version, and_(version.c.entry_id == entry.c.id, version.c.number == entry.c.newest))
        .where(entry.c.kind == "notebook", entry.c.state.in_(_PUBLIC))
        .order_by(entry.c.id)
    )
    if entry_ids is not None:
        statement = statement.where(entry.c.id.in_(entry_ids))
    regular = run.c.purpose == Purpose.REGULAR.value
    # Of an entry no two regular runs wait at once, so numbers follow time.
    ended = (
        select(func.max(run.c.id))
        .join_from(run, entry, entry.c.id == run.c.entry_id)
        .where(regular, run.c.ended_at.is_not(None), run.c.version == entry.c.newest)
        .group_by(run.c.entry_id)
    )
    last = {one.entry_id: one for one in _views(connection, select(run).where(run.c.id.in_(ended)))}
    waiting = {
        one.entry_id: one for one in _views(connection, select(run).where(regular, run.c.ended_at.is_(None)))
    }
    return [
        Shared(
            id=row.id,
            name=row.name,
            owner=row.owner,
            newest=row.newest,
            image=row.sidecar.get("image") or "",
            tier=row.sidecar.get("tier") or "",
            proof=Proof(row.proof),
            proved_at=None if row.proved_at is None else moment(row.proved_at),
            last=last.get(row.id),
            waiting=waiting.get(row.id),
        )
        for row in connection.execute(statement)
    ]


def proofs(connection: Connection, entry_ids: Collection[int]) -> dict[int, tuple[Run | None, datetime | None]]:
    """Return of each entry the last run of its newest version that says something, and when one last passed."""
    told = (
        select(
            run.c.entry_id,
            func.max(run.c.id).label("last"),
            func.max(case((run.c.outcome == Outcome.PASSED.value, run.c.ended_at))).label("passed_at"),
        )
        .join_from(run, entry, entry.c.id == run.c.entry_id)
        .where(
            run.c.entry_id.in_(entry_ids),
            run.c.purpose == Purpose.REGULAR.value,
            run.c.outcome.in_(_TELLING),
            run.c.version == entry.c.newest,
        )
        .group_by(run.c.entry_id)
    )
    found = {row.entry_id: row for row in connection.execute(told)}
    numbers = [row.last for row in found.values()]
    runs = {one.entry_id: one for one in _views(connection, select(run).where(run.c.id.in_(numbers)))}
    return {
        number: (runs.get(number), None if row.passed_at is None else moment(row.passed_at))
        for number, row in found.items()
    }


def set_proof(connection: Connection, entry_id: int, proof: Proof, at: datetime) -> None:
    """Note what runs say of an entry, and since when."""
    connection.execute(
        update(entry).where(entry.c.id == entry_id).values(proof=proof.value, proved_at=seconds(at))
    )


def lock_entry(connection: Connection, entry_id: int) -> None:
    """Let nobody else queue runs of an entry until the transaction ends. SQLite lets nobody write anyway."""
    connection.execute(select(entry.c.id).where(entry.c.id == entry_id).with_for_update())


def add(
    connection: Connection,
    *,
    purpose: Purpose,
    person: str,
    notebook: str,
    queued_at: datetime,
    not_before: datetime,
    entry_id: int | None = None,
    number: int | None = None,
    image: str = "",
    account: str | None = None,
    size: str | None = None,
) -> int:
    """Put a run into the queue; return its number."""
    statement = (
        insert(run)
        .values(
            purpose=purpose.value,
            person=person,
            notebook=notebook,
            queued_at=seconds(queued_at),
            not_before=seconds(not_before),
            entry_id=entry_id,
            version=number,
            image=image,
            account=account,
            size=size,
            tries=0,
        )
        .returning(run.c.id)
    )
    return int(connection.execute(statement).scalar_one())


def find(connection: Connection, number: int) -> Run | None:
    """Return the run of that number; None where there is none."""
    return next(iter(_views(connection, select(run).where(run.c.id == number))), None)


def find_many(connection: Connection, numbers: Collection[int]) -> list[Run]:
    """Return the runs of these numbers, in their order."""
    return _views(connection, select(run).where(run.c.id.in_(numbers)).order_by(run.c.id))


def has_regular(connection: Connection, entry_id: int) -> bool:
    """Return whether a regular run of an entry waits or runs."""
    statement = select(run.c.id).where(
        run.c.entry_id == entry_id, run.c.purpose == Purpose.REGULAR.value, run.c.ended_at.is_(None)
    )
    return connection.execute(statement).first() is not None


def renew(
    connection: Connection, number: int, newest: int, image: str, size: str | None, not_before: datetime
) -> None:
    """Have a run that waits be of another version, and wait no longer than until then."""
    sooner = case((run.c.not_before < seconds(not_before), run.c.not_before), else_=seconds(not_before))
    values = {"version": newest, "image": image, "size": size, "not_before": sooner}
    connection.execute(update(run).where(run.c.id == number, _queued).values(values))


def forget_withdrawn(connection: Connection) -> int:
    """Take the runs out of the queue that are of entries which are public no more; return how many."""
    gone = select(entry.c.id).where(entry.c.state.not_in(_PUBLIC))
    return connection.execute(delete(run).where(_queued, run.c.entry_id.in_(gone))).rowcount


def counts(connection: Connection) -> tuple[int, int]:
    """Return how many shared notebooks run now, and how many of people's own."""
    statement = select(run.c.purpose, func.count()).where(_running).group_by(run.c.purpose)
    by_purpose = {purpose: int(number) for purpose, number in connection.execute(statement).tuples()}
    own = by_purpose.pop(Purpose.OWN.value, 0)
    return sum(by_purpose.values()), own


def due(connection: Connection, now: datetime, *, own: bool, limit: int) -> list[Run]:
    """Return the runs whose turn it is, those first that could start first."""
    kind = run.c.purpose == Purpose.OWN.value if own else run.c.purpose != Purpose.OWN.value
    statement = (
        select(run)
        .where(_queued, kind, run.c.not_before <= seconds(now))
        .order_by(run.c.not_before, run.c.id)
        .limit(limit)
    )
    return _views(connection, statement)


def claim(connection: Connection, number: int, now: datetime) -> bool:
    """Take a run from the queue; return False where somebody else has."""
    values = {"started_at": seconds(now), "server": server_of(number), "tries": run.c.tries + 1}
    return connection.execute(update(run).where(run.c.id == number, _queued).values(values)).rowcount == 1


def put_back(connection: Connection, number: int, not_before: datetime) -> bool:
    """Put a run whose server never came up back into the queue."""
    values = {"started_at": None, "server": None, "not_before": seconds(not_before)}
    return (
        connection.execute(
            update(run).where(run.c.id == number, _running, run.c.lease.is_(None)).values(values)
        ).rowcount
        == 1
    )


def note_lease(connection: Connection, number: int, lease: int) -> None:
    """Note the lease of a run's server: from here on it ran."""
    connection.execute(update(run).where(run.c.id == number, run.c.lease.is_(None)).values(lease=lease))


def end(connection: Connection, number: int, at: datetime, outcome: Outcome, **more: Any) -> bool:
    """Note how a run ended; return False where that is noted already."""
    values = {"ended_at": seconds(at), "outcome": outcome.value, **more}
    return (
        connection.execute(update(run).where(run.c.id == number, run.c.ended_at.is_(None)).values(values)).rowcount
        == 1
    )


def settle(connection: Connection, number: int, credits: int | None) -> None:  # noqa: A002  -- the field's word
    """Note what a run has cost, and that its server is gone."""
    connection.execute(
        update(run).where(run.c.id == number, run.c.ended_at.is_not(None)).values(server=None, credits=credits)
    )


def unsettled(connection: Connection) -> list[Run]:
    """Return the runs that run, and those that have ended and whose server may not have."""
    return _views(connection, select(run).where(or_(_running, run.c.server.is_not(None))).order_by(run.c.id))


def of_person(connection: Connection, person: str, *, limit: int, before: int | None = None) -> list[Run]:
    """Return somebody's own runs, the newest first."""
    statement = select(run).where(run.c.person == person, run.c.purpose == Purpose.OWN.value)
    if before is not None:
        statement = statement.where(run.c.id < before)
    return _views(connection, statement.order_by(run.c.id.desc()).limit(limit))


def of_entry(connection: Connection, name: str, *, limit: int) -> list[Run]:
    """Return the regular runs of an entry that have ended by themselves, of all its versions, the newest first."""
    statement = (
        select(run)
        .join_from(run, entry, entry.c.id == run.c.entry_id)
        .where(
            entry.c.name == name,
            run.c.purpose == Purpose.REGULAR.value,
            run.c.outcome.is_not(None),
            run.c.outcome != Outcome.CANCELLED.value,
        )
    )
    return _views(connection, statement.order_by(run.c.id.desc()).limit(limit))


def count_waiting(connection: Connection, person: str) -> int:
    """Return how many of somebody's own runs have not ended."""
    statement = select(func.count()).where(
        run.c.person == person, run.c.purpose == Purpose.OWN.value, run.c.ended_at.is_(None)
    )
    return int(connection.execute(statement).scalar_one())


def digest_of(connection: Connection, entry_id: int, number: int) -> str | None:
    """Return the digest of a version's content; None where there is no such version."""
    statement = select(version.c.digest).where(version.c.entry_id == entry_id, version.c.number == number)
    return connection.execute(statement).scalar_one_or_none()


def names_of(connection: Connection, entry_ids: Collection[int]) -> dict[int, str]:
    """Return entries' names by their numbers."""
    statement = select(entry.c.id, entry.c.name).where(entry.c.id.in_(entry_ids))
    return dict(connection.execute(statement).tuples().all())


def _views(connection: Connection, statement: Select[*tuple[Any, ...]]) -> list[Run]:
    return [_view(row) for row in connection.execute(statement)]


def _view(row: Row[*tuple[Any, ...]]) -> Run:
    fields = dict(row._mapping)
    for name in ("queued_at", "not_before", "started_at", "ended_at"):
        fields[name] = None if fields[name] is None else moment(fields[name])
    fields["purpose"] = Purpose(fields["purpose"])
    fields["outcome"] = None if fields["outcome"] is None else Outcome(fields["outcome"])
    return Run(**fields)
