"""What a cluster may draw on, and what has to stop, by a ledger whose clock the test turns."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hubquota.models.kinds import WORKER
from hubquota.models.ledger import Lease, Refused
from hubquota.models.money import to_units
from hubquota.models.overrides import Overridden
from hubquota.models.tiers import Tiers
from hubquota.services.ledger import Ledger
from hubquota.services.tiersfile import load_tiers
from hubquota.storage.engine import make_engine
from hubquota.storage.migrate import migrate
from romanhub.dask.orders import LEAD, Order, orders_for
from romanhub.dask.payers import ENDED, check_start, last_stop, payers_for

from tests.quota.support import HERE, Clock

CLUSTERS = {"one": ("survey", "ada"), "two": ("survey", "eve"), "own": ("ada", "ada")}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def tiers() -> Tiers:
    return load_tiers(HERE / "hub_tiers.yaml")


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    engine = make_engine(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    migrate(engine)
    ledger = Ledger(engine, clock)
    ledger.open_account("ada", "explorer", to_units(81), actor="test")
    ledger.open_project("survey", "explorer", pi="eve", actor="admin")
    ledger.set_member("survey", "ada", "member", actor="eve")
    ledger.grant("survey", to_units(1), actor="admin", reason="A survey.", key="1")
    yield ledger
    engine.dispose()


def work(ledger: Ledger, cluster: str, number: int = 0) -> Lease:
    account, person = CLUSTERS[cluster]
    lease = ledger.admit(
        account,
        person=person,
        kind=WORKER,
        key=f"{WORKER}:{cluster}/{number}",
        label="Dask worker",
        rate=40_000_000 // 3600,
    )
    return ledger.begin(lease.id)


# Who pays ----------------------------------------------------------------------------------------------


def test_the_account_that_the_server_draws_on_pays_unless_another_one_is_chosen(
    ledger: Ledger, tiers: Tiers
) -> None:
    payers = payers_for(ledger, tiers, "ada", ())
    assert (list(payers.entitlements), payers.default) == (["ada", "survey"], "ada")
    ledger.admit("survey", person="ada", kind="server", key="server:ada/", label="A server", rate=1)
    assert payers_for(ledger, tiers, "ada", ()).default == "survey"
    # With servers on two accounts there is no telling which one is meant.
    ledger.admit("ada", kind="server", key="server:ada/two", label="A server", rate=1)
    assert payers_for(ledger, tiers, "ada", ()).default == "ada"
    assert payers_for(ledger, tiers, "new", ()).default == "new"
    with pytest.raises(Refused, match="You cannot draw on an account 'eve'; you can on: ada, survey"):
        payers.chosen("eve", tiers.ask)


def test_a_start_is_refused_with_the_limit_and_why_the_last_workers_stopped(
    ledger: Ledger, tiers: Tiers, clock: Clock
) -> None:
    payers = payers_for(ledger, tiers, "ada", ())
    check_start(ledger, tiers, payers, "survey", "ada", [])
    with pytest.raises(Refused, match=r"The tier of survey, Explorer, allows 1 Dask cluster at a time.*1 \(x\)"):
        check_start(ledger, tiers, payers, "survey", "ada", ["x"])
    ledger.set_cap("survey", "ada", credits=1, actor="eve", reason="x")
    with pytest.raises(Refused, match="Your cap on survey leaves") as refused:
        check_start(ledger, tiers, payers, "survey", "ada", [])
    assert refused.value.limit == "cap"
    ledger.set_cap("survey", "ada", actor="eve", reason="x")
    lease = work(ledger, "one")
    clock.turn(60)
    ledger.announce_stop(lease.id, "The credits that paid for it are used up.")
    ledger.close(lease.id, reason=ENDED)
    ledger.correct("survey", -ledger.balance("survey").posted, actor="admin", reason="x", key="c")
    with pytest.raises(Refused) as short:
        check_start(ledger, tiers, payers, "survey", "ada", [])
    assert short.value.message == (
        "The balance of survey is used up, so no Dask cluster can start. Your last workers were stopped on "
        f"2026-11-22 at 12:01 UTC: The credits that paid for it are used up. {tiers.ask}"
    )
    assert last_stop(ledger, "survey", "eve") == ""
    (one,) = ledger.allocations("survey")
    ledger.suspend(one.id, actor="admin", reason="Misuse.", key="s")
    with pytest.raises(Refused, match=r"survey is suspended.*Misuse\."):
        check_start(ledger, tiers, payers_for(ledger, tiers, "ada", ()), "survey", "ada", [])


# What has to stop --------------------------------------------------------------------------------------


def test_a_cluster_stops_before_the_credits_of_its_account_end_and_no_other_does(
    ledger: Ledger, tiers: Tiers, clock: Clock
) -> None:
    work(ledger, "one")
    work(ledger, "own")
    found = orders_for(ledger, tiers, CLUSTERS, clock.now)
    end = ledger.exhausts_at("survey")
    assert end is not None
    assert (found.clusters, found.named, found.next_at) == ({}, frozenset(), end - LEAD)
    clock.now = end - LEAD
    found = orders_for(ledger, tiers, CLUSTERS, clock.now)
    why = "The credits that paid for it are used up."
    assert found.clusters["one"] == Order("one", 0, why, final=True)
    assert "own" not in found.clusters


def test_a_member_whose_cap_is_used_up_stops_and_the_others_go_on(
    ledger: Ledger, tiers: Tiers, clock: Clock
) -> None:
    mine, theirs = work(ledger, "one"), work(ledger, "two")
    ledger.set_cap("survey", "ada", credits=mine.rate * 900, actor="eve", reason="x")
    assert orders_for(ledger, tiers, CLUSTERS, clock.now).next_at == clock.now + timedelta(seconds=900) - LEAD
    clock.turn(880)
    ledger.seen([mine.key, theirs.key])
    found = orders_for(ledger, tiers, CLUSTERS, clock.now)
    assert found.clusters == {"one": Order("one", 0, "ada's cap on the project survey is used up.", final=True)}


def test_the_newest_workers_stop_where_a_limit_was_lowered(ledger: Ledger, tiers: Tiers, clock: Clock) -> None:
    for cluster, number in (("one", 0), ("two", 0), ("one", 1), ("two", 1)):
        work(ledger, cluster, number)
    assert orders_for(ledger, tiers, CLUSTERS, clock.now).clusters == {}
    until = clock.now + timedelta(hours=1)
    limits = Overridden(workers=3)
    ledger.give_override("survey", limits, until, actor="admin", reason="x", key="1")
    why = "The limit of survey is 3 workers at once now."
    found = orders_for(ledger, tiers, CLUSTERS, clock.now)
    assert found.clusters == {"two": Order("two", 1, why, final=False)}
    ledger.set_cap("survey", "ada", workers=0, actor="eve", reason="x")
    found = orders_for(ledger, tiers, CLUSTERS, clock.now)
    assert found.clusters["one"].allowed == 0
    clock.now = until
    ledger.set_cap("survey", "ada", actor="eve", reason="x")
    assert orders_for(ledger, tiers, CLUSTERS, clock.now).clusters == {}


def test_what_somebody_announced_stops(ledger: Ledger, tiers: Tiers, clock: Clock) -> None:
    lease = work(ledger, "one")
    ledger.announce_stop(lease.id, "Maintenance.")
    assert orders_for(ledger, tiers, CLUSTERS, clock.now).named == {lease.key}
    assert orders_for(ledger, tiers, {}, clock.now).named == frozenset()
