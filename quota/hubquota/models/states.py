"""The states of an allocation, and who may move it from one to the next: one table, which the docs render.

A state is never stored. It follows from dated facts and the time now, so it cannot be late or wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from hubquota.models.moves import Move, Mover, allowed, moves_table


class State(StrEnum):
    """Where an allocation is, from the request for it to the end of what was kept under it."""

    REQUESTED = "requested"
    WITHDRAWN = "withdrawn"
    DENIED = "denied"
    APPROVED = "approved"
    ACTIVE = "active"
    EXPIRING = "expiring"
    EXHAUSTED = "exhausted"
    SUSPENDED = "suspended"
    REVOKED = "revoked"
    EXPIRED = "expired"
    GRACE = "grace"
    ARCHIVED = "archived"
    PURGED = "purged"


#: What each state means, for people.
MEANING: dict[State, str] = {
    State.REQUESTED: "Somebody has asked for it and nobody has decided.",
    State.WITHDRAWN: "Whoever asked for it no longer wants it.",
    State.DENIED: "It was asked for and turned down, with a reason.",
    State.APPROVED: "It is granted and its start is still to come.",
    State.ACTIVE: "It pays for what runs.",
    State.EXPIRING: "It pays, and its end is near.",
    State.EXHAUSTED: "Its term goes on, and nothing is left to spend.",
    State.SUSPENDED: "It pays for nothing new until somebody resumes it. Its term goes on.",
    State.REVOKED: "It was ended before its time, and its last charges are being booked.",
    State.EXPIRED: "Its term is over, and its last charges are being booked.",
    State.GRACE: "Its books are closed. Files can be read and cleared up.",
    State.ARCHIVED: "What was kept under it is in the archive, and can be restored.",
    State.PURGED: "What was kept under it is gone.",
}


_PEOPLE = (Mover.USER, Mover.PI, Mover.ADMIN)
_LIVE = (State.ACTIVE, State.EXPIRING, State.EXHAUSTED)


def _moves() -> tuple[Move[State], ...]:
    admin, clock, engine = (Mover.ADMIN,), (Mover.CLOCK,), (Mover.ENGINE,)
    spends, fills = "The last credit is spent or held.", "Credits are added, or a hold is released."
    found = [
        Move(State.REQUESTED, State.WITHDRAWN, _PEOPLE, "Whoever may ask takes the request back."),
        Move(State.REQUESTED, State.DENIED, admin, "The request is turned down, with a reason."),
        Move(State.REQUESTED, State.APPROVED, admin, "The request is granted, perhaps cut, from a later day on."),
        Move(State.REQUESTED, State.ACTIVE, admin, "The request is granted, perhaps cut, from now on."),
        Move(State.APPROVED, State.ACTIVE, clock, "Its start has come."),
        Move(State.ACTIVE, State.EXPIRING, clock, "Its end is as near as the tier's `expiring_days`."),
        Move(State.EXPIRING, State.ACTIVE, admin, "Its term is extended."),
        Move(State.ACTIVE, State.EXHAUSTED, engine, spends),
        Move(State.EXPIRING, State.EXHAUSTED, engine, spends),
        Move(State.EXHAUSTED, State.ACTIVE, (Mover.ADMIN, Mover.ENGINE), fills),
        Move(State.EXHAUSTED, State.EXPIRING, (Mover.ADMIN, Mover.ENGINE), fills),
    ]
    for state in (State.APPROVED, *_LIVE):
        found.append(Move(state, State.SUSPENDED, admin, "It is suspended, with a reason."))
        found.append(Move(State.SUSPENDED, state, admin, "It is resumed."))
    for state in (State.APPROVED, *_LIVE, State.SUSPENDED):
        found.append(Move(state, State.REVOKED, admin, "It is revoked, with a reason."))
    for state in (*_LIVE, State.SUSPENDED):
        found.append(Move(state, State.EXPIRED, clock, "Its end has come."))
    found += [
        Move(State.EXPIRED, State.GRACE, engine, "The last charges are booked, and what was left has lapsed."),
        Move(State.REVOKED, State.GRACE, engine, "The last charges are booked, and what was left has lapsed."),
        Move(
            State.GRACE,
            State.ARCHIVED,
            engine,
            "Its grace is over, and what was kept is moved aside.",
        ),
        Move(State.ARCHIVED, State.GRACE, (*_PEOPLE, Mover.ENGINE), "What was kept under it is brought back."),
        Move(State.ARCHIVED, State.PURGED, engine, "The time in which it can be restored is over."),
        Move(State.PURGED, State.ARCHIVED, engine, "Something that was found later is archived as well."),
    ]
    return tuple(found)


#: Every step there is. What is not here cannot happen.
MOVES: tuple[Move[State], ...] = _moves()

_ALLOWED = allowed(MOVES)


def may_move(mover: Mover, start: State, end: State) -> bool:
    """Return whether somebody may take an allocation from one state to another."""
    return mover in _ALLOWED.get((start, end), frozenset())


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about a request or an allocation, as dates; None for what has not happened."""

    requested_at: datetime | None = None
    withdrawn_at: datetime | None = None
    denied_at: datetime | None = None
    #: When it was granted; None while it is no more than a request.
    granted_at: datetime | None = None
    start: datetime | None = None
    end: datetime | None = None
    #: Whether nothing is left to spend.
    exhausted: bool = False
    suspended_at: datetime | None = None
    revoked_at: datetime | None = None
    #: When its books were closed.
    lapsed_at: datetime | None = None
    archived_at: datetime | None = None
    purged_at: datetime | None = None
    #: How long before its end it counts as expiring.
    expiring: timedelta = timedelta(0)


def state_of(facts: Facts, now: datetime) -> State:
    """Return the state that follows from facts at a time."""
    if facts.granted_at is None:
        return _before_grant(facts)
    if facts.purged_at is not None:
        return State.PURGED
    if facts.archived_at is not None:
        return State.ARCHIVED
    if facts.lapsed_at is not None:
        return State.GRACE
    if facts.revoked_at is not None:
        return State.REVOKED
    if facts.end is not None and now >= facts.end:
        return State.EXPIRED
    if facts.suspended_at is not None:
        return State.SUSPENDED
    if facts.start is not None and now < facts.start:
        return State.APPROVED
    if facts.exhausted:
        return State.EXHAUSTED
    if facts.end is not None and now >= facts.end - facts.expiring:
        return State.EXPIRING
    return State.ACTIVE


def states_table() -> str:
    """Return the states and the moves between them as two Markdown tables, for the documentation."""
    return moves_table("State", MEANING, MOVES)


def _before_grant(facts: Facts) -> State:
    if facts.withdrawn_at is not None:
        return State.WITHDRAWN
    if facts.denied_at is not None:
        return State.DENIED
    return State.REQUESTED
