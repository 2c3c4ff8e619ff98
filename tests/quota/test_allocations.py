"""Dated grants: stacking, splitting, moving, ending, and what a hold is of."""

from __future__ import annotations

from datetime import datetime, timedelta
from inspect import signature
from typing import Any

import pytest
from hubquota.models.ledger import (
    ConflictingKeyError,
    ImpossibleError,
    Lease,
    Refused,
    UnknownAllocationError,
)
from hubquota.models.money import to_units
from hubquota.services.book import HOLD_GRACE, START_LIMIT
from hubquota.services.ledger import Ledger

from tests.quota.support import Clock

HOUR = 3600


def grant(ledger: Ledger, units: int, key: str, *, name: str = "ada", **more: object) -> int:
    return ledger.grant(name, units, actor="eve", reason="A proposal.", key=key, **more).id  # type: ignore[arg-type]


def admit(ledger: Ledger, rate: int, name: str = "", **more: object) -> Lease:
    return ledger.admit("ada", kind="server", key=f"server:ada/{name}", label="A server", rate=rate, **more)  # type: ignore[arg-type]


def run(ledger: Ledger, rate: int, name: str = "", **more: object) -> Lease:
    return ledger.begin(admit(ledger, rate, name, **more).id)


def after(clock: Clock, seconds: int) -> datetime:
    return clock.now + timedelta(seconds=seconds)


def balances(ledger: Ledger, *numbers: int) -> list[int]:
    return [ledger.allocation(number).balance for number in numbers]


@pytest.fixture(autouse=True)
def sound(ledger: Ledger, clock: Clock) -> object:
    ledger.open_account("ada", "explorer", 0, actor="test")
    yield
    assert ledger.verify() == []


# Stacking ----------------------------------------------------------------------------------------------


def test_the_one_that_ends_soonest_is_spent_first_whichever_came_first(ledger: Ledger, clock: Clock) -> None:
    forever = grant(ledger, 5000, "1")
    late = grant(ledger, 5000, "2", end=after(clock, 90 * HOUR))
    soon = grant(ledger, 5000, "3", end=after(clock, 30 * HOUR))
    assert [one.id for one in ledger.allocations("ada")] == [soon, late, forever]
    lease = run(ledger, 1)
    clock.turn(7000)
    ledger.close(lease.id, reason="x")
    assert balances(ledger, soon, late, forever) == [0, 3000, 5000]
    first, second = ledger.statement("ada").entries[1::-1]
    assert (first.allocation_id, first.amount, second.allocation_id, second.amount) == (soon, -5000, late, -2000)
    assert "A server, 7000 s at" in first.reason
    assert "a part of it" in first.reason


def test_a_second_is_split_to_the_unit(ledger: Ledger, clock: Clock) -> None:
    soon = grant(ledger, 25, "1", end=after(clock, HOUR))
    late = grant(ledger, 1000, "2")
    lease = run(ledger, 10, minimum_seconds=7)
    clock.turn(7)
    ledger.close(lease.id, reason="x")
    assert balances(ledger, soon, late) == [0, 1000 - 45]


def test_nothing_is_taken_of_it_for_the_time_after_its_end(ledger: Ledger, clock: Clock) -> None:
    soon = grant(ledger, 1000, "1", end=after(clock, 100))
    late = grant(ledger, 1000, "2")
    lease = run(ledger, 1, minimum_seconds=60)  # held of the first: the rest is charged when it ends
    clock.turn(250)
    ledger.close(lease.id, reason="x")
    assert balances(ledger, soon, late) == [900, 850]
    assert ledger.balance("ada").posted == 850
    assert ledger.sweep().lapsed == 1
    assert balances(ledger, soon, late) == [0, 850]


def test_it_pays_from_its_start_on(ledger: Ledger, clock: Clock) -> None:
    grant(ledger, 1000, "1", start=after(clock, HOUR))
    assert ledger.balance("ada").posted == 0
    with pytest.raises(Refused):
        admit(ledger, 1)
    clock.turn(HOUR)
    assert admit(ledger, 1).held == 600


def test_an_admission_needs_its_first_minutes_before_the_end(ledger: Ledger, clock: Clock) -> None:
    grant(ledger, to_units(5), "1", end=after(clock, 500))
    with pytest.raises(Refused, match="only until the end of an allocation, which comes before that"):
        admit(ledger, 1, ask="Ask us.")
    grant(ledger, 100, "2")
    assert admit(ledger, 1).held == 600
    assert [one.held for one in ledger.allocations("ada")] == [500, 100]


def test_what_nobody_can_pay_is_a_debt_of_the_last_and_ends_with_it(ledger: Ledger, clock: Clock) -> None:
    soon = grant(ledger, 1000, "1", end=after(clock, HOUR))
    late = grant(ledger, 1000, "2", end=after(clock, 2 * HOUR))
    lease = run(ledger, 1)
    clock.turn(3000)
    ledger.close(lease.id, reason="x")
    assert balances(ledger, soon, late) == [0, -1000]
    assert ledger.balance("ada").available == -1000
    clock.turn(2 * HOUR)
    grant(ledger, 700, "3")
    assert ledger.balance("ada").available == 700
    assert ledger.sweep().lapsed == 2
    assert balances(ledger, late) == [-1000]


# Holds -------------------------------------------------------------------------------------------------


def test_a_hold_is_extended_slice_by_slice_and_charged_as_it_runs(ledger: Ledger, clock: Clock) -> None:
    number = grant(ledger, 10_000, "1")
    lease = run(ledger, 1)
    clock.turn(400)
    ledger.seen([lease.key])
    (extension,) = ledger.extend_due(within=300, ahead=1000)
    assert (extension.short, extension.covered_until) == (False, after(clock, 1000))
    assert (extension.lease.charged, extension.lease.held) == (400, 1000)
    allocation = ledger.allocation(number)
    assert (allocation.balance, allocation.held) == (9600, 1000)
    assert ledger.extend_due(within=300, ahead=1000) == []
    clock.turn(5)
    closed = ledger.close(lease.id, reason="x")
    assert (closed.charged, closed.held) == (405, 0)
    assert ledger.allocation(number).held == 0


def test_what_is_held_for_one_is_not_there_for_another(ledger: Ledger, clock: Clock) -> None:
    grant(ledger, 2000, "1")
    lease = run(ledger, 1)
    ledger.extend(lease.id, ahead=1500)
    with pytest.raises(Refused):
        admit(ledger, 1, "other")
    clock.turn(100)
    ledger.close(lease.id, reason="x")
    assert admit(ledger, 1, "other").held == 600


def test_the_last_slice_is_as_long_as_it_can_be(ledger: Ledger, clock: Clock) -> None:
    grant(ledger, 1005, "1")
    lease = run(ledger, 10, minimum_seconds=60)
    extension = ledger.extend(lease.id, ahead=3600)
    assert (extension.short, extension.lease.held) == (True, 1000)
    assert extension.covered_until == ledger.exhausts_at("ada") == after(clock, 100)
    clock.turn(100)
    assert ledger.exhausts_at("ada") == clock.now
    assert ledger.close(lease.id, reason="x").charged == 1000


def test_what_was_last_seen_long_ago_is_charged_up_to_then_and_gets_no_next_slice(
    ledger: Ledger, clock: Clock
) -> None:
    number = grant(ledger, 100_000, "1")
    lease = run(ledger, 1)
    clock.turn(60)
    ledger.seen([lease.key])
    clock.turn(600 + HOLD_GRACE)
    assert ledger.extend_due() == []
    assert ledger.allocation(number).held == 0  # expired, swept or not
    before = ledger.balance("ada")
    assert ledger.sweep().released == 1
    assert ledger.balance("ada") == before
    assert ledger.lease(lease.id).held == 0  # type: ignore[union-attr]
    assert ledger.close(lease.id, reason="x", at=clock.now - timedelta(hours=9)).charged == 0


def test_what_others_got_of_an_expired_hold_is_not_spent_twice(ledger: Ledger, clock: Clock) -> None:
    number = grant(ledger, 700, "1")
    lost = run(ledger, 1)
    ledger.extend(lost.id, ahead=700)
    clock.turn(700 + HOLD_GRACE)
    with pytest.raises(Refused):  # it may have run all the time, so what it ran up counts
        admit(ledger, 1, "other")
    ledger.close(lost.id, reason="x", at=clock.now - timedelta(seconds=700 + HOLD_GRACE - 50))
    assert ledger.allocation(number).balance == 650
    admit(ledger, 1, "other")


def test_a_start_that_nobody_hears_of_again_is_given_up_by_its_date(ledger: Ledger, clock: Clock) -> None:
    number = grant(ledger, 1000, "1")
    lost, late = admit(ledger, 1, "lost", minimum_seconds=400), admit(ledger, 1, "late", minimum_seconds=400)
    clock.turn(START_LIMIT - 1)
    assert ledger.sweep().abandoned == 0
    clock.turn(1)
    assert ledger.balance("ada").available == 1000
    assert admit(ledger, 1, "lost", limit=1).id != lost.id
    told = ledger.begin(late.id)
    assert (told.is_open, told.started_at, told.charged) == (False, None, 0)
    clock.turn(START_LIMIT)
    assert (ledger.sweep().abandoned, ledger.sweep().abandoned) == (1, 0)
    assert ledger.open_leases() == []
    assert {lease.ended_at - lease.admitted_at for lease in ledger.statement("ada").ended if lease.ended_at} == {
        timedelta(seconds=START_LIMIT)
    }
    assert ledger.allocation(number).held == 0


# Rates -------------------------------------------------------------------------------------------------


def test_a_rate_that_changes_is_charged_segment_by_segment(ledger: Ledger, clock: Clock) -> None:
    grant(ledger, 100_000, "1")
    lease = run(ledger, 2)
    clock.turn(100)
    faster = ledger.set_rate(lease.id, 5)
    assert (faster.charged, faster.rate, faster.held) == (200, 5, 2500)
    clock.turn(10)
    slower = ledger.set_rate(lease.id, 1, at=clock.now - timedelta(seconds=4))
    assert (slower.charged, slower.held) == (230, 494)
    clock.turn(1000)
    closed = ledger.close(lease.id, reason="x")
    assert closed.charged == 200 + 6 * 5 + 1004
    assert [(one.rate, one.charged) for one in ledger.segments(lease.id)] == [(2, 200), (5, 30), (1, 1004)]


def test_a_higher_rate_that_cannot_be_held_changes_nothing(ledger: Ledger, clock: Clock) -> None:
    grant(ledger, 1000, "1")
    lease = run(ledger, 1)
    clock.turn(100)
    before = ledger.lease(lease.id), ledger.balance("ada")
    with pytest.raises(Refused, match=r"Not enough credits: A server costs .* Ask us\."):
        ledger.set_rate(lease.id, 2, ask="Ask us.")
    assert (ledger.lease(lease.id), ledger.balance("ada")) == before
    assert ledger.set_rate(lease.id, 0).held == 0
    with pytest.raises(ValueError, match="below zero"):
        ledger.set_rate(lease.id, -1)


def test_the_rate_of_what_has_not_begun_may_change(ledger: Ledger, clock: Clock) -> None:
    grant(ledger, 1000, "1")
    lease = admit(ledger, 1, minimum_seconds=100)
    assert ledger.set_rate(lease.id, 3).held == 300
    ledger.begin(lease.id)
    clock.turn(10)
    assert ledger.close(lease.id, reason="x").charged == 30


# What is done to an allocation -------------------------------------------------------------------------


def test_every_act_is_a_line_and_counts_once(ledger: Ledger, clock: Clock) -> None:
    one = grant(ledger, 1000, "1", end=after(clock, HOUR))
    two = grant(ledger, 1000, "2")
    for _ in range(2):
        ledger.supplement(one, 500, actor="eve", reason="More.", key="1")
        ledger.extend_term(one, after(clock, 3 * HOUR), actor="eve", reason="Longer.", key="1")
        ledger.transfer(one, two, 200, actor="eve", reason="For bob.", key="1")
        ledger.suspend(two, actor="eve", reason="A question.", key="1")
    assert balances(ledger, one, two) == [1300, 1200]
    assert ledger.balance("ada").posted == 1300
    ledger.resume(two, actor="eve", reason="Answered.", key="1")
    assert ledger.balance("ada").posted == 2500
    assert ledger.allocation(one).end == after(clock, 3 * HOUR)
    ledger.revoke(one, actor="eve", reason="A mistake.", key="1")
    assert ledger.balance("ada").posted == 1200
    kinds = [entry.kind for entry in reversed(ledger.statement("ada").entries)]
    assert kinds == [
        "grant",
        "grant",
        "supplement",
        "extension",
        "transfer-out",
        "transfer-in",
        "suspension",
        "resumption",
        "revocation",
    ]


def test_a_key_stands_for_one_act_with_all_that_it_says(ledger: Ledger, clock: Clock) -> None:
    one = grant(ledger, 9000, "1", end=after(clock, HOUR))
    two = grant(ledger, 9000, "2", end=after(clock, HOUR))
    ledger.open_account("bob", "explorer", 0, actor="test")
    end, later = after(clock, 2 * HOUR), after(clock, 3 * HOUR)
    acts: list[tuple[str, tuple[Any, ...], dict[str, Any], list[dict[str, Any]]]] = [
        (
            "grant",
            ("ada", 50),
            {"tier": "team", "start": end, "end": later},
            [
                {"tier": "explorer"},
                {"start": after(clock, 5)},
                {"end": None},
                {"renewable": True},
                {"reason": "y"},
            ],
        ),
        ("grant", ("ada", 50), {"term_days": 3}, [{"term_days": 4}, {"term_days": None}, {"end": later}]),
        ("supplement", (one, 50), {}, [{"allocation_id": two}, {"units": 51}, {"reason": "y"}]),
        ("extend_term", (one, end), {}, [{"allocation_id": two}, {"end": later}, {"end": None}, {"reason": "y"}]),
        ("transfer", (one, two, 50), {}, [{"units": 51}, {"source": two, "target": one}, {"reason": "y"}]),
        ("correct", ("ada", -5), {"allocation_id": one}, [{"allocation_id": two}, {"units": 5}, {"reason": "y"}]),
        ("suspend", (one,), {}, [{"allocation_id": two}, {"reason": "y"}]),
        ("resume", (one,), {}, [{"allocation_id": two}, {"reason": "y"}]),
        ("revoke", (two,), {}, [{"allocation_id": one}, {"reason": "y"}]),
        (
            "change_tier",
            ("ada", "team", 50),
            {"term_days": 3, "keep": True},
            [{"tier": "explorer"}, {"units": 51}, {"term_days": 4}, {"renewable": True}, {"reason": "y"}],
        ),
        ("change_tier", ("bob", "team", 50), {}, [{"account": "ada"}, {"end": later}]),
    ]
    for number, (name, arguments, more, others) in enumerate(acts):
        act = getattr(ledger, name)
        named = signature(act).bind_partial(*arguments, **more).arguments
        given = {"actor": "eve", "reason": "x", "key": f"act-{number}", **named}
        first = act(**given)
        before = ledger.statement("ada"), ledger.statement("bob")
        # Whoever asks again, even later, gets what was done.
        clock.turn(1)
        again = act(**{**given, "actor": "mallory"})
        assert again == first, name
        for other in others:
            with pytest.raises(ConflictingKeyError, match=f"The key 'act-{number}' stands for"):
                act(**{**given, **other})
        assert (ledger.statement("ada"), ledger.statement("bob")) == before
    # Acts of another kind have keys of their own.
    assert ledger.grant("bob", 50, actor="eve", reason="x", key=f"act-{len(acts) - 1}").balance == 50


def test_what_makes_no_sense_changes_nothing(ledger: Ledger, clock: Clock) -> None:
    one = grant(ledger, 1000, "1", end=after(clock, HOUR))
    other = grant(ledger, 1000, "2", start=after(clock, HOUR), end=after(clock, 2 * HOUR))
    before = ledger.statement("ada")
    why = {"actor": "eve", "reason": "x"}
    with pytest.raises(ValueError, match="above zero"):
        ledger.supplement(one, -1, key="a", **why)
    with pytest.raises(ValueError, match="ends after it starts"):
        grant(ledger, 5, "b", start=after(clock, 9), end=after(clock, 8))
    with pytest.raises(ImpossibleError, match="past already"):
        grant(ledger, 5, "c", start=after(clock, -9), end=after(clock, 0))
    with pytest.raises(ImpossibleError, match="not before the new end"):
        ledger.extend_term(one, after(clock, HOUR), key="d", **why)
    with pytest.raises(ImpossibleError, match=r"has 0\.00 credits that are neither held nor run up"):
        ledger.transfer(one, other, 1001, key="e", **why)
    with pytest.raises(ValueError, match="from one allocation to another"):
        ledger.transfer(one, one, 1, key="f", **why)
    with pytest.raises(ImpossibleError, match="is not suspended"):
        ledger.resume(one, key="g", **why)
    with pytest.raises(UnknownAllocationError):
        ledger.revoke(99, key="h", **why)
    ledger.open_account("bob", "explorer", 5, actor="test")
    with pytest.raises(UnknownAllocationError, match="bob has no allocation"):
        ledger.correct("bob", 1, key="i", allocation_id=one, **why)
    assert ledger.statement("ada") == before


def test_nothing_is_done_to_a_term_that_is_over_swept_or_not(ledger: Ledger, clock: Clock) -> None:
    one, two = grant(ledger, 10, "1", end=after(clock, HOUR)), grant(ledger, 10, "2", end=after(clock, HOUR))
    clock.turn(HOUR)
    why = {"actor": "eve", "reason": "x", "key": "x"}
    for _ in range(2):
        for name, arguments in (
            ("supplement", (one, 5)),
            ("extend_term", (one, None)),
            ("transfer", (one, two, 5)),
            ("suspend", (one,)),
            ("revoke", (one,)),
            ("correct", ("ada", 5)),
        ):
            with pytest.raises(ImpossibleError, match="over"):
                getattr(ledger, name)(*arguments, **why)
        ledger.sweep()


def test_a_suspended_one_pays_for_what_is_held_and_for_nothing_new(ledger: Ledger, clock: Clock) -> None:
    one = grant(ledger, 10_000, "1")
    lease = run(ledger, 1)
    clock.turn(100)
    ledger.seen([lease.key])
    ledger.suspend(one, actor="eve", reason="A question.", key="1")
    assert ledger.lease(lease.id).charged == 100  # type: ignore[union-attr]
    with pytest.raises(Refused):
        admit(ledger, 1, "other")
    extension = ledger.extend(lease.id, ahead=3600)
    assert (extension.short, extension.lease.held) == (True, 500)
    clock.turn(500)
    assert ledger.close(lease.id, reason="x").charged == 600
    assert balances(ledger, one) == [9400]


def test_only_what_is_free_can_be_transferred(ledger: Ledger, clock: Clock) -> None:
    one, two = grant(ledger, 1000, "1", end=after(clock, 9 * HOUR)), grant(ledger, 0 + 1, "2")
    lease = run(ledger, 1)
    with pytest.raises(ImpossibleError, match="neither held nor run up"):
        ledger.transfer(one, two, 401, actor="eve", reason="x", key="1")
    assert [one.balance for one in ledger.transfer(one, two, 400, actor="eve", reason="x", key="1")] == [600, 401]
    clock.turn(600)
    ledger.close(lease.id, reason="x")
    assert balances(ledger, one, two) == [0, 401]


# The end of a term -------------------------------------------------------------------------------------


def test_a_late_or_a_doubled_sweep_changes_nothing(ledger: Ledger, clock: Clock) -> None:
    one = grant(ledger, 5000, "1", end=after(clock, 1000))
    two = grant(ledger, 5000, "2")
    lease = run(ledger, 1)
    clock.turn(1500)
    available = ledger.balance("ada").available
    for _ in range(2):
        assert ledger.sweep().lapsed == 0  # what ran before the end comes first
        assert ledger.balance("ada").available == available
    ledger.close(lease.id, reason="x")
    assert balances(ledger, one, two) == [4000, 4500]
    assert [ledger.sweep().lapsed for _ in range(3)] == [1, 0, 0]
    assert balances(ledger, one, two) == [0, 4500]
    expiry = ledger.statement("ada").entries[0]
    assert (expiry.kind, expiry.amount) == ("expiry", -4000)
    assert ledger.allocation(one).lapsed_at == clock.now


def test_more_ends_than_one_batch(ledger: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubquota.services.sweep._BATCH", 3)
    for number in range(8):
        ledger.open_account(f"user-{number}", "explorer", 5, actor="test", term_days=1)
    clock.turn(24 * HOUR)
    assert ledger.sweep().lapsed == 8
    assert {row.account.balance for row in ledger.accounts()} == {0}


# Reading -----------------------------------------------------------------------------------------------


def test_the_end_of_the_credits_is_computed_over_terms_and_rates(ledger: Ledger, clock: Clock) -> None:
    assert ledger.exhausts_at("ada") is None
    grant(ledger, 1000, "1", end=after(clock, 100))
    grant(ledger, 1000, "2", start=after(clock, 50))
    assert ledger.exhausts_at("ada") is None  # nothing runs
    first = run(ledger, 2, "1", minimum_seconds=10)
    # 100 s of the first at 2, of which 800 units lapse; then 500 s of the second.
    assert ledger.exhausts_at("ada") == after(clock, 600)
    run(ledger, 3, "2", minimum_seconds=10)
    assert ledger.exhausts_at("ada") == after(clock, 300)
    clock.turn(30)
    assert ledger.exhausts_at("ada") == after(clock, 270)
    ledger.close(first.id, reason="x")
    assert ledger.exhausts_at("ada") == after(clock, 70 + 333)


def test_an_explanation_adds_up_to_what_is_available(ledger: Ledger, clock: Clock) -> None:
    one = grant(ledger, 5000, "1", end=after(clock, HOUR))
    grant(ledger, 7000, "2", start=after(clock, HOUR))
    two = grant(ledger, 3000, "3")
    ledger.supplement(one, 100, actor="eve", reason="x", key="1")
    ledger.correct("ada", -50, actor="eve", reason="x", key="1", allocation_id=two)
    ledger.close(run(ledger, 1, "a").id, reason="x")
    lease = run(ledger, 1, "b")
    clock.turn(40)
    found = ledger.explain("ada")
    assert sum(line.amount for line in found.lines) == found.available == ledger.balance("ada").available
    told = {line.text: line.amount for line in found.lines}
    assert told[f"Allocation {one} (explorer): granted, in 1 line"] == 5000
    assert told[f"Allocation {two} (explorer): corrected, in 1 line"] == -50
    assert told["Run up by what runs now and not charged yet"] == -40
    assert told["Held for what runs now"] == -560
    assert [amount for text, amount in told.items() if "begins on 2026-11-22" in text] == [0]
    ledger.close(lease.id, reason="x")
    clock.turn(HOUR)
    found = ledger.explain("ada")
    assert sum(line.amount for line in found.lines) == found.available


def test_an_account_is_on_the_tiers_that_pay_now(ledger: Ledger, clock: Clock) -> None:
    def tiers() -> tuple[str, ...]:
        account = ledger.account("ada")
        assert account is not None
        return account.tiers

    assert tiers() == ("explorer",)
    grant(ledger, 5, "1", tier="researcher", end=after(clock, HOUR))
    grant(ledger, 5, "2", tier="explorer")
    grant(ledger, 5, "3", tier="team", start=after(clock, HOUR), end=after(clock, 2 * HOUR))
    assert tiers() == ("researcher", "explorer")
    clock.turn(HOUR)
    assert tiers() == ("explorer", "team")


def test_what_runs_when_no_term_is_on_is_not_paid_by_what_is_about_to_lapse(ledger: Ledger, clock: Clock) -> None:
    one = grant(ledger, 1000, "1", end=after(clock, 100))
    lease = run(ledger, 2, minimum_seconds=50)
    clock.turn(300)
    ledger.close(lease.id, reason="x")
    assert balances(ledger, one) == [1000 - 600]  # of which 400 were for the time after the end
    ledger.sweep()
    assert balances(ledger, one) == [-400]
    grant(ledger, 500, "2")
    assert ledger.balance("ada").available == 500
