"""When a stop comes, and when it is warned of: arithmetic on times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hubquota.models.stops import (
    budget_stop,
    due_stop,
    due_warning,
    next_moment,
    seconds_to_threshold,
    session_stops,
    threshold_passed,
)
from hubquota.models.tiers import Tiers
from hubquota.models.words import about_text, moment_text
from hypothesis import given
from hypothesis import strategies as st

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
MINUTES = (60, 10)


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def test_of_several_stops_the_one_that_came_first_gives_the_reason(tiers: Tiers) -> None:
    tier = tiers.tiers["explorer"]  # idle for 60 minutes, 24 hours at most
    stops = session_stops(tier, started=START, active=START)
    assert due_stop(stops, at(59)) is None
    found = due_stop(stops, at(24 * 60 + 5))
    assert found is not None
    assert (found.kind, found.at) == ("idle", at(60))
    stops.append(budget_stop("ada", at=at(30), since=START))
    found = due_stop(stops, at(61))
    assert found is not None
    assert found.kind == "budget"


def test_activity_moves_the_idle_stop_and_what_came_before_the_start_does_not_count(tiers: Tiers) -> None:
    tier = tiers.tiers["explorer"]
    _, idle = session_stops(tier, started=START, active=at(17))
    assert (idle.at, idle.since) == (at(77), at(17))
    _, idle = session_stops(tier, started=START, active=at(-500))
    assert idle.at == at(60)


def test_who_looks_late_warns_once_of_what_is_nearest() -> None:
    stop = budget_stop("ada", at=at(120), since=START)
    assert due_warning([stop], MINUTES, at(59)) is None
    early, late = due_warning([stop], MINUTES, at(60)), due_warning([stop], MINUTES, at(119))
    assert early is not None
    assert late is not None
    assert (early.minutes, late.minutes) == (60, 10)
    assert due_warning([stop], MINUTES, at(120)) is None


def test_an_idle_stop_is_not_warned_of_while_people_still_work(tiers: Tiers) -> None:
    stops = session_stops(tiers.tiers["explorer"], started=START, active=START)
    assert due_warning(stops, MINUTES, at(1)) is None
    assert next_moment(stops, MINUTES, at(1)) == at(50)


@given(
    stop=st.integers(1, 5000),
    minutes=st.lists(st.integers(1, 600), max_size=4),
    now=st.integers(0, 6000),
)
def test_who_wakes_at_every_next_moment_misses_no_warning_and_no_stop(
    stop: int, minutes: list[int], now: int
) -> None:
    stops = [budget_stop("ada", at=at(stop), since=START)]
    looked, told, stopped = at(now), [], False
    for _ in range(20):
        warning = due_warning(stops, minutes, looked)
        if warning is not None and warning.minutes not in told:
            told.append(warning.minutes)
        stopped = stopped or due_stop(stops, looked) is not None
        following = next_moment(stops, minutes, looked)
        if following is None:
            break
        assert following > looked
        looked = following
    assert stopped
    ahead = {number for number in minutes if stop - number > now}
    assert ahead <= set(told)


@given(left=st.integers(-10, 2000), rate=st.integers(0, 50), granted=st.integers(0, 1000))
def test_a_threshold_is_passed_at_the_second_that_was_computed(left: int, rate: int, granted: int) -> None:
    thresholds = (Decimal("0.25"), Decimal("0.1"))
    seconds = seconds_to_threshold(left, granted, rate, thresholds)
    before = threshold_passed(left, granted, thresholds)
    if seconds is None:
        assert rate == 0 or granted == 0 or left <= granted // 10 or before == Decimal("0.1")
    else:
        assert seconds > 0
        if granted:
            assert threshold_passed(left - rate * (seconds - 1), granted, thresholds) == before
            assert threshold_passed(left - rate * seconds, granted, thresholds) != before


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 seconds"), (61, "1 minute"), (7199, "1 hour"), (200_000, "2 days")]
)
def test_what_is_to_come_is_said_in_its_largest_unit(seconds: int, text: str) -> None:
    assert about_text(seconds) == text


def test_a_moment_is_said_in_utc() -> None:
    assert moment_text(START) == "22 November 2026, 12:00 UTC"
