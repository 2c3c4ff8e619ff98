"""What scripts read: one shape for everything, exact amounts, times in UTC, errors that are objects."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from dataclasses import fields
from decimal import Decimal
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hubquota.cli import main
from hubquota.commands.output import AMOUNTS
from hubquota.models.money import UNITS_PER_CREDIT, exact_credits, rate_of, to_units
from hubquota.services.ledger import Ledger
from hubquota.storage.engine import decision, make_engine
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from tests.quota.support import HERE

TIERS = str(HERE / "hub_tiers.yaml")
WHY = ("--reason", "A proposal.", "--key", "1")


@pytest.fixture
def ledger(database: str) -> Ledger:
    ledger = Ledger(make_engine(database))
    ledger.open_account("ada", "explorer", to_units(50), actor="first start")
    return ledger


def run(database: str, *arguments: str, typed: str | None = None) -> Result:
    places = {"HUBQUOTA_DATABASE_URL": database, "HUBQUOTA_TIERS": TIERS}
    return CliRunner().invoke(main, arguments, env=places, input=typed)


def read(database: str, *arguments: str) -> Any:
    result = run(database, *arguments, "--json")
    assert result.exit_code == 0, result.output
    assert result.stderr == "", "nothing but the answer, and no bar where there is no terminal"
    return json.loads(result.stdout)


@given(st.integers(-(10**20), 10**20))
def test_an_amount_as_text_gives_its_units_back(units: int) -> None:
    told = Decimal(exact_credits(units))
    assert round(told * UNITS_PER_CREDIT) == units
    if units % 9 == 0:
        assert told * UNITS_PER_CREDIT == units


def test_no_amount_is_given_as_a_bare_number_of_units() -> None:
    counts = {"id", "rate", "allocation_id", "lease_id", "renews", "allocation", "next_before", "leases"}
    counts |= {"refused_starts", "stopped_leases", "workers", "starting"}
    for model, amounts in AMOUNTS.items():
        whole = {field.name for field in fields(model) if str(field.type) in {"int", "int | None"}}
        assert amounts <= whole
        assert whole - amounts <= counts, f"say whether these of {model.__name__} are amounts"


def test_accounts_are_listed_and_searched_by_page(database: str, ledger: Ledger) -> None:
    for name in ("bob", "eve"):
        read(database, "account", "open", name)
    read(database, "project", "open", "survey", "--tier", "explorer", "--pi", "eve")
    first = read(database, "account", "list", "--limit", "2")
    assert [row["account"]["name"] for row in first["items"]] == ["ada", "bob"]
    rest = read(database, "account", "list", "--limit", "2", "--after", first["next"])
    assert [row["account"]["name"] for row in rest["items"]] == ["eve", "survey"]
    assert rest["next"] is None
    found = read(database, "account", "list", "--search", "B")["items"]
    assert [(row["account"]["name"], row["balance"]["available"]) for row in found] == [("bob", "81")]
    projects = read(database, "account", "list", "--kind", "project")["items"]
    assert [row["account"]["name"] for row in projects] == ["survey"]
    told = run(database, "account", "list", "--limit", "1").output
    assert "There are more: add `--after ada`." in told


def test_accounts_are_filtered_and_sorted(database: str, ledger: Ledger) -> None:
    ledger.open_account("bob", "explorer", to_units(7), actor="test", term_days=9)
    read(database, "project", "open", "survey", "--tier", "explorer", "--pi", "ada")

    def names(*asked: str) -> list[str]:
        return [row["account"]["name"] for row in read(database, "account", "list", *asked)["items"]]

    assert names("--order", "end") == ["bob", "ada", "survey"]
    assert names("--order", "balance") == ["survey", "bob", "ada"]
    assert names("--state", "expired") == ["survey"]
    assert names("--tier", "explorer", "--balance-below", "8") == ["bob"]
    assert names("--ends-before", "2999-01-01") == ["bob"]
    (row,) = read(database, "account", "list", "--search", "bob")["items"]
    assert (row["state"], row["ends"][-1]) == ("active", "Z")


def test_an_account_is_told_with_amounts_as_text_and_times_in_utc(database: str, ledger: Ledger) -> None:
    lease = ledger.admit("ada", kind="server", key="server:ada/", label="Medium server", rate=rate_of("0.15"))
    ledger.begin(lease.id)
    ledger.close(lease.id, reason="The end.")
    ledger.admit("ada", kind="server", key="server:ada/2", label="Small server", rate=rate_of("0.04"))
    found = read(database, "account", "show", "ada")
    assert found["balance"]["set_aside"] == "0.0066666667"
    assert Decimal(found["balance"]["available"]) < 50
    assert found["running"][0]["price"] == "0.04"
    assert found["running"][0]["open"] is True
    assert found["ended"][0]["ended_at"].endswith("Z")
    assert found["entries"][-1]["amount"] == "50"
    lines = read(database, "account", "explain", "ada")
    assert abs(sum(Decimal(line["amount"]) for line in lines["lines"]) - Decimal(lines["available"])) < Decimal(
        "1e-8"
    )
    assert read(database, "lease", "list", "--account", "ada")["items"][0]["key"] == "server:ada/2"
    assert read(database, "lease", "list", "--person", "bob") == {"items": [], "next": None}
    assert read(database, "lease", "show", str(lease.id))["segments"][0]["price"] == "0.15"
    assert "The end." in run(database, "lease", "show", str(lease.id)).output


def test_acts_answer_with_what_they_made(database: str, ledger: Ledger) -> None:
    made = read(
        database, "allocation", "grant", "ada", "10", "--tier", "poor", "--end", "2099-01-01T12:00:00Z", *WHY
    )
    assert (made["tier"], made["balance"], made["end"]) == ("poor", "10", "2099-01-01T12:00:00Z")
    number = str(made["id"])
    assert read(database, "allocation", "supplement", number, "0.00000001", *WHY)["balance"] == "10.00000001"
    moved = read(database, "allocation", "transfer", number, "1", "3", *WHY)["items"]
    assert [one["balance"] for one in moved] == ["7.00000001", "53"]
    assert read(database, "allocation", "suspend", number, *WHY)["suspended_at"] is not None
    assert read(database, "allocation", "revoke", number, *WHY)["revoked_at"] is not None
    assert "revoked" in run(database, "allocation", "show", number).output
    assert read(database, "sweep")["lapsed"] == 1
    assert len(read(database, "allocation", "list", "ada")["items"]) == 1
    assert len(read(database, "allocation", "list", "ada", "--all")["items"]) == 2
    assert read(database, "account", "correct", "ada", "-3", *WHY)["balance"] == "50"
    assert read(database, "verify") == {"items": [], "next": None}
    assert read(database, "migrate") == {"up_to_date": True}


def test_requests_are_asked_for_and_decided_by_command(database: str, ledger: Ledger) -> None:
    for_what = ("--tier", "poor", "--justification", "A survey of dwarfs.")
    asked = read(database, "request", "ask", "ada", "20", *for_what, "--as", "ada")
    assert (asked["asked_by"], asked["amount"], asked["decision"]) == ("ada", "20", None)
    assert [one["id"] for one in read(database, "request", "list")["items"]] == [asked["id"]]
    number = str(asked["id"])
    unsaid = run(database, "request", "approve", number, "--reason", "Good.", "--json")
    assert (unsaid.exit_code, "--no-end" in json.loads(unsaid.stderr)["error"]["message"]) == (2, True)
    approved = read(
        database, "request", "approve", number, "--reason", "Good.", "--credits", "15", "--end", "2099-01-01"
    )
    assert approved["decision"] == "approved"
    opened = read(database, "allocation", "show", str(approved["allocation"]))
    assert (opened["balance"], opened["renewable"]) == ("15", True)
    again = read(database, "request", "renew", str(opened["id"]), "--justification", "More.", "--results", "a DOI")
    assert (again["renews"], again["amount"]) == (opened["id"], "15")
    shown = run(database, "request", "show", str(again["id"])).output
    assert ("More." in shown, "Results: a DOI" in shown) == (True, True)
    denied = read(database, "request", "deny", str(again["id"]), "--reason", "Not yet.")
    assert denied["decision"] == "denied"
    third = read(database, "request", "ask", "ada", "1", *for_what, "--as", "ada")
    other = run(database, "request", "withdraw", str(third["id"]), "--as", "bob", "--json")
    assert json.loads(other.stderr)["error"]["code"] == "forbidden"
    assert read(database, "request", "withdraw", str(third["id"]), "--as", "ada")["decision"] == "withdrawn"
    page = read(database, "request", "list", "--all", "--limit", "2")
    assert (len(page["items"]), page["next"]) == (2, again["id"])
    assert read(database, "request", "list")["items"] == []


def test_many_requests_are_decided_with_one_reason(database: str, ledger: Ledger) -> None:
    ledger.open_account("bob", "explorer", to_units(50), actor="first start")
    numbers = []
    for account, tier in (("ada", "poor"), ("ada", "explorer"), ("bob", "poor")):
        asked = read(database, "request", "ask", account, "5", "--tier", tier, "--justification", "A survey.")
        numbers.append(str(asked["id"]))
    approve = ("request", "decide", "approve", "--reason", "The panel said yes.")
    # A look changes nothing: neither for a script, nor for a person who thinks better of it.
    planned = read(database, *approve, *numbers[:2], "99")["items"]
    assert [(row["number"], row["refusal"]) for row in planned] == [
        (int(numbers[0]), None),
        (int(numbers[1]), None),
        (99, "There is no request 99."),
    ]
    assert planned[0]["end"] is not None
    thought = run(database, *approve, "--waiting", typed="n\n")
    assert ("Approve 3 requests?" in thought.output, thought.exit_code) == (True, 1)
    assert len(read(database, "request", "list")["items"]) == 3

    some = run(database, *approve, *numbers[:2], "99", typed="y\n")
    assert ("2 requests decided." in some.output, "There is no request 99." in some.output) == (True, True)
    assert some.exit_code == 1  # one was left alone
    deny = ("request", "decide", "deny", "--reason", "Not this year.", "--yes")
    assert read(database, *deny, "--waiting")["items"] == [
        {"number": int(numbers[2]), "account": "bob", "refusal": None}
    ]
    found = {one["id"]: one["decision"] for one in read(database, "request", "list", "--all")["items"]}
    assert [found[int(number)] for number in numbers] == ["approved", "approved", "denied"]
    nothing = run(database, *deny, "--waiting", "--json")
    assert json.loads(nothing.stderr)["error"]["code"] == "nothing"
    unsaid = run(database, *deny, "--json")
    assert (unsaid.exit_code, "--waiting" in json.loads(unsaid.stderr)["error"]["message"]) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "exit_code", "code"),
    [
        (["account", "show", "nobody"], 1, "unknown"),
        (["lease", "show", "7"], 1, "unknown"),
        (["request", "show", "7"], 1, "unknown"),
        (["override", "withdraw", "7", "--reason", "x"], 1, "unknown"),
        (["renew", "carry-out", "x"], 1, "unknown"),
        (["project", "cap", "set", "survey", "ada", "--workers", "1", "--reason", "x"], 1, "unknown"),
        (["purge", "show", "7"], 1, "purge"),
        (["purge", "plan", "--settings", "/nowhere/purge.yaml"], 1, "settings"),
        (["notices", "deliver", "--notices", "/nowhere/notices.yaml"], 1, "settings"),
        (["notices", "address", "ada", "x"], 1, "invalid"),
        (["purge", "hold", "ada", "--reason", "x", "--as", "bob"], 1, "forbidden"),
        (["allocation", "grant", "ada", "1", "--end", "2001-01-01", *WHY], 1, "invalid"),
        (["allocation", "extend", "1", "--end", "2001-01-01", *WHY], 1, "impossible"),
        (["project", "open", "ada", "--tier", "poor", "--pi", "x"], 1, "conflict"),
        (["tiers", "check", str(HERE / "wrong_tiers.yaml")], 1, "tiers"),
        (["lease", "list", "--database-url", "sqlite:////nowhere/x"], 1, "database"),
        (["lease", "list", "--database-url", "mysql://x/y"], 2, "usage"),
        (["allocation", "grant", "ada", "much", *WHY], 2, "usage"),
        (["allocation", "grant", "ada"], 2, "usage"),
        (["allocation", "devour", "ada"], 2, "usage"),
        (["account", "open", "bob", "--tier", "nothing"], 2, "usage"),
        (["account", "open", "a/b"], 1, "impossible"),
        (["account", "open", "ada\x1b[31m"], 1, "impossible"),
        (["project", "open", "", "--tier", "poor", "--pi", "ada"], 1, "impossible"),
        (["project", "open", "survey", "--tier", "nothing", "--pi", "ada"], 2, "usage"),
        (["allocation", "grant", "ada", "1", "--tier", "nothing", *WHY], 2, "usage"),
        (["request", "ask", "ada", "1", "--tier", "nothing", "--justification", "x"], 2, "usage"),
        (["allocation", "grant", "ada", "1000000001", *WHY], 2, "usage"),
        (["account", "correct", "ada", "99999999999", *WHY], 2, "usage"),
        (["allocation", "grant", "ada", "1e30", *WHY], 2, "usage"),
        (["allocation", "grant", "ada", "1e99999999", *WHY], 2, "usage"),
        (["allocation", "grant", "ada", "1", "--reason", " ", "--key", "1"], 2, "usage"),
        (["allocation", "grant", "ada", "1", "--reason", "x", "--key", ""], 2, "usage"),
    ],
)
def test_errors_are_objects_and_exit_codes_differ(
    database: str, ledger: Ledger, arguments: list[str], exit_code: int, code: str
) -> None:
    result = run(database, *arguments, "--json")
    assert (result.exit_code, result.stdout) == (exit_code, "")
    error = json.loads(result.stderr)["error"]
    assert (error["code"], set(error)) == (code, {"code", "message"})
    assert error["message"]
    for_people = run(database, *arguments)
    assert (for_people.exit_code, for_people.stdout) == (exit_code, "")
    assert "Error: " in for_people.stderr


def test_verify_tells_a_script_what_does_not_add_up(database: str, ledger: Ledger) -> None:
    with decision(make_engine(database)) as connection:
        connection.execute(text("UPDATE account SET balance = balance + 1"))
    result = run(database, "verify", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stderr)["error"]["code"] == "mismatch"
    assert json.loads(result.stdout)["items"][0]["found"] == to_units(50) + 1


def test_a_project_s_members_the_tiers_and_the_states_are_told(database: str, ledger: Ledger) -> None:
    read(database, "project", "open", "survey", "--tier", "poor", "--pi", "eve")
    read(database, "project", "member", "survey", "bob")
    read(database, "project", "member", "survey", "bob", "--role", "none")
    assert [one["name"] for one in read(database, "project", "members", "survey")["items"]] == ["eve"]
    former = read(database, "project", "members", "survey", "--former")["items"]
    assert [one["name"] for one in former] == ["bob", "eve"]
    assert read(database, "tiers", "check", TIERS)["tiers"] == ["explorer", "poor", "broke"]
    assert read(database, "tiers", "table", TIERS)["sizes"]["medium"]["price"] == "0.15"
    assert "active" in read(database, "states")["states"]


def test_bars_are_for_terminals(database: str, ledger: Ledger) -> None:
    terminal, its_end = os.openpty()
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "HUBQUOTA_DATABASE_URL": database,
    }
    try:
        for arguments in (["verify"], ["export", "journal", "--format", "json"]):
            process = subprocess.run(
                [sys.executable, "-m", "hubquota", *arguments],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=its_end,
                check=True,
                timeout=60,
            )
            shown = os.read(terminal, 100_000).decode()
            assert "100%" in shown
            assert b"%" not in process.stdout
        assert len(json.loads(process.stdout)) == 1
    finally:
        os.close(terminal)
        os.close(its_end)


def test_what_was_decided_is_read_page_by_page_and_written_out(database: str, ledger: Ledger) -> None:
    read(database, "allocation", "grant", "ada", "5", *WHY)
    more = ("--workers", "9", "--until", "2099-01-01", "--reason", "=A()", "--key", "2")
    read(database, "override", "give", "ada", *more)
    pages = [read(database, "audit", "--limit", "2")]
    while pages[-1]["next"]:
        pages.append(read(database, "audit", "--limit", "2", "--after", pages[-1]["next"]))
    lines = [line for page in pages for line in page["items"]]
    assert sorted(line["kind"] for line in lines) == ["grant", "grant", "override"]
    (override,) = read(database, "audit", "--kind", "override")["items"]
    text = "Override 1 until 2099-01-01: Dask workers at once: 9"
    assert (override["text"], override["account"]) == (text, "ada")
    told = run(database, "audit").stdout
    assert text in told
    assert "Grant, allocation 2" in told
    written = json.loads(run(database, "export", "audit", "--format", "json").stdout)
    assert sorted(row["what"] for row in written) == sorted(
        line.get("text") or f"Grant, allocation {line['allocation_id']}" for line in lines
    )
    (row,) = csv.DictReader(io.StringIO(run(database, "export", "audit", "--kind", "override").stdout))
    assert (row["reason"], row["credits"]) == ("'=A()", "")
    wrong = run(database, "audit", "--after", "here")
    assert wrong.exit_code == 2
    assert "That page does not go on from there." in wrong.stderr
