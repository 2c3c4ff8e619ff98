"""Another tiers file on the use that has been: asked for on a page and by programs, and bounded."""

from __future__ import annotations

import re
from datetime import timedelta

import httpx
import pytest
from hubquota.models.tiers import Tiers
from hubquota.services.ledger import Ledger
from hubquota.services.tiersfile import TiersFile
from romanhub.portal import scopes
from romanhub.portal.desk import Desk
from romanhub.portal.problems import PortalError
from romanhub.portal.trying import LONGEST_FILE, Trying

from tests.platform.portal.test_acts import people, send
from tests.platform.portal.world import PREFIX, TIERS, Clock, HubStandIn, Reader, bearer, tell_story

PERSON = ("access:services!service=portal",)
#: The file in force with a budget of the tier researcher that ada has used up since.
SCARCE = TIERS.read_text().replace("budget: 500\n", "budget: 20\n")


async def test_an_administrator_tries_a_file_and_reads_who_would_have_noticed(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, clock: Clock, tiers: Tiers
) -> None:
    token = hub.add("edwin", scopes=(*PERSON, scopes.ADMIN))
    edwin, since = Reader(web, token), clock.now
    tell_story(ledger, clock, tiers)
    page = "admin/what-if"
    assert "budget: 500" in await edwin.open(page), "the text begins as the file in force"
    form: dict[str, str | list[str]] = {
        "tiers": SCARCE, "since": f"{since:%Y-%m-%d}", "until": f"{clock.now:%Y-%m-%d}", "budgets": "tier",
    }  # fmt: skip

    text = await edwin.send(page, page, form, status=200)
    assert re.search(r'admin/accounts/ada">ada</a>', text)
    assert "by budget" in text
    assert "budget: 20\n" in text, "what was tried can be changed and tried again"
    same = await edwin.send(page, page, {**form, "tiers": TIERS.read_text(), "budgets": "granted"}, status=200)
    assert "would have run out of credits" in same

    wrong = await edwin.send(
        page, page, {**form, "tiers": SCARCE.replace("budget: 20", "budget: many")}, status=422
    )
    assert re.search(r"the file:\d+: tiers\.researcher\.budget: ", wrong)
    assert "budget: many" in wrong, "nothing that was written is lost"
    for changed, said in (
        ({"since": "2024-01-01"}, "longer than 400 days"),
        ({"since": "2027-09-01"}, "end after it begins"),
        ({"tiers": " "}, "Give the text"),
        ({"budgets": "none"}, "Budgets are"),
        ({"tiers": "#" * (LONGEST_FILE + 1)}, "Shorten it"),
    ):
        assert said in await edwin.send(page, page, {**form, **changed}, status=422)


async def test_a_file_that_is_uploaded_counts_before_the_text(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, clock: Clock, tiers: Tiers
) -> None:
    token = hub.add("edwin", scopes=(*PERSON, scopes.ADMIN))
    tell_story(ledger, clock, tiers)
    source = await Reader(web, token).open("admin/what-if")
    ticket = re.search(r'name="ticket" value="([^"]+)"', source)
    assert ticket
    fields = {
        "ticket": ticket[1], "once": "x", "back": "", "tiers": "not a file", "since": "2026-11-02", "until": "",
        "budgets": "tier",
    }  # fmt: skip
    address = f"{PREFIX}admin/what-if"

    found = await web.post(address, data=fields, files={"file": ("new.yaml", SCARCE.encode(), "text/yaml")})
    assert found.status_code == 200
    assert "by budget" in found.text
    none = await web.post(address, data={**fields, "tiers": SCARCE}, files={"file": ("", b"", "text/plain")})
    assert none.status_code == 200
    forged = await web.post(address, data={**fields, "ticket": "x"}, files={"file": ("a", b"a", "text/yaml")})
    assert (forged.status_code, "opened too long ago, or not here" in forged.text) == (403, True)
    large = await web.post(address, data=fields, files={"file": ("a", b"a" * 600_000, "text/yaml")})
    assert large.status_code == 413
    odd = await web.post(address, content=b"--", headers={"Content-Type": "multipart/form-data"})
    assert odd.status_code == 403, "what cannot be read has no ticket"


async def test_programs_try_a_file_and_only_those_of_administrators(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, clock: Clock, tiers: Tiers
) -> None:
    who, since = people(hub), clock.now
    tell_story(ledger, clock, tiers)
    body = {"tiers": SCARCE, "since": since.isoformat()}

    assert (await send(web, who["auditor"], "what-if", body)).status_code == 403
    found = (await send(web, who["edwin"], "what-if", body)).json()
    ada = {one["account"]: one for one in found["outcomes"]}["ada"]
    assert ada["refused_starts"] == len(ada["refusals"]) > 0
    total = found["total"]
    parts = [float(total[name]) for name in ("charged", "refused", "stopped")]
    assert float(total["priced"]) == pytest.approx(sum(parts))
    mistakes = await send(web, who["edwin"], "what-if", {**body, "tiers": "tiers: 3"})
    assert mistakes.status_code == 422
    assert "the file:1: " in mistakes.json()["detail"]
    assert (await web.get(f"{PREFIX}api/what-if", headers=bearer(who["edwin"]))).status_code == 405


async def test_a_replay_that_takes_too_long_is_stopped_and_there_is_one_at_a_time(
    ledger: Ledger, clock: Clock, tiers: Tiers
) -> None:
    since = clock.now
    tell_story(ledger, clock, tiers)
    desk = Desk(ledger, TiersFile(TIERS), clock=clock, deadline=10)
    times = iter([0.0, 1.0, 21.0])
    slow = Trying(desk, seconds=20, monotonic=lambda: next(times))
    with pytest.raises(PortalError, match=r"longer than 20 seconds and was stopped\..*hubquota what-if"):
        await slow.run(SCARCE, since, None)

    trying = Trying(desk, seconds=20)
    with trying._turn, pytest.raises(PortalError, match="Another replay is under way"):
        await trying.run(SCARCE, since, None)
    assert (await trying.run(SCARCE, since, since + timedelta(days=1))).accounts > 0, "it is free again"
