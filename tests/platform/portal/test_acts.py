"""What programs change through the API, with which scope, and that repeating it is safe."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any

import httpx
import pytest
from hubquota.models.money import to_units
from hubquota.models.tiers import Tiers
from hubquota.services.ledger import Ledger
from hubquota.services.tiersfile import TiersFile
from romanhub.portal import scopes
from romanhub.portal.app import create_app
from romanhub.portal.hub import HubClient
from romanhub.portal.settings import PortalSettings

from tests.platform.portal.world import (
    PREFIX,
    TIERS,
    Clock,
    HubStandIn,
    Reader,
    bearer,
    open_account,
    tell_more,
    tell_of_limits,
    tell_story,
)

API = f"{PREFIX}api/"
PERSON = ("access:services!service=portal",)


def people(hub: HubStandIn) -> dict[str, str]:
    """Tokens: of two administrators, an auditor, a person who may ask, and that person's notebook."""
    tokens = {
        name: hub.add(name, scopes=(*PERSON, *more))
        for name, more in {
            "edwin": (scopes.ADMIN, scopes.READ, scopes.REQUEST),
            "nina": (scopes.ADMIN, scopes.READ, scopes.REQUEST),
            "auditor": (scopes.READ,),
            "ada": (scopes.REQUEST,),
        }.items()
    }
    hub.people["notebook"] = {**hub.people[tokens["ada"]], "scopes": list(PERSON)}
    return {**tokens, "notebook": "notebook"}


async def send(
    web: httpx.AsyncClient,
    token: str,
    path: str,
    body: dict[str, Any],
    *,
    key: str | None = "k",
    method: str = "POST",
) -> httpx.Response:
    headers = bearer(token) | ({"Idempotency-Key": key} if key else {})
    return await web.request(method, f"{API}{path}", json=body, headers=headers)


async def test_a_request_goes_from_the_question_to_one_decision(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, clock: Clock
) -> None:
    who = people(hub)
    question = {"tier": "team", "amount": "2000", "justification": "The bulge."}
    asked = await send(web, who["ada"], "requests", question)
    assert (asked.status_code, asked.json()["amount"], asked.json()["decision"]) == (201, "2000", None)
    assert ledger.balance("ada").posted == to_units(50), "the account was opened with it"
    twice = await send(web, who["ada"], "requests", question)
    assert twice.status_code == 409
    assert "request 1. Withdraw it to ask again." in twice.json()["detail"]

    number = asked.json()["id"]
    cut = await send(web, who["edwin"], f"requests/{number}/approval", {"reason": "Half.", "amount": "1000"})
    late = await send(web, who["nina"], f"requests/{number}/denial", {"reason": "No."})

    assert (cut.status_code, cut.json()["decision"]) == (200, "approved")
    assert late.status_code == 409
    assert late.json()["title"] == "Somebody was here first"
    assert "Request 1 was approved by edwin on 2026-11-02 already." in late.json()["detail"]
    found = (await web.get(f"{API}allocations/{cut.json()['allocation']}", headers=bearer(who["ada"]))).json()
    assert (found["tier"], found["balance"], found["state"]) == ("team", "1000", "active")
    assert found["end"] == (clock.now + timedelta(days=365)).strftime("%Y-%m-%dT%H:%M:%SZ")
    mine = (await web.get(f"{API}requests", headers=bearer(who["ada"]))).json()["requests"]
    assert [(one["decision"], one["decision_reason"]) for one in mine] == [("approved", "Half.")]


async def test_an_act_that_is_sent_again_is_done_once(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, tiers: Tiers
) -> None:
    who = people(hub)
    open_account(ledger, tiers, "ada")
    grant = {"account": "ada", "amount": "12.5", "reason": "A gap."}

    first = await send(web, who["edwin"], "allocations", grant, key="gap-1")
    again = await send(web, who["edwin"], "allocations", grant, key="gap-1")
    other = await send(web, who["edwin"], "allocations", {**grant, "amount": "99"}, key="gap-1")
    nina = await send(web, who["nina"], "allocations", grant, key="gap-1")
    without = await send(web, who["edwin"], "allocations", grant, key=None)

    assert first.status_code == again.status_code == nina.status_code == 201
    assert first.json() == again.json()
    assert nina.json()["id"] != first.json()["id"], "another person's key is another key"
    assert (other.status_code, other.json()["title"]) == (409, "The idempotency key is taken")
    assert without.status_code == 422
    assert "idempotency-key" in without.json()["detail"].lower()
    assert ledger.balance("ada").posted == to_units(75)


async def test_every_act_on_an_allocation_is_a_line_of_the_journal_with_its_reason(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, tiers: Tiers, clock: Clock
) -> None:
    who = people(hub)
    open_account(ledger, tiers, "ada")
    end = clock.now + timedelta(days=9)
    body = {"account": "ada", "amount": "10", "reason": "r0", "end": end.isoformat()}
    number = (await send(web, who["edwin"], "allocations", body)).json()["id"]
    later = (end + timedelta(days=1)).isoformat()
    for place, (act, more) in enumerate(
        [
            ("supplement", {"amount": "5"}),
            ("extension", {"end": later}),
            ("transfer", {"amount": "1", "target": 1}),
            ("correction", {"amount": "-0.5"}),
            ("suspension", {}),
            ("resumption", {}),
            ("revocation", {}),
        ],
        start=1,
    ):  # fmt: skip
        path, key = f"allocations/{number}/{act}", f"key-{place}"
        answer = await send(web, who["edwin"], path, {**more, "reason": f"r{place}"}, key=key)
        assert answer.status_code == 200, answer.text
        assert (await send(web, who["ada"], path, {**more, "reason": "mine"}, key=key)).status_code == 403
        assert (await send(web, who["auditor"], path, {**more, "reason": "mine"}, key=key)).status_code == 403
    over = await send(
        web, who["edwin"], f"allocations/{number}/supplement", {"amount": "5", "reason": "x"}, key="z"
    )
    assert (over.status_code, over.json()["title"]) == (409, "That cannot be done now")

    lines = (await web.get(f"{API}audit", params={"actor": "edwin"}, headers=bearer(who["auditor"]))).json()[
        "lines"
    ]

    assert [(line["kind"], line["reason"].partition(" ")[0]) for line in reversed(lines)] == [
        ("grant", "r0"), ("supplement", "r1"), ("extension", "r2"), ("transfer-out", "r3"), ("transfer-in", "r3"),
        ("correction", "r4"), ("suspension", "r5"), ("resumption", "r6"), ("revocation", "r7"),
    ]  # fmt: skip
    assert ledger.verify() == []


#: What a person may read of their own, and what takes a scope.
OWN = ["me", "statement?account=ada", "history?account=bulge-survey", "members?project=bulge-survey"]
EVERYBODYS = [
    "statement?account=cecilia",
    "burn-down?account=cecilia",
    "explanation?account=survey-team",
    "requests?everybody=true",
    "requests/4",
    "accounts",
    "audit",
    "exports/usage",
    "exports/accounts?format=json",
]


async def test_a_scope_opens_what_it_says_and_no_more(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, tiers: Tiers, clock: Clock
) -> None:
    tell_story(ledger, clock, tiers)
    tell_more(ledger, clock)
    for name in ("edwin", "nina", "auditor"):
        open_account(ledger, tiers, name)
    tokens = people(hub)

    for path in [*OWN, *EVERYBODYS]:
        answers = {name: await web.get(f"{API}{path}", headers=bearer(token)) for name, token in tokens.items()}
        allowed = {"edwin", "nina", "auditor"} | ({"ada", "notebook"} if path in OWN else set())
        assert {name for name, answer in answers.items() if answer.status_code == 200} == allowed, path
        assert {answer.status_code for name, answer in answers.items() if name not in allowed} <= {403}


async def test_a_notebook_s_token_asks_for_nothing_and_a_member_does_not_read_a_project_s_journal(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, tiers: Tiers, clock: Clock
) -> None:
    tell_story(ledger, clock, tiers)
    tell_more(ledger, clock)
    who, member = people(hub), hub.add("cecilia", scopes=(*PERSON, scopes.REQUEST))
    question = {"tier": "team", "justification": "The bulge."}

    refused = await send(web, who["notebook"], "requests", question)
    assert refused.status_code == 403
    assert scopes.REQUEST in refused.json()["detail"]
    shared = {path: await web.get(f"{API}{path}?account=bulge-survey", headers=bearer(member))
              for path in ("allocations", "burn-down", "history", "statement")}  # fmt: skip
    assert {path: answer.status_code for path, answer in shared.items()} == {
        "allocations": 200, "burn-down": 200, "history": 403, "statement": 403,
    }  # fmt: skip
    change = {"project": "bulge-survey", "member": "mallory", "role": "pi"}
    assert (await send(web, member, "members", change, method="PUT")).status_code == 403
    by_pi = await send(web, who["ada"], "members", change, method="PUT")
    assert by_pi.status_code == 200
    assert "mallory" in [one["person"] for one in by_pi.json()["members"]]
    projects = (await web.get(f"{API}projects", headers=bearer(member))).json()["projects"]
    assert [(one["account"]["name"], one["role"]) for one in projects] == [("bulge-survey", "member")]


async def test_a_person_of_a_project_s_name_does_not_become_the_project(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger
) -> None:
    ledger.open_project("lens", "team", pi="ada", actor="edwin")
    lens = hub.add("lens")

    for path in ("statement", "history", "allocations"):
        assert (await web.get(f"{API}{path}", headers=bearer(lens))).status_code == 403


async def test_a_list_names_its_next_page_in_the_answer_and_in_a_header(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, tiers: Tiers, clock: Clock
) -> None:
    tell_story(ledger, clock, tiers)
    tell_more(ledger, clock)
    tell_of_limits(ledger, clock)
    token = people(hub)["auditor"]

    for path, name in (("accounts", "accounts"), ("audit", "lines"), ("history?account=ada", "lines")):
        seen: list[Any] = []
        address: str | None = f"{API}{path}{'&' if '?' in path else '?'}limit=3"
        while address:
            answer = await web.get(address, headers=bearer(token))
            assert answer.status_code == 200
            seen += answer.json()[name]
            address = answer.links["next"]["url"] if "next" in answer.links else None
        whole = await web.get(f"{API}{path}{'&' if '?' in path else '?'}limit=200", headers=bearer(token))
        assert seen == whole.json()[name]
        assert "next" not in whole.links


async def test_an_audit_has_what_is_beside_the_journal_and_so_has_its_export(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, tiers: Tiers, clock: Clock
) -> None:
    tell_story(ledger, clock, tiers)
    tell_more(ledger, clock)
    tell_of_limits(ledger, clock)
    token = people(hub)["auditor"]

    async def read(path: str, **query: str) -> httpx.Response:
        return await web.get(f"{API}{path}", params=query, headers=bearer(token))

    lines = (await read("audit", limit="500")).json()["lines"]
    exported = (await read("exports/audit", format="json")).json()
    assert {"override", "cap", "member", "grant"} <= {line["kind"] for line in lines}
    said = [(line["kind"], line["account"], line["actor"], line["reason"]) for line in lines]
    assert said[::-1] == [(row["kind"], row["account"], row["actor"], row["reason"]) for row in exported]
    (cap,) = (await read("audit", kind="cap")).json()["lines"]
    (row,) = csv.DictReader(io.StringIO((await read("exports/audit", kind="cap")).text))
    assert cap["text"] == row["what"]
    assert (cap["reason"], row["units"]) == (row["reason"], "")
    for wrong in ({"before": "here"}, {"kind": "charge", "actor": "ada"}, {"kind": "x"}):
        refused = await read("audit", **wrong)
        assert refused.status_code == 422
        assert refused.headers["content-type"] == "application/problem+json"


async def test_an_export_is_the_same_as_csv_and_as_json_and_adds_up(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, tiers: Tiers, clock: Clock
) -> None:
    tell_story(ledger, clock, tiers)
    ledger.correct("ada", -5, actor="edwin", reason="=HYPERLINK(1)", key="evil")
    token = people(hub)["auditor"]

    for name in ("usage", "audit", "accounts"):
        query = {"since": "2026-10-01T00:00:00Z"} if name == "usage" else {}
        texts = [
            await web.get(f"{API}exports/{name}", params={**query, "format": kind}, headers=bearer(token))
            for kind in ("csv", "json")
        ]
        rows = list(csv.DictReader(io.StringIO(texts[0].text)))
        assert texts[0].headers["content-disposition"] == f'attachment; filename="{name}.csv"'
        said = [
            {key: "" if value is None else str(value) for key, value in row.items()} for row in texts[1].json()
        ]
        assert [{key: value.removeprefix("'") for key, value in row.items()} for row in rows] == said
        assert rows
        if name == "usage":
            ada = sum(int(row["units"]) for row in rows if row["account"] == "ada")
            found = ledger.statement("ada", 500)
            assert ada == sum(lease.charged for lease in found.ended) + sum(
                lease.cost(clock.now) for lease in found.running
            ), "to the unit"
        if name == "audit":
            assert rows[-1]["reason"] == "'=HYPERLINK(1)", "a spreadsheet does not run what somebody wrote"
            assert rows[-1]["units"] == "-5"


async def test_an_export_that_finds_no_place_is_refused_before_it_begins(
    settings: PortalSettings, hub: HubStandIn, ledger: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("romanhub.portal.api.exports._AT_ONCE", 0)
    token = people(hub)["auditor"]
    async with httpx.AsyncClient(transport=httpx.MockTransport(hub.answer)) as http:
        app = create_app(
            settings, ledger=ledger, tiers=TiersFile(TIERS), hub=HubClient(settings.hub, http), clock=clock
        )
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://romanhub.test") as web:
            refused = await web.get(f"{API}exports/usage", headers=bearer(token))
    assert refused.status_code == 409
    assert "`hubquota export`" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"amount": "0"}, "above zero"),
        ({"amount": "99999999"}, "moves up to 10,000,000 credits"),
        ({"amount": "1e3"}, "body.amount"),
        ({"amount": "0.000000001"}, "body.amount"),
        ({"tier": "no-such"}, "There is no tier 'no-such'"),
        ({"reason": "  "}, "Say why"),
        ({"reason": "a\x00b"}, "cannot be shown"),
        ({"end": "2026-01-01T00:00:00Z"}, "ends after it starts"),
        ({"end": "2027-01-01T00:00:00"}, "timezone"),
        ({"end": "9999-12-31T23:59:59-23:00"}, "year cannot be meant"),
        ({"start": "2027-02-01T00:00:00Z", "end": "2027-01-01T00:00:00Z"}, "ends after it starts"),
        ({"surprise": 1}, "body.surprise"),
    ],
)
async def test_bad_input_is_refused_clearly_and_changes_nothing(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, tiers: Tiers, body: dict[str, Any], said: str
) -> None:
    who = people(hub)
    open_account(ledger, tiers, "ada")
    answer = await send(web, who["edwin"], "allocations", {"account": "ada", "amount": "1", "reason": "r", **body})

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.json()["detail"]
    assert len(ledger.statement("ada").entries) == 1


async def test_a_browser_s_session_changes_nothing_through_the_api(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, tiers: Tiers
) -> None:
    open_account(ledger, tiers, "ada")
    web.cookies.set("romanhub-portal", people(hub)["edwin"])
    headers = {"Sec-Fetch-Mode": "navigate", "Idempotency-Key": "k"}
    body = {"account": "ada", "amount": "1", "reason": "r"}

    answer = await web.post(f"{API}allocations", json=body, headers=headers)

    assert answer.status_code == 401
    assert len(ledger.statement("ada").entries) == 1


async def test_an_administrator_opens_a_project_which_its_pi_leads(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger
) -> None:
    who = people(hub)
    given = {"name": "bulge", "pi": "ada", "tier": "team"}
    assert (await send(web, who["ada"], "projects", given)).status_code == 403
    assert ledger.account("bulge") is None
    # Whoever asks twice has one project.
    for _ in range(2):
        opened = await send(web, who["edwin"], "projects", given)
        assert (opened.status_code, opened.json()["kind"]) == (201, "project")
    assert [(one.name, one.role) for one in ledger.members("bulge")] == [("ada", "pi")]
    refused = await send(web, who["edwin"], "projects", {**given, "name": "x", "tier": "vast"})
    assert (refused.status_code, "There is no tier 'vast'" in refused.json()["detail"]) == (422, True)
    taken = await send(web, who["edwin"], "projects", {**given, "name": "a/b"})
    assert "no slash" in taken.json()["detail"] and ledger.account("a/b") is None


async def test_a_project_is_opened_on_the_page_of_all_accounts(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, tiers: Tiers
) -> None:
    who = people(hub)
    edwin = Reader(web, who["edwin"])
    assert "Open a project" not in await Reader(web, who["auditor"]).open("admin")
    await edwin.send("admin", "admin/projects", {"name": "deep field", "pi": "ada", "tier": "team"})
    assert "Grant an allocation" in await edwin.open("admin/accounts/deep%20field")
    open_account(ledger, tiers, "bob")
    said = await edwin.send("admin", "admin/projects", {"name": "bob", "pi": "ada", "tier": "team"}, status=409)
    assert "bob is a user&#39;s account" in said
