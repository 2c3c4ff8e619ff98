from __future__ import annotations

import getpass
from pathlib import Path

import pytest
from click.testing import CliRunner
from hubquota.cli import main
from hubquota.models.money import rate_of, to_units
from hubquota.services.ledger import Ledger
from hubquota.storage.engine import decision, make_engine
from sqlalchemy import text

from tests.quota.support import HERE
from tests.quota.support import run_command as run


@pytest.fixture
def ledger(database: str) -> Ledger:
    ledger = Ledger(make_engine(database))
    ledger.open_account("ada", "explorer", to_units(50), actor="first start")
    return ledger


def test_an_account_is_printed_with_what_runs_and_why_the_balance_is_what_it_is(
    database: str, ledger: Ledger
) -> None:
    lease = ledger.admit("ada", kind="server", key="server:ada/", label="Medium server", rate=rate_of("0.15"))
    ledger.begin(lease.id)
    result = run(database, "account", "show", "ada")
    assert result.exit_code == 0
    assert "ada, tier explorer" in result.output
    assert "49.97 credits available: 50.00 on the account" in result.output
    assert "Medium server" in result.output
    assert "Budget of the tier explorer, granted when the account was opened." in result.output
    assert "server:ada/" in run(database, "lease", "list").output


def test_a_grant_by_command_is_in_the_journal_with_who_made_it(database: str, ledger: Ledger) -> None:
    for _ in range(2):
        result = run(
            database, "allocation", "grant", "ada", "12.5", "--reason", "A proposal.", "--key", "proposal-7"
        )
        assert result.output == "ada has 62.50 credits after this grant, allocation 2.\n"
    newest = ledger.statement("ada").entries[0]
    assert (newest.actor, newest.reason) == (f"{getpass.getuser()} (hubquota)", "A proposal.")
    result = run(database, "account", "correct", "ada", "-12.5", "--reason", "Not a proposal.", "--key", "1")
    assert result.output == "ada has 50.00 credits after this correction.\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["account", "show", "nobody"], "There is no account 'nobody'."),
        (["allocation", "grant", "ada", "much", "--reason", "x", "--key", "x"], "'much' is not a number."),
        (["allocation", "grant", "ada", "0", "--reason", "x", "--key", "x"], "a grant is above zero"),
        (
            ["account", "correct", "ada", "0", "--reason", "x", "--key", "x"],
            "a correction of nothing changes nothing",
        ),
        (
            ["lease", "list", "--database-url", "mysql://x/y"],
            "The ledger runs on SQLite or PostgreSQL, not on mysql.",
        ),
        (["lease", "list", "--database-url", "nonsense"], "Could not parse SQLAlchemy URL"),
        (["lease", "list", "--database-url", "sqlite:////nowhere/x"], "that `hubquota migrate` has been run"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_sentence(
    database: str, ledger: Ledger, arguments: list[str], told: str
) -> None:
    result = run(database, *arguments)
    assert result.exit_code != 0
    assert told in " ".join(result.output.split())
    assert "Traceback" not in result.output


def test_verify_fails_when_something_does_not_add_up(database: str, ledger: Ledger) -> None:
    assert run(database, "verify").output == "Every balance and every charge adds up.\n"
    with decision(make_engine(database)) as connection:
        connection.execute(text("UPDATE account SET balance = balance + 1"))
    result = run(database, "verify")
    assert result.exit_code == 1
    assert f"ada: balance: {to_units(50) + 1} units, but {to_units(50)} expected" in result.output


def test_a_new_database_is_set_up(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path / 'new.sqlite'}"
    assert run(address, "lease", "list").exit_code != 0
    assert run(address, "migrate").output == "The ledger's database is up to date.\n"
    assert run(address, "lease", "list").exit_code == 0


def test_a_tiers_file_is_checked(tmp_path: Path) -> None:
    good = CliRunner().invoke(main, ["tiers", "check", str(HERE / "hub_tiers.yaml")])
    assert good.exit_code == 0
    assert "3 tiers and 3 sizes, without mistakes" in good.output
    bad = CliRunner().invoke(main, ["tiers", "check", str(HERE / "wrong_tiers.yaml")])
    assert bad.exit_code == 1
    assert f"{HERE / 'wrong_tiers.yaml'}:6: sizes.Big.core: there is no key 'core'" in bad.output
    table = CliRunner().invoke(main, ["tiers", "table", str(HERE / "hub_tiers.yaml")])
    assert table.output.startswith("| Size | Cores | Memory | Price | Offered to |\n")


def test_allocations_are_managed_by_command(database: str, ledger: Ledger) -> None:
    why = ("--reason", "A proposal.", "--key", "1")
    run(database, "allocation", "grant", "ada", "10", "--tier", "poor", "--end", "2099-01-01", *why)
    assert "15.00" in run(database, "allocation", "supplement", "2", "5", *why).output
    assert "2100-01-01" in run(database, "allocation", "extend", "2", "--end", "2100-01-01", *why).output
    assert "either --end or --no-end" in run(database, "allocation", "extend", "2", *why).output
    moved = run(database, "allocation", "transfer", "2", "1", "3", *why).output
    assert ("12.00" in moved, "53.00" in moved) == (True, True)
    for name in ("suspend", "resume", "revoke"):
        assert run(database, "allocation", name, "2", *why).exit_code == 0
    assert (
        "The term of allocation 2 of ada is over."
        in run(database, "allocation", "supplement", "2", "5", *why[:-1], "2").output
    )
    assert run(database, "sweep").output.splitlines() == [
        "1 allocation lapsed, 0 starts abandoned, 0 holds released.",
        "0 allocations renewed, 0 near the end, 1 past it, 0 past the grace.",
    ]
    told = run(database, "account", "explain", "ada").output
    assert "53.00 credits available." in told
    assert "Allocation 1 (explorer): transferred to it, in 1 line" in told
    assert "Allocations" in run(database, "account", "show", "ada").output
    assert run(database, "verify").exit_code == 0


def test_projects_are_managed_by_command(database: str, ledger: Ledger) -> None:
    assert run(database, "project", "open", "survey", "--tier", "poor", "--pi", "eve").exit_code == 0
    assert "bob" in run(database, "project", "member", "survey", "bob").output
    assert "bob" not in run(database, "project", "member", "survey", "bob", "--role", "none").output
    refused = run(database, "project", "member", "survey", "eve", "--role", "none")
    assert "eve is the only PI of survey" in refused.output
    assert (
        "ada is a user's account" in run(database, "project", "open", "ada", "--tier", "poor", "--pi", "x").output
    )


def test_the_states_are_printed_for_the_documentation() -> None:
    assert CliRunner().invoke(main, ["states"]).output.startswith("| State | Means |\n")
