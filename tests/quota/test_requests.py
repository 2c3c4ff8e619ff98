"""Requests for allocations, and who decides what about them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from hubquota.models.ledger import ImpossibleError, UnknownRequestError
from hubquota.models.requests import Actor, ConflictingRequestError, NotAllowedError
from hubquota.models.states import State
from hubquota.models.tiers import Tiers
from hubquota.services.ledger import Ledger
from hubquota.services.requests import Requests
from sqlalchemy import Engine

from tests.quota.support import Clock

ADA, EVE, ADMIN = Actor("ada"), Actor("eve"), Actor("root", admin=True)


@pytest.fixture
def requests(engine: Engine, ledger: Ledger, clock: Clock) -> Requests:
    ledger.open_account("ada", "explorer", 1000, actor="test", term_days=90)
    ledger.open_project("survey", "team", pi="eve", actor="root")
    return Requests(engine, clock)


def later(clock: Clock, days: int) -> datetime:
    return clock.now + timedelta(days=days)


def test_a_request_that_is_cut_and_granted(requests: Requests, ledger: Ledger, clock: Clock) -> None:
    asked = requests.ask("ada", "researcher", 9000, justification="Lenses.", by=ADA)
    assert (asked.state, asked.asked_by, requests.queue()) == (State.REQUESTED, "ada", [asked])
    done = requests.approve(asked.id, by=ADMIN, reason="Half of it.", end=later(clock, 365), units=4500)
    assert (done.decision, done.decided_by, done.decision_reason) == ("approved", "root", "Half of it.")
    assert done.allocation is not None
    made = ledger.allocation(done.allocation)
    assert (made.balance, made.tier, made.end, made.granted_by) == (4500, "researcher", later(clock, 365), "root")
    assert requests.queue() == []
    assert requests.queue(account="ada", open_only=False) == [done]
    with pytest.raises(ConflictingRequestError, match=r"was approved by root on 2026-11-22 already"):
        requests.deny(asked.id, by=ADMIN, reason="x")
    assert ledger.verify() == []


def test_only_those_who_may_ask_and_decide(requests: Requests, ledger: Ledger) -> None:
    ledger.set_member("survey", "ada", "member", actor="eve")
    with pytest.raises(NotAllowedError, match="ada cannot ask for an allocation of survey"):
        requests.ask("survey", "team", 5, justification="x", by=ADA)
    with pytest.raises(NotAllowedError):
        requests.ask("ada", "team", 5, justification="x", by=EVE)
    asked = requests.ask("survey", "team", 5, justification="x", by=EVE)
    for act in (
        lambda: requests.approve(asked.id, by=EVE, reason="x", end=None),
        lambda: requests.deny(asked.id, by=EVE, reason="x"),
        lambda: requests.withdraw(asked.id, by=ADA),
    ):
        with pytest.raises(NotAllowedError):
            act()
    assert requests.withdraw(asked.id, by=EVE).state is State.WITHDRAWN
    again = requests.ask("survey", "team", 5, justification="x", by=ADMIN)
    assert requests.deny(again.id, by=ADMIN, reason="No room.").state is State.DENIED


def test_what_makes_no_sense_is_an_error(requests: Requests, clock: Clock) -> None:
    with pytest.raises(ValueError, match="more than nothing"):
        requests.ask("ada", "team", 0, justification="x", by=ADA)
    with pytest.raises(ValueError, match="what it is for"):
        requests.ask("ada", "team", 5, justification=" ", by=ADA)
    asked = requests.ask("ada", "team", 5, justification="x", by=ADA)
    with pytest.raises(ConflictingRequestError, match="ada has asked for the tier team for ada already"):
        requests.ask("ada", "team", 9, justification="x", by=ADMIN)
    with pytest.raises(ValueError, match="up to the"):
        requests.approve(asked.id, by=ADMIN, reason="x", end=None, units=6)
    with pytest.raises(ValueError, match="ends after it starts"):
        requests.approve(asked.id, by=ADMIN, reason="x", end=clock.now)
    with pytest.raises(ValueError, match="give a reason"):
        requests.deny(asked.id, by=ADMIN, reason="")
    with pytest.raises(UnknownRequestError):
        requests.request(99)
    assert requests.request(asked.id) == asked


def test_a_renewal_follows_the_last_term_with_its_use_and_results(
    requests: Requests, ledger: Ledger, clock: Clock
) -> None:
    (last,) = ledger.allocations("ada")
    lease = ledger.begin(ledger.admit("ada", kind="server", key="k", label="x", rate=1).id)
    clock.turn(300)
    ledger.close(lease.id, reason="x")
    asked = requests.renew(last.id, justification="More.", results="doi:10.5555/1", by=ADA)
    assert (asked.amount, asked.used, asked.results, asked.renews) == (1000, 300, "doi:10.5555/1", last.id)
    assert last.end is not None
    done = requests.approve(asked.id, by=ADMIN, reason="Yes.", end=last.end + timedelta(days=90))
    assert done.allocation is not None
    following = ledger.allocation(done.allocation)
    assert following.start == last.end
    assert ledger.balance("ada").posted == 700
    with pytest.raises(ImpossibleError, match=f"renewed already: by allocation {following.id}"):
        requests.renew(last.id, justification="Again.", results="", by=ADA)
    once = ledger.grant("ada", 5, actor="root", reason="x", key="x")
    with pytest.raises(ImpossibleError, match="cannot be renewed"):
        requests.renew(once.id, justification="More.", results="", by=ADA)
    gone = ledger.grant("ada", 5, actor="root", reason="x", key="y", renewable=True)
    ledger.revoke(gone.id, actor="root", reason="x", key="1")
    with pytest.raises(ImpossibleError, match="was revoked"):
        requests.renew(gone.id, justification="More.", results="", by=ADA)


def test_what_follows_may_be_followed_where_its_tier_says_so(engine: Engine, tiers: Tiers, clock: Clock) -> None:
    made = dict(tiers.tiers)
    made["team"] = made["team"].model_copy(update={"renewable": False})
    changed = tiers.model_copy(update={"tiers": made})
    requests, ledger = Requests(engine, clock, lambda: changed), Ledger(engine, clock)
    ledger.open_account("ada", "explorer", 1000, actor="test", term_days=90)
    for tier, renewable in (("team", False), ("researcher", True)):
        asked = requests.ask("ada", tier, 5, justification="x", by=ADA)
        number = requests.approve(asked.id, by=ADMIN, reason="Yes.", end=None).allocation
        assert number is not None and ledger.allocation(number).renewable is renewable


def test_of_two_who_renew_at_once_one_does(requests: Requests, ledger: Ledger) -> None:
    (last,) = ledger.allocations("ada")
    start = threading.Barrier(2)

    def act(by: Actor) -> bool:
        start.wait()
        try:
            requests.renew(last.id, justification="More.", results="", by=by)
        except ConflictingRequestError:
            return False
        return True

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(act, (ADA, ADMIN))) == [False, True]
    assert len(requests.queue()) == 1
