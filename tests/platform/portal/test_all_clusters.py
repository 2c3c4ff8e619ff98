"""Dask clusters for administrators: a list with costs, limits and stops with a reason, by page and by API."""

from __future__ import annotations

import httpx
from hubquota.models.tiers import Tiers
from hubquota.services.ledger import Ledger
from romanhub.portal import scopes

from tests.platform.portal.world import (
    PREFIX,
    Clock,
    HubStandIn,
    Reader,
    bearer,
    open_account,
    tell_of_clusters,
)

API = f"{PREFIX}api/admin/clusters"
PERSON = ("access:services!service=portal",)
WIDE = "9b1dd0f0a1c94f2f8d5b7c3e6a4f1e22"
OWN = "3f2a9c417bd84e0c9b6a5d1e8f70c2aa"


def begin(ledger: Ledger, clock: Clock, tiers: Tiers) -> None:
    open_account(ledger, tiers, "ada", "team")
    ledger.open_project("bulge-survey", "team", pi="ada", actor="edwin")
    ledger.set_member("bulge-survey", "cecilia", "member", actor="ada")
    ledger.grant("bulge-survey", 900 * 3_600_000_000, actor="edwin", reason="x", key="1", tier="team")
    tell_of_clusters(ledger, clock)


async def test_a_program_lists_limits_and_stops_clusters_as_its_scopes_say(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, tiers: Tiers, clock: Clock
) -> None:
    begin(ledger, clock, tiers)
    admin, auditor = (
        hub.add("edwin", scopes=(*PERSON, scopes.ADMIN)),
        hub.add("iris", scopes=(*PERSON, scopes.READ)),
    )
    ada = hub.add("ada", scopes=(*PERSON, scopes.REQUEST))
    found = (await web.get(API, headers=bearer(auditor))).json()["clusters"]
    wide, own, ending = found
    assert (wide["name"], wide["owner"], wide["account"]) == (WIDE, "cecilia", "bulge-survey")
    assert (wide["workers"], wide["price"], wide["cost"]) == (12, "1.8", "2.7")
    assert wide["instruction"]["most"] == 8
    assert (own["workers"], own["instruction"], own["stopping"]) == (3, None, None)
    assert (ending["stopping"], ending["stopping_kind"]) == (
        "edwin stopped this cluster: Maintenance of its machines.",
        "admin",
    )

    limit = {"workers": 1, "reason": "Too much for now"}
    for _ in range(2):
        answer = await web.post(f"{API}/{OWN}/limit", json=limit, headers=bearer(admin))
        assert (answer.status_code, answer.json()["most"], answer.json()["by"]) == (200, 1, "edwin")
    told = [one.text for one in ledger.notices("ada") if one.kind == "cluster-limited"]
    assert told == [
        f"Cluster {OWN}, on the account ada.\n\nedwin limited this cluster to 1 worker at once: Too much for now."
    ]
    answer = await web.post(f"{API}/{OWN}/stop", json={"reason": "Enough"}, headers=bearer(admin))
    assert (answer.status_code, answer.json()["most"]) == (200, None)
    assert ledger.cluster(OWN).lease.end_kind == "admin"

    for path, body, token, status, said in (
        (f"{OWN}/limit", limit, admin, 409, "told to stop already"),
        ("gone/stop", {"reason": "x"}, admin, 404, "No cluster 'gone' runs"),
        (f"{WIDE}/stop", {"reason": " "}, admin, 422, "Say why"),
        (f"{WIDE}/limit", {"workers": -1, "reason": "x"}, admin, 422, "greater than or equal to 0"),
        (f"{WIDE}/stop", {"reason": "x"}, auditor, 403, "Only the people who run this platform"),
        (f"{WIDE}/stop", {"reason": "x"}, ada, 403, "Only the people who run this platform"),
    ):
        answer = await web.post(f"{API}/{path}", json=body, headers=bearer(token))
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        assert said in answer.json()["detail"]
    assert (await web.get(API, headers=bearer(ada))).status_code == 403


async def test_an_administrator_limits_and_stops_a_cluster_on_its_page(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, tiers: Tiers, clock: Clock
) -> None:
    page, edwin = "admin/clusters", Reader(web, hub.add("edwin", scopes=(*PERSON, scopes.ADMIN)))
    assert "No cluster runs." in await edwin.open(page)
    begin(ledger, clock, tiers)
    source = await edwin.open(page)
    for text in ("cecilia", "bulge-survey", "1.8", "2.70", "edwin limited this cluster to 8 workers at once"):
        assert text in source
    assert "Stopping. edwin stopped this cluster: Maintenance of its machines." in source

    await edwin.send(page, f"{page}/{OWN}/limit", {"workers": "2", "reason": "Share them"})
    assert "edwin limited this cluster to 2 workers at once: Share them." in await edwin.open(page)
    await edwin.send(page, f"{page}/{OWN}/stop", {"reason": "Now"})
    assert ledger.cluster(OWN).lease.reason == "edwin stopped this cluster: Now."
    assert "whole number" in await edwin.send(
        page, f"{page}/{WIDE}/limit", {"workers": "-", "reason": "x"}, status=422
    )

    iris = Reader(web, hub.add("iris", scopes=(*PERSON, scopes.READ)))
    assert "Limit" not in (await iris.open(page)).replace("A limit or a stop", "")
    await Reader(web, hub.add("ada", scopes=PERSON)).open(page, status=403)
