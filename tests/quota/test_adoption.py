"""Adoption: leases of what runs, or ran, and was never asked for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hubquota.models.ledger import Lease
from hubquota.services.ledger import Ledger
from hubquota.storage.engine import make_engine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.quota.support import Clock

KEY = "server:ada/"
RATE = 7


def adopt(ledger: Ledger, started: datetime, **more: Any) -> Lease:
    given = {"person": "ada", "kind": "server", "key": KEY, "label": "Small server", "rate": RATE}
    return ledger.adopt("ada", tier="explorer", started=started, **(given | more))


def test_it_is_charged_from_its_real_start_even_if_it_overdraws(ledger: Ledger, clock: Clock) -> None:
    ledger.open_account("ada", "explorer", RATE * 100, actor="test")
    start = clock.turn(50)
    clock.turn(1000)
    lease = adopt(ledger, start)
    assert (lease.started_at, lease.person, lease.rate) == (start, "ada", RATE)
    assert ledger.balance("ada").available == -RATE * 900
    assert ledger.exhausts_at("ada") == clock.now
    assert [found.id for found in ledger.to_stop("server")] == [lease.id]
    assert ledger.close(lease.id, reason="x", kind="budget").charged == RATE * 1000
    assert ledger.verify() == []


def test_the_time_before_the_accounts_first_allocation_is_free(ledger: Ledger, clock: Clock) -> None:
    start = clock.now
    clock.turn(5000)
    ledger.open_account("ada", "explorer", RATE * 1000, actor="test")
    clock.turn(100)
    lease = adopt(ledger, start)
    assert lease.started_at == start
    assert [(part.rate, part.charged) for part in ledger.segments(lease.id)] == [(0, 0), (RATE, 0)]
    assert ledger.balance("ada").available == RATE * 900
    ledger.seen([KEY])
    assert len(ledger.extend_due()) == 1
    assert ledger.close(lease.id, reason="x").charged == RATE * 100
    assert ledger.verify() == []


def test_an_account_without_any_allocation_gets_one_for_the_debt(ledger: Ledger, clock: Clock) -> None:
    ledger.open_account("ada", "broke", 0, actor="test")
    start = clock.now
    clock.turn(60)
    lease = adopt(ledger, start)
    (allocation,) = ledger.allocations("ada")
    assert (allocation.balance, allocation.renewable) == (0, False)
    clock.turn(30)
    assert [found.id for found in ledger.to_stop("server")] == [lease.id]
    assert ledger.close(lease.id, reason="x").charged == RATE * 30
    assert ledger.balance("ada").available == -RATE * 30
    assert ledger.verify() == []


def test_what_ended_before_there_was_an_allocation_is_free_and_ends_when_it_did(
    ledger: Ledger, clock: Clock
) -> None:
    start = clock.now
    end = clock.turn(60)
    clock.turn(500)
    ledger.open_account("ada", "explorer", 0, actor="test")
    lease = adopt(ledger, start, ended=end, reason="x", origin="local:1")
    assert (lease.started_at, lease.ended_at, lease.charged) == (start, end, 0)
    assert ledger.verify() == []


def test_what_was_started_at_a_price_is_charged_for_that_time_too(ledger: Ledger, clock: Clock) -> None:
    start = clock.now
    end = clock.turn(60)
    clock.turn(500)
    ledger.open_account("ada", "explorer", RATE * 1000, actor="test")
    lease = adopt(ledger, start, ended=end, reason="x", origin="local:1", priced=True)
    assert lease.charged == RATE * 60
    assert ledger.balance("ada").available == RATE * 940
    assert ledger.verify() == []


def test_what_has_an_open_lease_already_keeps_it(ledger: Ledger, clock: Clock) -> None:
    ledger.open_account("ada", "explorer", RATE * 10_000, actor="test")
    admitted = ledger.admit("ada", kind="server", key=KEY, label="Small server", rate=RATE)
    ledger.begin(admitted.id)
    clock.turn(100)
    assert adopt(ledger, clock.now - timedelta(seconds=50)).id == admitted.id
    assert len(ledger.open_leases()) == 1


def test_one_origin_is_adopted_once_however_often_it_is_told_of(ledger: Ledger, clock: Clock) -> None:
    ledger.open_account("ada", "explorer", RATE * 10_000, actor="test")
    start = clock.turn(10)
    end = clock.turn(200)
    clock.turn(500)
    given: dict[str, Any] = {"ended": end, "reason": "It is over.", "end_kind": "stopped", "origin": "local:1"}
    first = adopt(ledger, start, **given)
    assert (first.charged, first.reason, first.end_kind) == (RATE * 200, "It is over.", "stopped")
    assert adopt(ledger, start, **given) == first
    assert ledger.verify() == []


def test_what_somebody_else_found_running_is_not_charged_again(ledger: Ledger, clock: Clock) -> None:
    ledger.open_account("ada", "explorer", RATE * 10_000, actor="test")
    start = clock.turn(10)
    clock.turn(100)
    found = adopt(ledger, start)
    end = clock.turn(100)
    told = adopt(ledger, start, ended=end, reason="x", origin="local:1")
    assert (told.id, told.is_open, told.charged) == (found.id, False, RATE * 200)
    # The same, where the other lease has ended already.
    assert adopt(ledger, start, ended=end, reason="x", origin="local:2").id == found.id
    assert adopt(ledger, start, ended=end, reason="x", origin="local:2").charged == RATE * 200
    assert ledger.verify() == []


def test_what_ended_before_the_next_server_began_is_charged_beside_it(ledger: Ledger, clock: Clock) -> None:
    ledger.open_account("ada", "explorer", RATE * 10_000, actor="test")
    start = clock.turn(10)
    end = clock.turn(100)
    clock.turn(100)
    now = ledger.admit("ada", kind="server", key=KEY, label="Small server", rate=RATE)
    ledger.begin(now.id)
    past = adopt(ledger, start, ended=end, reason="x", origin="local:1")
    assert (past.charged, past.is_open) == (RATE * 100, False)
    assert ledger.open_lease(KEY).id == now.id  # type: ignore[union-attr]
    assert ledger.verify() == []


def test_nonsense_is_turned_down(ledger: Ledger, clock: Clock) -> None:
    ledger.open_account("ada", "explorer", 5, actor="test")
    with pytest.raises(ValueError, match="below zero"):
        adopt(ledger, clock.now, rate=-1)
    with pytest.raises(ValueError, match="before it has started"):
        adopt(ledger, clock.now, ended=clock.now - timedelta(seconds=1))


def test_of_things_that_cost_next_to_nothing_the_end_is_never(ledger: Ledger, clock: Clock) -> None:
    ledger.open_account("ada", "explorer", 10**15, actor="test")
    adopt(ledger, clock.now, rate=1)
    assert ledger.exhausts_at("ada") is None


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    spans=st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500), st.booleans()), min_size=1, max_size=5),
    budget=st.integers(1, 2000),
)
def test_no_second_is_charged_twice_and_every_charge_adds_up(
    new_url: Callable[[], str], spans: list[tuple[int, int, bool]], budget: int
) -> None:
    clock = Clock()
    begin = clock.now
    engine = make_engine(new_url())
    ledger = Ledger(engine, clock)
    ledger.open_account("ada", "explorer", RATE * budget, actor="test")
    clock.turn(2000)
    for number, (start, length, twice) in enumerate(spans):
        origin = f"local:{number}"
        at = begin + timedelta(seconds=start)
        for _ in range(1 + twice):
            adopt(ledger, at, ended=at + timedelta(seconds=length), reason="x", origin=origin)
    leases = ledger.statement("ada").ended
    ran = sorted((lease.started_at, lease.ended_at) for lease in leases if lease.started_at and lease.ended_at)
    assert all(one[1] <= other[0] for one, other in pairwise(ran))
    assert sum(lease.charged for lease in leases) == RATE * sum(int((e - s).total_seconds()) for s, e in ran)
    assert ledger.verify() == []
    engine.dispose()
