"""Purges in the portal: a plan is read and decided about, and what was taken is asked for."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from hubquota.models.purge import Stage
from hubquota.services.ledger import Ledger
from hubquota.services.purge import PurgeRegister
from hubquota.services.tiersfile import TiersFile
from hubquota.storage.engine import decision, make_engine
from hubquota.storage.tables import purge_plan
from romanhub.portal import scopes
from romanhub.portal.app import create_app
from romanhub.portal.hub import HubClient
from romanhub.portal.settings import PortalSettings
from sqlalchemy import insert

from tests.platform.portal.purge_world import ROOT, PurgeWorld
from tests.platform.portal.test_acts import people, send
from tests.platform.portal.world import PREFIX, Clock, HubStandIn, Late, Reader, bearer, words

API = f"{PREFIX}api/"
PERSON = ("access:services!service=portal",)


@pytest.fixture
def world(tmp_path: Path, ledger: Ledger, clock: Clock) -> PurgeWorld:
    return PurgeWorld(tmp_path, ledger, clock)


@pytest.fixture
async def app(
    settings: PortalSettings, ledger: Ledger, hub: HubStandIn, clock: Clock, world: PurgeWorld
) -> AsyncIterator[FastAPI]:
    async with httpx.AsyncClient(transport=httpx.MockTransport(hub.answer)) as http:
        yield create_app(
            settings.model_copy(update={"purge_file": str(world.file)}),
            ledger=ledger,
            tiers=TiersFile(settings.tiers_file),
            hub=HubClient(settings.hub, http, monotonic=lambda: clock.now.timestamp()),
            clock=clock,
        )


def stages(ledger: Ledger, account: str) -> list[Stage]:
    return [item.stage for item in PurgeRegister.sharing(ledger).items_of(account)]


async def test_a_plan_is_reviewed_approved_by_its_digest_and_carried_out_by_the_command(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, world: PurgeWorld
) -> None:
    edwin = Reader(web, hub.add("edwin", scopes=(*PERSON, scopes.ADMIN)))
    world.set(notice_days=[])
    world.expire("olga", "pavel")
    number, digest = world.plan()
    page = f"admin/purge/{number}"

    assert "It waits for approval." in await edwin.open("admin/purge")
    text = await edwin.open(page)
    assert digest in text
    assert "5.7 MiB in 4 files" in text
    assert "The last term of olga ended on 2026-11-03; its grace is over." in text

    stale = await edwin.send(page, f"{page}/approve", {"digest": "0" * 12}, status=409)
    assert f"has the digest {digest[:12]}, not" in stale
    assert world.service().advance(dry_run=False) == []
    await edwin.send(page, f"{page}/approve", {"digest": digest[:12]})
    assert "by edwin" in await edwin.open("admin/purge")
    world.service().advance(dry_run=False)
    assert stages(ledger, "olga") == [Stage.QUARANTINED]
    assert not (world.homes / "olga").exists()

    text = await edwin.open(page)
    assert "2 quarantined" in text
    assert "quarantine: ended" in text
    await edwin.send(page, f"{page}/cancel", {"reason": "A mistake"})
    assert "It no longer counts. The plan was cancelled by edwin: A mistake" in await edwin.open(page)
    world.service().advance(dry_run=False)
    assert (world.homes / "olga" / "notes.txt").exists(), "the next run gives it back"


async def test_the_limits_on_how_much_is_purged_at_once_hold_here_too(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, world: PurgeWorld
) -> None:
    edwin = Reader(web, hub.add("edwin", scopes=(*PERSON, scopes.ADMIN)))
    world.set(limits={"accounts": 1, "percent": 100})
    world.expire("olga", "pavel")
    number, digest = world.plan()
    page, form = f"admin/purge/{number}", {"digest": digest[:12]}

    refused = await edwin.send(page, f"{page}/approve", form, status=409)
    assert "at most 1 may be purged at once" in refused
    await edwin.send(page, f"{page}/approve", {**form, "override": "The old course is over"})
    plan = PurgeRegister.sharing(ledger).plans()[0]
    assert (plan.approved_by, plan.override) == ("edwin", "The old course is over")


async def test_there_may_be_more_plans_than_a_page_holds(
    web: httpx.AsyncClient, hub: HubStandIn, settings: PortalSettings
) -> None:
    token = people(hub)["auditor"]
    auditor = Reader(web, token)
    engine = make_engine(settings.database_url.get_secret_value())
    with decision(engine) as connection:
        rows = [{"made_at": 0, "made_by": "edwin", "digest": f"{number:064}"} for number in range(120)]
        connection.execute(insert(purge_plan), rows)
    engine.dispose()

    def numbers(text: str) -> list[int]:
        return [int(one) for one in re.findall(r'admin/purge/([0-9]+)">Plan', text)]

    first = await auditor.open("admin/purge")
    assert numbers(first) == list(range(120, 70, -1)) and "Newest" not in first
    further = re.search(r"admin/(purge\?before=[0-9]+)", first)
    assert further is not None
    assert numbers(await auditor.open(f"admin/{further[1]}")) == list(range(70, 20, -1))
    last = await auditor.open("admin/purge?before=21")
    assert numbers(last) == list(range(20, 0, -1)) and "Further back" not in last
    assert "There is no older plan" in await auditor.open("admin/purge?before=1")

    page = await web.get(f"{API}purge/plans?limit=70", headers=bearer(token))
    rest = await web.get(page.headers["Link"].partition(">")[0][1:], headers=bearer(token))
    assert [one["id"] for one in rest.json()["plans"]] == list(range(50, 0, -1))
    assert (page.json()["next_before"], rest.json()["next_before"]) == (51, None)


async def test_an_owner_reads_what_is_taken_and_asks_for_it_back(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, world: PurgeWorld, clock: Clock
) -> None:
    olga = Reader(web, hub.add("olga", scopes=(*PERSON, scopes.REQUEST)))
    pavel = hub.add("pavel", scopes=(*PERSON, scopes.REQUEST))
    assert "What is kept and what is taken away" not in await olga.open(), "before there is an account"
    world.set(notice_days=[14], quarantine_days=30)
    world.expire("olga", "pavel")
    world.take(times=1)
    day = f"{clock.now.replace(day=19):%Y-%m-%d}"
    assert f"It will be moved to an archive on {day}." in await olga.open()
    clock.advance(days=14)
    world.service().advance(dry_run=False)
    assert "It was moved aside, and will be deleted on 2026-12-19." in await olga.open()

    assert (await send(web, pavel, "purge/things/1/return", {})).status_code == 403, "it is not his"
    await olga.send("", "purge/things/1/return", {"from": "own:"})
    assert "olga has asked for it back." in await olga.open()
    assert "Ask for it back" not in await olga.open()
    world.service().advance(dry_run=False)
    assert stages(ledger, "olga") == [Stage.RESTORED]
    assert stages(ledger, "pavel") == [Stage.QUARANTINED]
    assert "It was brought back to" in await olga.open()
    assert (world.homes / "olga" / "notes.txt").exists()

    mine = (await web.get(f"{API}purge/things", headers=bearer(pavel))).json()["things"]
    assert [(one["stage"], one["can_ask"]) for one in mine] == [("quarantined", True)]
    back = await send(web, pavel, "purge/things/2/return", {})
    assert (back.status_code, back.json()["asked_by"], back.json()["can_ask"]) == (200, "pavel", False)
    nothing = await send(web, pavel, "purge/things/99/return", {})
    assert nothing.status_code == 404


async def test_what_is_restored_from_the_archive_says_who_asked_for_it(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, world: PurgeWorld
) -> None:
    token = hub.add("olga", scopes=(*PERSON, scopes.REQUEST))
    world.set(notice_days=[], quarantine_days=0)
    world.expire("olga")
    world.take()
    assert stages(ledger, "olga") == [Stage.DELETED]

    assert (await send(web, token, "purge/things/1/return", {})).status_code == 200
    world.service().advance(dry_run=False)

    assert stages(ledger, "olga") == [Stage.RESTORED]
    register = PurgeRegister.sharing(ledger)
    assert register.events(1)[-1].text.endswith(f"{world.homes / 'olga'}: olga asked for it.")
    (item,) = register.items_of("olga")
    assert item.reason == "olga asked for it"


async def test_holds_are_put_on_and_lifted_by_administrators_and_by_pis_of_what_is_theirs(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, world: PurgeWorld
) -> None:
    who = people(hub)
    edwin, ada = Reader(web, who["edwin"]), Reader(web, who["ada"])
    world.expire("olga")
    ledger.open_project("lens", "team", pi="ada", actor="edwin")
    register = PurgeRegister.sharing(ledger)

    await edwin.send("admin/purge", "purge/holds", {"from": "purge:", "account": "olga", "reason": "On leave"})
    assert "On leave. By edwin." in await edwin.open("admin/purge")
    assert world.service().plan(by=ROOT).found == (), "nothing of an account on hold is named"
    assert "The account is on hold since" in await edwin.open("admin/accounts/olga")
    await edwin.send(
        "admin/accounts/olga",
        "purge/releases",
        {"from": "account:olga", "account": "olga", "reason": "She is back"},
    )
    assert register.holds() == []
    assert "by edwin. She is back." in await edwin.open("admin/purge?lifted=true")
    audit = await edwin.open("admin/audit?kind=hold")
    told = ["Hold lifted", "She is back.", "nothing of it is purged", "On leave."]
    assert sorted(told, key=audit.index) == told

    await ada.send(
        "projects/lens", "purge/holds", {"from": "project:lens", "account": "lens", "reason": "A paper"}
    )
    assert [one.account for one in register.holds()] == ["lens"]
    assert "The account is on hold since" in await ada.open("projects/lens")
    await ada.send(
        "projects/lens", "purge/releases", {"from": "project:lens", "account": "lens", "reason": "It is out"}
    )
    assert register.holds() == []

    assert (await send(web, who["ada"], "purge/holds", {"account": "olga", "reason": "r"})).status_code == 403
    assert (await send(web, who["notebook"], "purge/holds", {"account": "lens", "reason": "r"})).status_code == 403
    held = await send(web, who["edwin"], "purge/holds", {"account": "olga", "reason": "r"})
    assert held.json() == {"account": "olga", "on_hold": True}
    listed = await web.get(f"{API}purge/holds", headers=bearer(who["auditor"]))
    assert [one["account"] for one in listed.json()["holds"]] == ["olga"]
    assert (
        await send(web, who["edwin"], "purge/releases", {"account": "nobody", "reason": "r"})
    ).status_code == 404
    assert (await send(web, who["edwin"], "purge/releases", {"account": "olga"})).status_code == 422


async def test_programs_review_and_decide_as_their_scopes_say(
    web: httpx.AsyncClient, hub: HubStandIn, world: PurgeWorld
) -> None:
    who = people(hub)
    world.expire("olga", "pavel", "quentin")
    number, digest = world.plan()

    async def read(path: str, name: str = "auditor") -> httpx.Response:
        return await web.get(f"{API}purge/plans{path}", headers=bearer(who[name]))

    assert (await read("", "ada")).status_code == 403
    assert [(one["id"], one["things"]) for one in (await read("")).json()["plans"]] == [(number, 3)]
    first = await read(f"/{number}?limit=2")
    assert [one["account"] for one in first.json()["things"]] == ["olga", "pavel"]
    assert first.json()["stages"] == {"planned": 3}
    rest = await web.get(first.headers["Link"].partition(">")[0][1:], headers=bearer(who["auditor"]))
    assert [one["account"] for one in rest.json()["things"]] == ["quentin"]
    assert (await read("/99")).status_code == 404
    assert (await read("/99/events")).status_code == 404

    approval = {"digest": digest[:12]}
    assert (await send(web, who["auditor"], f"purge/plans/{number}/approval", approval)).status_code == 403
    assert (await send(web, who["edwin"], f"purge/plans/{number}/approval", {"digest": "abc"})).status_code == 422
    approved = await send(web, who["edwin"], f"purge/plans/{number}/approval", approval)
    assert approved.json()["approved_by"] == "edwin"
    ended = await send(web, who["nina"], f"purge/plans/{number}/cancellation", {"reason": "No."})
    assert ended.json()["closed_reason"] == "The plan was cancelled by nina: No."
    late = await send(web, who["edwin"], f"purge/plans/{number}/approval", approval)
    assert late.status_code == 409
    events = (await read(f"/{number}/events")).json()["events"]
    assert [one["kind"] for one in events] == ["cancel", "approve", "plan"]


async def test_where_no_purge_is_configured_the_pages_say_so(
    settings: PortalSettings, hub: HubStandIn, ledger: Ledger, world: PurgeWorld, clock: Clock
) -> None:
    world.expire("olga")
    number, digest = world.plan()
    token = hub.add("edwin", scopes=(*PERSON, scopes.ADMIN))
    async with httpx.AsyncClient(transport=httpx.MockTransport(hub.answer)) as http:
        app = create_app(
            settings, ledger=ledger, tiers=TiersFile(settings.tiers_file), hub=HubClient(settings.hub, http),
            clock=clock,
        )  # fmt: skip
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app), base_url="http://romanhub.test"
        ) as web:
            edwin = Reader(web, token)
            assert "No purge is configured for the portal" in await edwin.open("admin/purge")
            page = await edwin.open(f"admin/purge/{number}")
            assert "No purge is configured for the portal" in page
            assert "Approve the plan" not in page
            refused = await send(web, token, f"purge/plans/{number}/approval", {"digest": digest})
            assert (refused.status_code, "HUBQUOTA_PURGE" in refused.json()["detail"]) == (409, True)
            assert PurgeRegister.sharing(ledger).plans()[0].approved_at is None


async def test_a_plan_that_is_stale_is_not_approved_and_the_page_says_what_to_do(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, world: PurgeWorld, clock: Clock
) -> None:
    token = hub.add("edwin", scopes=(*PERSON, "admin-ui"))
    world.expire("olga", "pavel")
    number, digest = world.plan()
    page = f"admin/purge/{number}"
    early, replaced = await Late.opens(web, token, page), await Late.opens(web, token, page)

    clock.advance(days=8)
    old = await early.sends(f"{page}/approve", digest=digest[:12])
    assert old.status_code == 409
    assert "and could be approved until" in words(old)
    assert "Make a new one." in words(old)
    newer, _ = world.plan()
    gone = await replaced.sends(f"{page}/approve", digest=digest[:12])
    assert gone.status_code == 409
    assert f"Plan {number} no longer counts: Plan {newer} has replaced it." in words(gone)
    assert "Back to the page" in words(gone)
    assert all(plan.approved_at is None for plan in PurgeRegister.sharing(ledger).plans())
