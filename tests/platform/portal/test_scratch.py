"""Scratch on its page and in the API: the price first, then made, extended, released; and what was read."""

from __future__ import annotations

import os
import re
from pathlib import Path

import httpx
from hubquota.models.scratch import GIB
from hubquota.models.tiers import Tiers
from hubquota.services.ledger import Ledger
from hubquota.services.reads import DataRead, DataReads
from hubquota.services.scratch import ScratchSpaces

from tests.platform.portal.world import PREFIX, HubStandIn, Reader, bearer, open_account

API = f"{PREFIX}api/"


async def test_the_price_is_shown_before_anything_is_made(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, tiers: Tiers
) -> None:
    open_account(ledger, tiers, "ada")
    ada, spaces = Reader(web, hub.add("ada")), ScratchSpaces.sharing(ledger)
    assert "No scratch." in await ada.open("scratch")
    wanted = {"name": "work", "gib": "40", "days": "30", "account": "ada"}
    page = await ada.send("scratch", "scratch/price", wanted, status=200)
    assert "40 GiB for 30 days cost 0.58 credits" in page and "Make work on ada" in page
    assert not spaces.all_there()
    ticket = re.search(r'name="ticket" value="([^"]+)"', page)
    assert ticket and f'action="{PREFIX}scratch"' in page
    made = await web.post(f"{PREFIX}scratch", data=wanted | {"ticket": ticket[1], "back": "scratch"})
    assert made.status_code == 303
    (one,) = spaces.all_there()
    spaces.measured(one.id, 41 * GIB)
    page = await ada.open("scratch")
    assert "0.0008 credits an hour" in page and "nothing can be written until some of it is deleted" in page
    end = str(int(one.ends_at.timestamp()))
    await ada.send("scratch", "scratch/extension", {"number": str(one.id), "days": "10", "end": end})
    again = await ada.send(
        "scratch", "scratch/extension", {"number": str(one.id), "days": "10", "end": end}, status=409
    )
    assert "Look again" in again, "a form that is sent twice extends once"
    assert (spaces.scratch(one.id).ends_at - one.ends_at).days == 10
    await ada.send("scratch", "scratch/release", {"number": str(one.id)})
    assert "extend it to open it again" in await ada.open("scratch")


async def test_other_peoples_scratch_is_not_there(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, tiers: Tiers
) -> None:
    for name in ("ada", "bob"):
        open_account(ledger, tiers, name)
    ada, bob = bearer(hub.add("ada")), bearer(hub.add("bob"))
    made = await web.post(f"{API}scratch", headers=ada, json={"name": "work", "gib": 1, "days": 1})
    assert (made.status_code, made.json()["state"]) == (201, "open")
    number = made.json()["id"]
    assert (await web.get(f"{API}scratch", headers=bob)).json() == {"scratch": []}
    for act, body in (("extension", {"days": 1}), ("release", None)):
        refused = await web.post(f"{API}scratch/{number}/{act}", headers=bob, json=body)
        assert refused.status_code == 404
    hers = {"name": "mine", "gib": 1, "days": 1, "account": "ada"}
    assert (await web.post(f"{API}scratch", headers=bob, json=hers)).status_code == 409
    again = await web.post(f"{API}scratch", headers=ada, json={"name": "work", "gib": 1, "days": 1})
    assert again.status_code == 409 and len(ScratchSpaces.sharing(ledger).all_there()) == 1


async def test_what_was_read_is_shown(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, tiers: Tiers, tmp_path: Path
) -> None:
    open_account(ledger, tiers, "ada")
    DataReads.sharing(ledger).count("ada", "one", [DataRead("roman-l2", "us-east-1", "c-1", 5_000_000, 3)])
    token = hub.add("ada")
    await web.post(f"{API}scratch", headers=bearer(token), json={"name": "work", "gib": 50, "days": 30})
    page = await Reader(web, token).open("scratch")
    assert "roman-l2" in page and "cluster c-1" in page
    answer = (await web.get(f"{API}data-read", headers=bearer(token))).json()
    assert answer["reads"][0]["bytes"] == 5_000_000
    if shown := os.environ.get("ROMANHUB_TEST_SHOW"):
        Path(shown).write_text(page)
