"""The commands that give overrides, cap members, move accounts and bring projects into step with groups."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from hubquota.cli import main
from hubquota.models.money import to_units
from hubquota.services.ledger import Ledger
from hubquota.storage.engine import make_engine

from tests.quota.support import HERE, Hub
from tests.quota.support import run_command as run

LATER = "2099-01-01"


@pytest.fixture
def ledger(database: str) -> Ledger:
    ledger = Ledger(make_engine(database))
    ledger.open_account("ada", "explorer", to_units(50), actor="first start")
    return ledger


def test_an_override_is_given_listed_and_withdrawn(database: str, ledger: Ledger) -> None:
    given = ("override", "give", "ada", "--size", "large", "--workers", "9", "--until", LATER)
    result = run(database, *given, "--reason", "A school.", "--key", "1")
    assert result.exit_code == 0, result.output
    assert "sizes large, workers 9  2099-01-01 00:00:00" in result.output
    (row,) = json.loads(run(database, "override", "list", "--json").output)["items"]
    assert (row["limits"], row["reason"]) == ({"sizes": ["large"], "workers": 9}, "A school.")
    assert "withdrawn" in run(database, "override", "withdraw", "1", "--reason", "x").output
    assert "nothing" in run(database, "override", "list", "ada").output
    assert "A school." in run(database, "override", "list", "ada", "--former").output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("override", "give", "ada", "--size", "vast", "--until", LATER), "there is no size 'vast'"),
        (("override", "give", "ada", "--until", LATER), "Name one limit at least"),
        (("override", "give", "ada", "--workers", "1", "--until", "2020-01-01"), "that date is past"),
        (("override", "give", "who", "--workers", "1", "--until", LATER), "There is no account 'who'"),
        (("account", "change-tier", "ada", "vast"), "there is no tier 'vast'"),
    ],
)
def test_what_cannot_be_is_said_and_changes_nothing(
    database: str, ledger: Ledger, arguments: tuple[str, ...], said: str
) -> None:
    result = run(database, *arguments, "--reason", "x", "--key", "1")
    assert (result.exit_code != 0, said in result.output) == (True, True), result.output
    assert ledger.overrides(former=True) == []
    assert run(database, "override", "withdraw", "7", "--reason", "x").exit_code == 1
    assert run(database, "project", "cap", "set", "ada", "eve", "--workers", "1", "--reason", "x").exit_code == 1


def test_a_member_is_capped_and_the_cap_lifted(database: str, ledger: Ledger) -> None:
    ledger.open_project("survey", "explorer", pi="eve", actor="admin")
    ledger.set_member("survey", "ada", "member", actor="eve")
    result = run(
        database,
        "project",
        "cap",
        "set",
        "survey",
        "ada",
        "--credits",
        "2.5",
        "--workers",
        "3",
        "--reason",
        "A share.",
    )
    assert result.exit_code == 0, result.output
    (ada,) = (line.split() for line in result.output.splitlines() if "ada" in line)
    assert ada == ["ada", "0.00", "0.00", "2.50", "3"]
    uses = json.loads(run(database, "project", "cap", "list", "survey", "--json").output)["items"]
    assert [(use["member"], use["cap"] and use["cap"]["credits"], use["left"]) for use in uses] == [
        ("ada", "2.5", "2.5"),
        ("eve", None, None),
    ]
    lifted = run(database, "project", "cap", "lift", "survey", "ada", "--reason", "x", "--json")
    assert [use["cap"] and use["cap"]["credits"] for use in json.loads(lifted.output)["items"]] == [None, None]
    assert run(database, "project", "cap", "set", "survey", "ada", "--reason", "x").exit_code == 2


def test_an_account_is_moved_to_another_tier(database: str, ledger: Ledger) -> None:
    for _ in range(2):
        result = run(database, "account", "change-tier", "ada", "poor", "--reason", "Left.", "--key", "1")
        assert result.exit_code == 0, result.output
    assert "ada is on the tier poor: allocation 2, 0.01 credits until" in result.output
    account = ledger.account("ada")
    assert account is not None
    assert account.tiers == ("poor",)


def test_projects_are_brought_into_step_with_a_real_hubs_groups(hub: Hub, tmp_path: Path) -> None:
    tiers = tmp_path / "tiers.yaml"
    rules = "projects: {groups: [{match: roman-*, tier: explorer}]}"
    tiers.write_text(f"{(HERE / 'hub_tiers.yaml').read_text()}\n{rules}\n")
    api = hub.api()
    for group, users in (("roman-a", ["ada", "bob"]), ("roman-a-pi", ["eve"]), ("staff", ["kim"])):
        for user in users:
            api.post(f"users/{user}")
        api.post(f"groups/{group}").raise_for_status()
        api.post(f"groups/{group}/users", json={"users": users}).raise_for_status()

    def sync() -> str:
        hub_options = ("--hub-url", f"{hub.url}/hub/api", "--hub-token", hub.token)
        result = CliRunner().invoke(
            main,
            ("project", "sync", *hub_options, "--tiers", str(tiers), "--database-url", hub.database_url),
        )
        assert result.exit_code == 0, result.output
        return result.output

    assert "1 project from groups; 3 memberships opened or ended." in sync()
    roles = {one.name: one.role for one in hub.ledger.members("roman-a")}
    assert roles == {"ada": "member", "bob": "member", "eve": "pi"}
    assert "0 memberships" in sync()
    for group in ("roman-a", "roman-a-pi"):
        api.delete(f"groups/{group}").raise_for_status()
    assert "0 projects from groups; 3 memberships opened or ended." in sync()
    assert hub.ledger.members("roman-a") == []
