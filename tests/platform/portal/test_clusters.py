"""A person's own Dask clusters, on their page and in the API: cost, time left, warnings and why they ended."""

from __future__ import annotations

from decimal import Decimal

import httpx
import pytest
from hubquota.models.clusters import cluster_key, worker_key
from hubquota.models.kinds import CLUSTER, WORKER
from hubquota.models.ledger import Lease
from hubquota.models.money import rate_of, to_units
from hubquota.models.tiers import Tiers
from hubquota.services.ledger import Ledger
from romanhub.client.clusters import ClusterState, Offer

from tests.platform.portal.world import PREFIX, Clock, HubStandIn, Reader, bearer, open_account

API = f"{PREFIX}api/"
NAME = "a" * 32


def start_cluster(ledger: Ledger, person: str, name: str = NAME, *, account: str | None = None) -> Lease:
    """Admit and begin a cluster, as the gateway does: for nothing."""
    lease = ledger.admit(
        account or person, person=person, kind=CLUSTER, key=cluster_key(name), label="Dask cluster", rate=0
    )
    return ledger.begin(lease.id)


def start_worker(
    ledger: Ledger, person: str, which: str, name: str = NAME, *, account: str | None = None
) -> Lease:
    """Admit and begin one of a cluster's workers, at 0.04 credits an hour."""
    lease = ledger.admit(
        account or person, person=person, kind=WORKER, key=worker_key(name, which), label="Dask worker",
        rate=rate_of("0.04"),
    )  # fmt: skip
    return ledger.begin(lease.id)


async def get(web: httpx.AsyncClient, token: str, path: str = "clusters", *, status: int = 200) -> httpx.Response:
    found = await web.get(f"{API}{path}", headers=bearer(token))
    assert found.status_code == status, found.text
    return found


async def test_a_cluster_says_what_it_costs_and_how_long_that_lasts(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, clock: Clock, tiers: Tiers
) -> None:
    token = hub.add("ada")
    open_account(ledger, tiers, "ada")
    start_cluster(ledger, "ada")
    first = start_worker(ledger, "ada", "1")
    start_worker(ledger, "ada", "2")
    clock.advance(hours=1)
    ledger.close(first.id, reason="The worker has ended.", actor="dask-gateway")
    clock.advance(hours=1)

    found = ClusterState.model_validate((await get(web, token, f"clusters/{NAME}")).json())

    # Three hours of workers so far; the one that runs lasts as long as what is left.
    assert (found.workers, found.cost, found.price) == (1, Decimal("0.12"), Decimal("0.04"))
    assert found.limit == tiers.tiers["explorer"].dask.workers
    left = tiers.tiers["explorer"].budget - Decimal("0.12")
    assert found.seconds_left == int(left / Decimal("0.04") * 3600)
    assert found.warnings == ()
    assert "1 worker now for 0.04 credits an hour; 0.12 credits so far." in found.lines()[0]
    page = await Reader(web, token).open("clusters")
    assert f"dask/dashboard/{NAME}/status" in page
    assert "0.12" in page


async def test_a_warning_and_the_reason_of_the_end_reach_the_owner(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, clock: Clock, tiers: Tiers
) -> None:
    token = hub.add("ada")
    open_account(ledger, tiers, "ada")
    lease = start_cluster(ledger, "ada")
    start_worker(ledger, "ada", "1")
    ledger.tell(
        "ada", kind="cluster-stop", key=f"stop:{lease.id}:budget:10:1", subject="A cluster will be stopped",
        text="Your Dask cluster is stopped in 10 minutes.\n\nIts credits end then.",
    )  # fmt: skip
    ledger.tell("ada", kind="cluster-stop", key="stop:999:budget:10:1", subject="Another", text="Of another one.")
    before = (await get(web, token, f"clusters/{NAME}")).json()
    assert before["warnings"] == ["Your Dask cluster is stopped in 10 minutes. Its credits end then."]
    assert "stopped in 10 minutes" in await Reader(web, token).open("clusters")

    ledger.announce_stop(lease.id, "The credits that paid for it are used up.", "budget")
    begun = (await get(web, token, f"clusters/{NAME}")).json()
    assert begun["warnings"][-1] == "It is being stopped. The credits that paid for it are used up."
    assert begun["ended_at"] is None

    clock.advance(minutes=3)
    worker = ledger.open_lease(worker_key(NAME, "1"))
    assert worker
    ledger.close(worker.id, reason="The credits that paid for it are used up.", actor="dask-gateway")
    ledger.close(lease.id, reason="The credits that paid for it are used up.", actor="dask-gateway")
    after = ClusterState.model_validate((await get(web, token, f"clusters/{NAME}")).json())
    assert after.ended
    assert after.cost == Decimal("0.002")
    assert after.lines()[-1].endswith("The credits that paid for it are used up.")
    listed = (await get(web, token)).json()
    assert listed["running"] == []
    assert [one["name"] for one in listed["past"]] == [NAME]
    assert "The credits that paid for it are used up." in await Reader(web, token).open("clusters")


async def test_nobody_elses_clusters_are_told(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, tiers: Tiers
) -> None:
    ledger.open_project("survey", "team", pi="bob", actor="edwin")
    ledger.set_member("survey", "ada", "member", actor="bob")
    ledger.grant("survey", to_units(10), actor="edwin", reason="A share", key="survey-1", tier="team")
    open_account(ledger, tiers, "ada")
    start_cluster(ledger, "ada", account="survey")
    # Not even those who lead the project that pays, nor the people who run the platform, are told here.
    for other in (hub.add("bob"), hub.add("edwin", scopes=("access:services!service=portal", "admin-ui"))):
        missing = await get(web, other, f"clusters/{NAME}", status=404)
        assert missing.json()["detail"] == "You have no cluster of that name."
        assert (await get(web, other)).json()["running"] == []
    assert (await get(web, hub.add("ada"), f"clusters/{NAME}")).json()["account"] == "survey"
    service = hub.add("robot", kind="service")
    await get(web, service, status=403)


async def test_clusters_that_have_ended_are_paged(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, clock: Clock, tiers: Tiers
) -> None:
    token = hub.add("ada")
    open_account(ledger, tiers, "ada")
    for number in range(25):
        lease = start_cluster(ledger, "ada", f"{number:032}")
        clock.advance(minutes=1)
        ledger.close(lease.id, reason=f"Stopped by ada, number {number:02}.", actor="dask-gateway")
    first = await get(web, token, "clusters?limit=10")
    second = (await get(web, token, f"clusters?limit=10&before={first.json()['next_before']}")).json()
    assert [one["name"][-2:] for one in second["past"]] == [f"{number:02}" for number in range(14, 4, -1)]
    assert 'rel="next"' in first.headers["link"]
    page = await Reader(web, token).open("clusters")
    assert "number 24." in page
    assert "number 04." not in page
    assert "Further back" in page


async def test_an_offer_names_the_limit_the_room_and_the_price_of_a_size(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, tiers: Tiers
) -> None:
    token, dask = hub.add("ada"), tiers.tiers["explorer"].dask
    await get(web, token, "clusters/offer", status=404)
    open_account(ledger, tiers, "ada")
    start_cluster(ledger, "ada")
    start_worker(ledger, "ada", "1")

    offer = Offer.model_validate((await get(web, token, "clusters/offer")).json())

    assert (offer.account, offer.own, offer.tier) == ("ada", True, tiers.tiers["explorer"].title)
    assert (offer.workers, offer.room) == (dask.workers, dask.workers - 1)
    assert (offer.price, offer.running) == (dask.price, Decimal("0.04"))
    too_large = await get(web, token, f"clusters/offer?worker_cores={dask.worker_cores + 1}", status=422)
    assert "A worker on the account ada has at most" in too_large.json()["detail"]
    assert "cannot draw on" in (await get(web, token, "clusters/offer?account=bob", status=403)).text


async def test_a_cap_on_a_member_limits_what_is_offered(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, tiers: Tiers
) -> None:
    ledger.open_project("survey", "team", pi="bob", actor="edwin")
    ledger.set_member("survey", "ada", "member", actor="bob")
    ledger.grant("survey", to_units(10), actor="edwin", reason="A share", key="survey-1", tier="team")
    ledger.set_cap("survey", "ada", credits=to_units(2), workers=3, actor="bob", reason="A share for each of us")
    offer = (await get(web, hub.add("ada"), "clusters/offer?account=survey")).json()
    assert (offer["account"], offer["own"], offer["workers"], offer["available"]) == ("survey", False, 3, "2")


@pytest.mark.parametrize("name", ["..", "a b", "x" * 65])
async def test_what_cannot_be_a_name_is_refused(web: httpx.AsyncClient, hub: HubStandIn, name: str) -> None:
    found = await web.get(f"{API}clusters/{name}", headers=bearer(hub.add("ada")))
    assert found.status_code in (404, 422)
