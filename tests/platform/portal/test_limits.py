"""Overrides, tiers and caps: who may give them, what counts then, and that they can be taken back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest
from hubquota.models.ledger import Refused
from hubquota.models.money import to_units
from hubquota.models.tiers import Tiers
from hubquota.services.ledger import Ledger
from romanhub.portal import scopes

from tests.platform.portal.test_acts import people, send
from tests.platform.portal.world import PREFIX, Clock, HubStandIn, Reader, bearer, open_account

API = f"{PREFIX}api/"
PERSON = ("access:services!service=portal",)


async def test_an_override_counts_until_its_last_day_and_can_be_withdrawn(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, tiers: Tiers
) -> None:
    edwin = Reader(web, hub.add("edwin", scopes=(*PERSON, scopes.ADMIN)))
    ada = Reader(web, hub.add("ada"))
    open_account(ledger, tiers, "ada")
    page = "admin/accounts/ada"
    form: dict[str, str | list[str]] = {
        "account": "ada", "size": ["large"], "workers": "40", "until": "2026-11-20", "reason": "A school",
    }  # fmt: skip

    await edwin.send(page, "admin/overrides", form)
    (given,) = ledger.overrides("ada")
    assert (given.limits.sizes, given.limits.workers, given.limits.servers) == (("large",), 40, None)
    assert given.until == datetime(2026, 11, 21, tzinfo=UTC), "the last day counts as a whole"
    assert ledger.entitlement(tiers, "ada").tier.dask.workers == 40
    for who, path in ((edwin, page), (ada, "")):
        text = await who.open(path)
        assert "Size large; 40 Dask workers at once." in text
        assert "20 Nov 2026" in text
        assert "A school. By edwin." in text
    assert "Withdraw" not in await ada.open()

    await edwin.send(page, f"admin/overrides/{given.id}/withdraw", {"reason": "It was cancelled"})
    assert ledger.overrides("ada") == []
    assert "No override is in force" in await edwin.open(page)

    for wrong, said in (
        ({**form, "size": [], "workers": ""}, "Name one limit at least"),
        ({**form, "size": "giant"}, "There is no size &#39;giant&#39;. The sizes are"),
        ({**form, "idle_stop_minutes": "0"}, "from 1 to"),
        ({**form, "until": ""}, "on which day"),
        ({**form, "reason": " "}, "Say why"),
    ):
        assert said in await edwin.send(page, "admin/overrides", wrong, status=422)
    late = await edwin.send(page, "admin/overrides", {**form, "until": "2026-11-01"}, status=409)
    assert "that date is past" in late
    assert ledger.overrides("ada") == []


async def test_an_account_is_moved_to_another_tier(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, tiers: Tiers, clock: Clock
) -> None:
    edwin = Reader(web, hub.add("edwin", scopes=(*PERSON, scopes.ADMIN)))
    open_account(ledger, tiers, "ada")
    page, form = "admin/accounts/ada", {"account": "ada", "tier": "team", "reason": "She leads a team"}

    await edwin.send(page, "admin/tier", {**form})
    (left,) = [one for one in ledger.allocations("ada") if one.revoked_at is None]
    assert (left.tier, left.balance) == ("team", tiers.tiers["team"].budget_units)
    assert left.end == clock.now + timedelta(days=tiers.tiers["team"].term_days)
    await edwin.send(page, "admin/tier", {**form})
    assert len(ledger.allocations("ada", lapsed=True)) == 2, "a form that is sent twice counts once"
    assert "There is no tier" in await edwin.send(page, "admin/tier", {**form, "tier": "giant"}, status=422)


async def test_the_api_gives_withdraws_and_lists_as_its_scopes_say(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, tiers: Tiers
) -> None:
    who = people(hub)
    open_account(ledger, tiers, "ada")
    open_account(ledger, tiers, "bob")
    body = {"account": "ada", "servers": 3, "until": "2026-12-01T00:00:00Z", "reason": "A school."}

    assert (await send(web, who["ada"], "overrides", body)).status_code == 403
    assert (await send(web, who["edwin"], "overrides", body, key=None)).status_code == 422
    empty = await send(web, who["edwin"], "overrides", {**body, "servers": None})
    assert (empty.status_code, "one limit at least" in empty.json()["detail"]) == (422, True)
    given = await send(web, who["edwin"], "overrides", body, key="school")
    again = await send(web, who["edwin"], "overrides", body, key="school")
    other = await send(web, who["edwin"], "overrides", {**body, "servers": 4}, key="school")
    assert (given.status_code, given.json()["limits"]["servers"]) == (201, 3)
    assert again.json() == given.json()
    assert other.status_code == 409

    own = (await web.get(f"{API}overrides", headers=bearer(who["notebook"]))).json()["overrides"]
    assert [one["id"] for one in own] == [given.json()["id"]]
    assert (await web.get(f"{API}overrides?account=bob", headers=bearer(who["ada"]))).status_code == 403
    everybody = await web.get(f"{API}overrides", headers=bearer(who["auditor"]))
    assert [one["account"] for one in everybody.json()["overrides"]] == ["ada"]

    path = f"overrides/{given.json()['id']}/withdrawal"
    assert (await send(web, who["auditor"], path, {"reason": "No."})).status_code == 403
    ended = await send(web, who["edwin"], path, {"reason": "No school."})
    assert (ended.json()["withdrawn_by"], ended.json()["withdrawn_reason"]) == ("edwin", "No school.")
    assert (await send(web, who["edwin"], "overrides/99/withdrawal", {"reason": "x"})).status_code == 404

    moved = await send(web, who["edwin"], "tier-changes", {"account": "ada", "tier": "researcher", "reason": "r"})
    assert (moved.status_code, moved.json()["tier"]) == (201, "researcher")
    assert (
        await send(web, who["ada"], "tier-changes", {"account": "ada", "tier": "team", "reason": "r"})
    ).is_error


async def test_a_pi_caps_a_member_and_lifts_the_cap(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, clock: Clock
) -> None:
    ada = Reader(web, hub.add("ada", scopes=(*PERSON, scopes.REQUEST)))
    ledger.open_project("lens", "team", pi="ada", actor="edwin")
    ledger.set_member("lens", "cecilia", "member", actor="ada")
    ledger.grant("lens", to_units(100), actor="edwin", reason="Cycle 1", key="l", tier="team")
    held = ledger.admit(
        "lens", kind="server", key="server:cecilia/", label="Large server", rate=125_000,
        minimum_seconds=600, person="cecilia",
    )  # fmt: skip
    ledger.begin(held.id)
    clock.advance(hours=4)
    ledger.close(held.id, reason="Stopped.", actor="cecilia")
    page = "projects/lens"
    form = {"project": "lens", "member": "cecilia", "reason": "A share for each"}

    await ada.send(page, "projects/caps", {**form, "credits": "0.5", "workers": "20"})
    (use,) = [one for one in ledger.member_use("lens") if one.member == "cecilia"]
    assert use.cap
    assert (use.cap.credits, use.cap.workers, use.cap.actor) == (to_units("0.5"), 20, "ada")
    assert use.left == 0
    assert "A share for each. By ada." in await ada.open(page)
    with pytest.raises(Refused, match="cap"):
        ledger.admit(
            "lens", kind="server", key="server:cecilia/", label="x", rate=125_000, minimum_seconds=600,
            person="cecilia",
        )  # fmt: skip

    assert "how many credits" in await ada.send(page, "projects/caps", form, status=422)
    await ada.send(page, "projects/caps", {**form, "lift": "yes"})
    assert [one.left for one in ledger.member_use("lens")] == [None, None]


async def test_nobody_but_pis_and_administrators_caps(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger
) -> None:
    who = {name: hub.add(name, scopes=(*PERSON, scopes.REQUEST)) for name in ("ada", "cecilia", "mallory")}
    who["edwin"] = hub.add("edwin", scopes=(*PERSON, scopes.ADMIN))
    ledger.open_project("lens", "team", pi="ada", actor="edwin")
    ledger.set_member("lens", "cecilia", "member", actor="ada")
    body = {"project": "lens", "member": "cecilia", "credits": "5", "reason": "r"}

    for name in ("cecilia", "mallory"):
        assert (await send(web, who[name], "caps", body, method="PUT")).status_code == 403
        assert (await web.get(f"{API}caps?project=lens", headers=bearer(who[name]))).status_code == 403
    assert ledger.caps("lens") == []
    for name in ("ada", "edwin"):
        done = await send(web, who[name], "caps", {**body, "workers": len(name)}, method="PUT")
        cap = {one["member"]: one for one in done.json()["members"]}["cecilia"]
        assert (cap["credits"], cap["left"], cap["workers"], cap["set_by"]) == ("5", "5", len(name), name)
    assert (await send(web, who["edwin"], "caps", {**body, "project": "none"}, method="PUT")).status_code == 404
