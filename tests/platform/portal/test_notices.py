"""A person's notices, on their page and in the API: read, counted, and sent where they say."""

from __future__ import annotations

import httpx
from hubquota.services.delivery import Preferences
from hubquota.services.ledger import Ledger
from romanhub.portal import scopes

from tests.platform.portal.world import PREFIX, HubStandIn, Reader, bearer

API = f"{PREFIX}api/"
PERSON = ("access:services!service=portal",)


def told(ledger: Ledger, person: str, *subjects: str) -> None:
    for subject in subjects:
        ledger.tell(person, kind="allocation-granted", key=subject, subject=subject, text=f"{subject}, at length.")


async def test_unread_notices_come_first_and_are_counted_at_the_top_of_every_page(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger
) -> None:
    ada = Reader(web, hub.add("ada", scopes=(*PERSON, scopes.REQUEST)))
    told(ledger, "ada", "The first", "The second <b>", "The third")
    told(ledger, "bob", "Bob's own")
    ledger.mark_read("ada", [3])

    page = await ada.open("notices")
    assert "The second &lt;b&gt;" in page
    assert "Bob" not in page
    assert page.index("The second") < page.index("The first") < page.index("Read before") < page.index("The third")
    assert '<span class="count">2<span class="hidden"> unread</span></span>' in await ada.open("projects")

    await ada.send("notices", "notices/read", {"number": "1"})
    assert [one.id for one in ledger.notices("ada", unread_only=True)] == [2]
    await ada.send("notices", "notices/read", {"number": "4"})
    assert ledger.unread("bob") == 1, "other people's are passed over"
    await ada.send("notices", "notices/read", {"number": "2"})
    assert 'class="count"' not in await ada.open()
    assert "You have read everything." in await ada.open("notices")


async def test_read_notices_are_paged(web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger) -> None:
    ada = Reader(web, hub.add("ada"))
    told(ledger, "ada", *(f"Number {number:02}" for number in range(25)))
    ledger.mark_read("ada")

    first = await ada.open("notices")
    second = await ada.open("notices?before=6")

    assert "Number 05" in first
    assert "Number 04" not in first
    assert 'notices?before=6#read" rel="next"' in first
    assert "Number 04" in second
    assert 'rel="next"' not in second


async def test_people_say_what_they_are_sent_and_where(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger
) -> None:
    ada = Reader(web, hub.add("ada", scopes=(*PERSON, scopes.REQUEST)))
    preferences = Preferences.sharing(ledger)

    assert "No mail address is noted here." in await ada.open("notices")
    await ada.send("notices", "notices/address", {"address": "ada@example.org"})
    assert "Mail goes to <strong>ada@example.org</strong>." in await ada.open("notices")
    assert "not a mail address" in await ada.send(
        "notices", "notices/address", {"address": "ada, bob@example.org"}, status=422
    )
    assert preferences.address("ada") == "ada@example.org"
    await ada.send("notices", "notices/address", {"address": ""})
    assert preferences.address("ada") is None

    preferences.opt_out("ada", "allocation-resumed")
    await ada.send("notices", "notices/kinds", {"sent": ["allocation-granted", "allocation-resumed"]})
    assert "allocation-resumed" not in preferences.opted_out("ada")
    assert {"allocation-supplemented", "allocation-extended"} <= preferences.opted_out("ada")
    page = await ada.open("notices")
    assert 'value="allocation-granted" checked' in page
    assert 'value="allocation-extended" checked' not in page
    assert "allocation-expiring" not in page, "what is always sent is no choice"
    assert "no kind of notice" in await ada.send(
        "notices", "notices/kinds", {"sent": "allocation-expiring"}, status=422
    )


async def test_programs_read_notices_and_change_nothing_without_the_scope(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger
) -> None:
    token, notebook = hub.add("ada", scopes=(*PERSON, scopes.REQUEST)), "notebook"
    hub.people[notebook] = {**hub.people[token], "scopes": list(PERSON)}
    told(ledger, "ada", "The first", "The second", "The third")

    page = await web.get(f"{API}notices?limit=2", headers=bearer(notebook))
    assert [one["subject"] for one in page.json()["notices"]] == ["The third", "The second"]
    assert (page.json()["unread"], page.json()["next_before"]) == (3, 2)
    assert page.headers["Link"] == f'<{API}notices?limit=2&before=2>; rel="next"'

    wishes = {"address": "elsewhere@example.org", "sent": []}
    for method, path, body in (("POST", "notices/read", {}), ("PUT", "notices/wishes", wishes)):
        refused = await web.request(method, f"{API}{path}", json=body, headers=bearer(notebook))
        assert refused.status_code == 403, "what runs in a server cannot turn a person's mail away"
    assert Preferences.sharing(ledger).address("ada") is None

    left = await web.post(f"{API}notices/read", json={"numbers": [1]}, headers=bearer(token))
    assert left.json() == {"unread": 2}
    everything = await web.post(f"{API}notices/read", json={}, headers=bearer(token))
    assert everything.json() == {"unread": 0}
    said = await web.put(f"{API}notices/wishes", json=wishes, headers=bearer(token))
    assert said.json()["address"] == "elsewhere@example.org"
    assert not any(choice["sent"] for choice in said.json()["optional"])
    assert (await web.get(f"{API}notices/wishes", headers=bearer(notebook))).json() == said.json()
