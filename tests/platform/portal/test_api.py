from __future__ import annotations

import sqlite3
from decimal import Decimal
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hubquota.models.money import UNITS_PER_CREDIT, to_units
from hubquota.models.tiers import Tiers
from hubquota.services.ledger import Ledger
from hubquota.services.tiersfile import TiersFile
from romanhub.portal.app import create_app
from romanhub.portal.hub import HubClient
from romanhub.portal.settings import PortalSettings

from tests.platform.portal.world import PREFIX, Clock, HubStandIn, bearer, open_account, run, start, tell_story

API = f"{PREFIX}api/"
ADMIN = ("access:services!service=portal", "admin-ui")


def units(credits_text: str) -> int:
    return round(Decimal(credits_text) * UNITS_PER_CREDIT)


async def whole_journal(web: httpx.AsyncClient, token: str, limit: int) -> list[dict[str, Any]]:
    """Every line of the caller's journal, page by page, newest first."""
    lines: list[dict[str, Any]] = []
    before: int | None = None
    while True:
        query = {"limit": limit} | ({"before": before} if before else {})
        answer = (await web.get(f"{API}statement", params=query, headers=bearer(token))).json()
        lines += answer["entries"]
        before = answer["next_before"]
        if before is None:
            return lines


async def test_me_before_the_first_start_names_the_tier_to_come(web: httpx.AsyncClient, hub: HubStandIn) -> None:
    token = hub.add("ada", groups=["roman-researchers"])

    assert (await web.get(f"{API}me", headers=bearer(token))).json() == {
        "name": "ada",
        "tier": "researcher",
        "admin": False,
        "balance": None,
    }
    missing = await web.get(f"{API}statement", headers=bearer(token))
    assert (missing.status_code, missing.headers["content-type"]) == (404, "application/problem+json")
    assert "first signs in" in missing.json()["detail"]


async def test_me_and_the_statement_count_what_runs(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, clock: Clock, tiers: Tiers
) -> None:
    token = hub.add("ada")
    open_account(ledger, tiers, "ada")
    start(ledger, "ada", label="Medium server", price="0.15")
    clock.advance(hours=2)

    me = (await web.get(f"{API}me", headers=bearer(token))).json()
    statement = (await web.get(f"{API}statement", headers=bearer(token))).json()

    assert me["balance"] == {"posted": "50", "accrued": "0.3", "set_aside": "0", "available": "49.7"}
    assert statement["balance"] == me["balance"]
    assert statement["running"] == [
        {
            "kind": "server",
            "key": "server:ada/",
            "label": "Medium server",
            "price": "0.15",
            "started_at": "2026-11-02T09:00:00Z",
            "seconds": 7200,
            "cost": "0.3",
            "notice": None,
        }
    ]


async def test_a_start_under_way_holds_its_first_minutes_and_costs_nothing(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, tiers: Tiers
) -> None:
    token = hub.add("ada")
    open_account(ledger, tiers, "ada")
    ledger.admit("ada", kind="server", key="server:ada/", label="Small server", rate=40_000, minimum_seconds=600)

    statement = (await web.get(f"{API}statement", headers=bearer(token))).json()

    assert statement["running"][0]["started_at"] is None
    assert statement["running"][0]["cost"] == "0"
    assert units(statement["balance"]["set_aside"]) == 40_000 * 600


@pytest.mark.parametrize("limit", [1, 7, 500])
async def test_the_journal_explains_the_balance_to_the_last_unit(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, clock: Clock, tiers: Tiers, limit: int
) -> None:
    tell_story(ledger, clock, tiers)

    lines = await whole_journal(web, hub.add("ada"), limit)

    assert len(lines) == 53
    running_total = 0
    for line in reversed(lines):
        running_total += units(line["amount"])
        assert units(line["balance_after"]) == running_total
        if line["kind"] == "charge":
            session = line["session"]
            rate = int(Decimal(session["price"]) * UNITS_PER_CREDIT / 3600)
            assert units(line["amount"]) == -rate * session["seconds"]
            assert session["reason"]
        else:
            assert line["session"] is None
    balance = ledger.balance("ada")
    assert running_total == balance.posted
    assert [line["id"] for line in lines] == sorted((line["id"] for line in lines), reverse=True)


async def test_tiers_come_with_prices_and_without_the_rules_about_groups(
    web: httpx.AsyncClient, hub: HubStandIn, tiers: Tiers
) -> None:
    answer = await web.get(f"{API}tiers", headers=bearer(hub.add("ada")))

    found = answer.json()
    assert list(found["tiers"]) == list(tiers.tiers)
    assert Decimal(found["sizes"]["medium"]["price"]) == tiers.sizes["medium"].price
    assert Decimal(found["tiers"]["explorer"]["dask"]["price"]) == tiers.tiers["explorer"].dask.price
    assert found["ask"] == tiers.ask
    assert "roman-researchers" not in answer.text


async def test_the_portal_hands_out_no_key(web: httpx.AsyncClient, hub: HubStandIn) -> None:
    assert (await web.get(f"{API}archive", headers=bearer(hub.add("ada")))).status_code == 404


@pytest.mark.parametrize("path", ["accounts", "accounts/ada", "accounts/nobody"])
async def test_other_people_s_accounts_need_the_administration_scope(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, tiers: Tiers, path: str
) -> None:
    open_account(ledger, tiers, "ada")
    # The hub's own flag does not count: a notebook's token carries it for every administrator.
    token = hub.add("mallory", admin=True)

    answer = await web.get(f"{API}{path}", headers=bearer(token))

    assert answer.status_code == 403
    assert answer.json()["detail"] == "Only the people who run this platform may read other people's accounts."
    assert not (await web.get(f"{API}me", headers=bearer(token))).json()["admin"]


async def test_accounts_come_page_by_page_and_by_a_part_of_the_name(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, tiers: Tiers
) -> None:
    names = [f"user-{number:02}" for number in range(11)]
    for name in reversed(names):
        open_account(ledger, tiers, name)
    start(ledger, "user-03", label="Small server", price="0.04")
    token = hub.add("edwin", scopes=ADMIN)

    seen: list[str] = []
    after: str | None = None
    pages = 0
    while pages == 0 or after is not None:
        query = {"limit": "5"} | ({"after": after} if after else {})
        page = (await web.get(f"{API}accounts", params=query, headers=bearer(token))).json()
        seen += [row["account"]["name"] for row in page["accounts"]]
        after, pages = page["next_after"], pages + 1
    assert (seen, pages) == (names, 3)

    found = (await web.get(f"{API}accounts", params={"q": "R-0"}, headers=bearer(token))).json()["accounts"]
    assert [row["account"]["name"] for row in found] == names[:10]
    assert [row["running"] for row in found] == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    percent = (await web.get(f"{API}accounts", params={"q": "%"}, headers=bearer(token))).json()
    assert percent == {"accounts": [], "next_after": None}


async def test_an_administrator_reads_any_account_even_with_a_strange_name(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, tiers: Tiers, clock: Clock
) -> None:
    name = "o'brien+h\u00e9l\u00e8ne?50%@example.edu"
    open_account(ledger, tiers, name)
    run(ledger, clock, name, label="Small server", price="0.04", minutes=30, reason="Stopped by its owner.")
    token = hub.add("edwin", scopes=ADMIN)

    answer = await web.get(f"{API}accounts/o'brien+h%C3%A9l%C3%A8ne%3F50%25@example.edu", headers=bearer(token))

    assert answer.json()["account"]["name"] == name
    assert [line["amount"] for line in answer.json()["entries"]] == ["-0.02", "50"]
    assert (await web.get(f"{API}accounts/nobody", headers=bearer(token))).status_code == 404


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("statement", {"limit": "0"}),
        ("statement", {"limit": "501"}),
        ("statement", {"before": "yesterday"}),
        ("statement", {"before": "0"}),
        ("accounts", {"limit": "100000"}),
        ("accounts", {"q": "x" * 256}),
    ],
)
async def test_what_cannot_be_asked_is_said(
    web: httpx.AsyncClient, hub: HubStandIn, path: str, query: dict[str, str]
) -> None:
    answer = await web.get(f"{API}{path}", params=query, headers=bearer(hub.add("edwin", scopes=ADMIN)))

    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert f"query.{next(iter(query))}" in answer.json()["detail"]


async def test_every_answer_that_is_not_data_is_a_problem_document(web: httpx.AsyncClient) -> None:
    answers = [await web.get(f"{API}nothing-here"), await web.post(f"{API}me"), await web.get(f"{API}me")]

    assert [answer.status_code for answer in answers] == [404, 405, 401]
    for answer in answers:
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem["status"] == answer.status_code
        assert problem["title"]
        assert problem["detail"].endswith(".")


async def test_a_ledger_that_is_gone_is_said_so_and_health_notices(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, tiers: Tiers, database: str
) -> None:
    open_account(ledger, tiers, "ada")
    token = hub.add("ada")
    assert (await web.get(f"{API}health")).json() == {"status": "ok"}
    with sqlite3.connect(database.removeprefix("sqlite:///")) as connection:
        connection.execute("ALTER TABLE account RENAME TO gone")

    answers = [await web.get(f"{API}me", headers=bearer(token)), await web.get(f"{API}health")]

    for answer in answers:
        assert answer.status_code == 503
        assert answer.json()["title"] == "The ledger is not answering"
        assert "gone" not in answer.text
        assert "sqlite" not in answer.text


async def test_a_ledger_that_hangs_costs_no_more_than_the_deadline(
    settings: PortalSettings, ledger: Ledger, hub: HubStandIn, clock: Clock, database: str
) -> None:
    quick = settings.model_copy(update={"ledger_deadline_seconds": 0.1})
    http = httpx.AsyncClient(transport=httpx.MockTransport(hub.answer))
    app: FastAPI = create_app(
        quick, ledger=ledger, tiers=TiersFile(quick.tiers_file), hub=HubClient(quick.hub, http), clock=clock
    )
    # Whoever locks the whole file makes every reader wait, for as long as the ledger's own five seconds.
    locker = sqlite3.connect(database.removeprefix("sqlite:///"), isolation_level=None)
    locker.execute("PRAGMA locking_mode = EXCLUSIVE")
    locker.execute("BEGIN EXCLUSIVE")
    locker.execute("CREATE TABLE lock (x)")
    try:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app), base_url="http://romanhub.test"
        ) as web:
            answer = await web.get(f"{API}me", headers=bearer(hub.add("ada")))
    finally:
        locker.close()

    assert answer.status_code == 503
    assert answer.elapsed.total_seconds() < 3


async def test_the_description_lists_every_route_with_its_refusals(web: httpx.AsyncClient) -> None:
    described = (await web.get(f"{API}openapi.json")).json()["paths"]

    operations = [operation for methods in described.values() for operation in methods.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names)) > 30
    assert {"me", "grant", "approve", "list_accounts", "audit", "export_usage", "set_member"} <= set(names)
    for path, methods in described.items():
        for method, operation in methods.items():
            responses = operation["responses"]
            wanted = {"503"} if path.endswith("health") else {"401", "403", "422", "503"}
            assert wanted <= set(responses)
            assert operation["description"].endswith(".")
            # Nobody else acts on notices, stars, opens, repositories and runs; what is released twice is released.
            own = path.endswith(("/release", "/star", "/opens")) or any(
                part in path for part in ("/notices", "/community/repositories", "/community/runs")
            )
            assert method == "get" or own or "409" in responses, f"{method} {path} can meet somebody else's act"
            for status, response in responses.items():
                if "exports" in path and status == "200":
                    assert set(response["content"]) == {"text/csv", "application/json"}
                    continue
                if status == "204" or (path.endswith("/file") and status == "200"):
                    # Nothing, and a file.
                    assert "application/json" not in response.get("content", {})
                    continue
                plain = "application/json" if status in ("200", "201") else "application/problem+json"
                assert list(response["content"]) == [plain], f"{method} {path} {status}"
            for parameter in operation.get("parameters", []):
                assert parameter.get("description"), f"{path}: {parameter['name']}"


async def test_an_amount_that_needs_all_its_decimals_survives_the_api(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, clock: Clock, tiers: Tiers
) -> None:
    open_account(ledger, tiers, "ada")
    run(ledger, clock, "ada", label="Odd", price="0.000001", minutes=1 / 60, reason="Done.")
    ledger.grant("ada", to_units("0.00000001"), actor="edwin", reason="A crumb", key="crumb")

    answer = (await web.get(f"{API}me", headers=bearer(hub.add("ada")))).json()

    assert units(answer["balance"]["posted"]) == 50 * UNITS_PER_CREDIT - 1 + 36


async def test_a_body_is_not_read_beyond_what_it_may_have(web: httpx.AsyncClient, hub: HubStandIn) -> None:
    for headers in ({}, bearer(hub.add("edwin", scopes=ADMIN))):
        for path in ("allocations", "requests"):
            answer = await web.post(f"{API}{path}", json={"reason": "x" * 1_100_000}, headers=headers)
            assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")
            assert answer.json()["detail"] == "What was sent has more than 1 MB, which is the most."
