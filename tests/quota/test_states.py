"""The states of an allocation: what follows from dates, and that only the table's moves happen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hubquota.models.moves import Mover
from hubquota.models.states import MEANING, MOVES, Facts, State, may_move, state_of, states_table
from hypothesis import given
from hypothesis import strategies as st

START = datetime(2026, 11, 1, tzinfo=UTC)


def day(number: int) -> datetime:
    return START + timedelta(days=number)


def test_a_term_from_its_grant_to_its_end() -> None:
    facts = Facts(requested_at=day(-9), granted_at=day(-2), start=day(0), end=day(90), expiring=timedelta(days=14))
    told = {number: state_of(facts, day(number)) for number in (-1, 0, 75, 76, 89, 90, 900)}
    assert told == {
        -1: State.APPROVED,
        0: State.ACTIVE,
        75: State.ACTIVE,
        76: State.EXPIRING,
        89: State.EXPIRING,
        90: State.EXPIRED,
        900: State.EXPIRED,
    }


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        (Facts(requested_at=day(0)), State.REQUESTED),
        (Facts(requested_at=day(0), withdrawn_at=day(1)), State.WITHDRAWN),
        (Facts(requested_at=day(0), denied_at=day(1)), State.DENIED),
        (Facts(granted_at=day(0), start=day(0), exhausted=True), State.EXHAUSTED),
        (Facts(granted_at=day(0), start=day(0), suspended_at=day(1), exhausted=True), State.SUSPENDED),
        (Facts(granted_at=day(0), start=day(0), end=day(1), revoked_at=day(1)), State.REVOKED),
        (Facts(granted_at=day(0), start=day(0), end=day(1), lapsed_at=day(2)), State.GRACE),
        (Facts(granted_at=day(0), end=day(1), lapsed_at=day(2), archived_at=day(3)), State.ARCHIVED),
        (Facts(granted_at=day(0), end=day(1), archived_at=day(3), purged_at=day(4)), State.PURGED),
    ],
)
def test_a_fact_outweighs_a_date(facts: Facts, state: State) -> None:
    assert state_of(facts, day(5)) == state


@given(
    start=st.integers(-5, 5),
    length=st.none() | st.integers(1, 30),
    expiring=st.integers(0, 40),
    exhausted=st.booleans(),
    suspended=st.booleans(),
    days=st.lists(st.integers(-6, 40), min_size=2, max_size=2).map(sorted),
)
def test_time_alone_only_makes_the_moves_of_the_clock(
    start: int, length: int | None, expiring: int, exhausted: bool, suspended: bool, days: list[int]
) -> None:
    facts = Facts(
        granted_at=day(-9),
        start=day(start),
        end=None if length is None else day(start + length),
        exhausted=exhausted,
        suspended_at=day(-9) if suspended else None,
        expiring=timedelta(days=expiring),
    )
    # Whoever looks seldom sees several moves of the clock as one; what was spent beforehand is spent at once.
    reached, before = {state_of(facts, day(days[0]))}, set()
    while reached != before:
        before = set(reached)
        reached |= {move.end for move in MOVES if move.start in reached and Mover.CLOCK in move.movers}
        if exhausted and State.ACTIVE in reached:
            reached.add(State.EXHAUSTED)
    assert state_of(facts, day(days[1])) in reached


def test_every_state_is_reached_and_the_last_ones_are_left_by_nobody() -> None:
    assert {move.end for move in MOVES} | {State.REQUESTED} == set(State) == set(MEANING)
    final = set(State) - {move.start for move in MOVES}
    assert final == {State.WITHDRAWN, State.DENIED}
    assert len({(move.start, move.end) for move in MOVES}) == len(MOVES)


def test_only_those_whom_the_table_names_may_move_it() -> None:
    assert may_move(Mover.ADMIN, State.REQUESTED, State.DENIED)
    assert not may_move(Mover.PI, State.REQUESTED, State.DENIED)
    assert may_move(Mover.PI, State.REQUESTED, State.WITHDRAWN)
    assert not may_move(Mover.ADMIN, State.PURGED, State.ACTIVE)


def test_the_table_is_rendered_with_every_move() -> None:
    table = states_table()
    assert table.count("\n| ") == len(State) + len(MOVES) + 3  # and the lines below and above the heads
    assert "| active | expiring | clock | Its end is as near as the tier's `expiring_days`. |" in table
