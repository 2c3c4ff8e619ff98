"""Renewing many allocations at once: a preview, and then exactly what it showed, each once."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hubquota.cli import main
from hubquota.models.ledger import Allocation
from hubquota.models.money import to_units
from hubquota.models.renewals import Filter, Preview, StalePreviewError, UnknownPreviewError
from hubquota.models.requests import Actor
from hubquota.models.tiers import Tiers
from hubquota.services.ledger import Ledger, utc_now
from hubquota.services.notices import Notices
from hubquota.services.renewallist import parse_renewals
from hubquota.services.renewals import Renewals
from hubquota.services.requests import Requests
from hubquota.storage.engine import make_engine
from hubquota.storage.migrate import migrate
from sqlalchemy import Engine

from tests.quota.support import HERE, Clock

TIERS = HERE.parents[1] / "hub_config" / "tiers.yaml"


@pytest.fixture
def renewals(engine: Engine, tiers: Tiers, clock: Clock) -> Renewals:
    return Renewals(engine, lambda: tiers, clock)


def grant(ledger: Ledger, clock: Clock, name: str, tier: str, days: int, *, renewable: bool = True) -> Allocation:
    ledger.open_account(name, "explorer", 0, actor="test")
    return ledger.grant(
        name,
        5_000_000,
        actor="root",
        reason="x",
        key=f"{name}-{tier}-{days}",
        tier=tier,
        end=clock.now + timedelta(days=days),
        renewable=renewable,
    )


def chosen(clock: Clock, **other: object) -> Filter:
    return Filter(clock.now + timedelta(days=60), **other)  # type: ignore[arg-type]


def preview_text(renewals: Renewals, text: str, *, skip_wrong: bool = False) -> Preview:
    wanted, problems = parse_renewals(text)
    return renewals.preview_list(wanted, actor="root", problems=problems, skip_wrong=skip_wrong)


def test_what_a_filter_chooses_is_previewed_and_carried_out_once(
    engine: Engine, renewals: Renewals, ledger: Ledger, clock: Clock, tiers: Tiers
) -> None:
    near = grant(ledger, clock, "ada", "researcher", 30)
    grant(ledger, clock, "bob", "researcher", 90)  # later
    grant(ledger, clock, "eve", "team", 30)  # of another tier
    grant(ledger, clock, "ida", "researcher", 30, renewable=False)
    found = renewals.preview(chosen(clock, tier="researcher"), reason="Cycle 2.", actor="root")
    (item,) = found.items
    assert (item.account, item.allocation, item.units) == ("ada", near.id, tiers.tiers["researcher"].budget_units)
    assert (item.start, item.end) == (near.end, near.end and near.end + timedelta(days=365))
    assert (found.problems, found.units) == ((), item.units)
    assert len(ledger.allocations("ada")) == 1
    assert found.token is not None
    steps: list[int] = []
    done = renewals.carry_out(found.token, actor="root", progress=steps.append)
    assert (done.renewed, done.before, done.left_alone, steps) == (1, 0, (), [1])
    again = renewals.carry_out(found.token, actor="root")
    assert (again.renewed, again.before) == (0, 1)
    new = ledger.allocations("ada")[1]
    assert (new.start, new.end, new.balance, new.reason) == (item.start, item.end, item.units, "Cycle 2.")
    assert Notices(engine, clock).notices("ada")[0].kind == "allocation-renewed"
    assert renewals.items(found.token)[0].following == new.id
    # What follows it ends later than what was asked for: nothing is left to renew.
    assert renewals.preview(chosen(clock, tier="researcher"), reason="x", actor="root").items == ()
    assert ledger.verify() == []


def test_a_preview_whose_terms_would_be_over_is_not_carried_out(
    renewals: Renewals, ledger: Ledger, clock: Clock
) -> None:
    grant(ledger, clock, "ada", "researcher", 30)
    end = clock.now + timedelta(days=60)
    found = preview_text(renewals, f"account,tier,credits,end,reason\nada,researcher,5,{end:%Y-%m-%d},x\n")
    assert found.token is not None
    clock.turn(100 * 86400)
    with pytest.raises(StalePreviewError, match="would be over already"):
        renewals.carry_out(found.token, actor="root")
    assert len(ledger.allocations("ada")) == 1


def test_a_filter_by_name_and_by_use(renewals: Renewals, ledger: Ledger, clock: Clock) -> None:
    for name in ("roman-a", "roman-b", "other"):
        grant(ledger, clock, name, "researcher", 30)
    lease = ledger.begin(ledger.admit("roman-b", kind="server", key="k", label="x", rate=1).id)
    clock.turn(60)
    ledger.close(lease.id, reason="x")

    def names(**other: object) -> list[str]:
        found = renewals.preview(chosen(clock, **other), reason="x", actor="root")
        return sorted(item.account for item in found.items)

    assert names() == ["other", "roman-a", "roman-b"]
    assert names(accounts="roman-*") == ["roman-a", "roman-b"]
    assert names(active_within_days=40) == ["roman-b"]
    assert names(active_within_days=20) == []


def test_the_allocation_that_ends_last_stands_for_its_tier(
    renewals: Renewals, ledger: Ledger, clock: Clock
) -> None:
    # Within the time that is asked about, or beyond it.
    grant(ledger, clock, "ada", "researcher", 30)
    last = grant(ledger, clock, "ada", "researcher", 50)
    grant(ledger, clock, "bob", "researcher", 30)
    beyond = grant(ledger, clock, "bob", "researcher", 90)
    found = renewals.preview(chosen(clock), reason="x", actor="root")
    assert [item.allocation for item in found.items] == [last.id]
    ledger.revoke(beyond.id, actor="root", reason="x", key="1")
    found = renewals.preview(chosen(clock), reason="x", actor="root")
    assert sorted(item.account for item in found.items) == ["ada", "bob"]


def test_what_was_asked_for_is_decided_with_it(
    renewals: Renewals, engine: Engine, ledger: Ledger, clock: Clock
) -> None:
    requests, notices = Requests(engine, clock), Notices(engine, clock)
    last = grant(ledger, clock, "ada", "researcher", 30)
    asked = requests.renew(last.id, justification="More.", results="doi:10.5555/1", by=Actor("ada"))
    other = requests.ask("ada", "team", 5_000_000, justification="Another.", by=Actor("ada"))
    token = renewals.preview(chosen(clock), reason="Cycle 2.", actor="root").token
    assert token is not None
    assert renewals.carry_out(token, actor="root").renewed == 1
    decided = requests.request(asked.id)
    assert (decided.decision, decided.decided_by, decided.decision_reason) == ("approved", "root", "Cycle 2.")
    assert decided.allocation == ledger.allocations("ada")[-1].id
    assert [one.id for one in requests.queue()] == [other.id]
    assert "Cycle 2." in notices.notices("ada")[1].text


def test_a_list_says_what_is_wrong_on_which_line(renewals: Renewals, ledger: Ledger, clock: Clock) -> None:
    grant(ledger, clock, "ada", "researcher", 30)
    grant(ledger, clock, "bob", "researcher", 30, renewable=False)
    ledger.open_account("eve", "explorer", 10, actor="test")
    text = """account,tier,credits,end,reason
ada,researcher,12.5,2027-12-31,"Good, so far"
nobody,researcher,1,,x
ada,team,1,,x
ada,researcher,1,,Twice
bob,researcher,,,x
eve,explorer,,,x
ada,researcher,-1,,x
ada,researcher,1,31.12.2027,x
ada,researcher,1,,

ada,researcher,1
"""
    found = preview_text(renewals, text)
    assert found.token is None
    assert [(problem.line, problem.text) for problem in found.problems] == [
        (3, "There is no account 'nobody'."),
        (4, "It has no allocation of the tier 'team' to renew."),
        (5, "Line 2 renews the same already."),
        (6, "Allocation 2 cannot be renewed."),
        (7, "Allocation 3 has no end, so nothing can follow it."),
        (8, "The credits '-1' are not above zero."),
        (9, "The end '31.12.2027' is not a day such as 2027-12-31."),
        (10, "There is no reason."),
        (12, "There are 3 columns; 5 are named."),
    ]
    partly = preview_text(renewals, text, skip_wrong=True)
    assert partly.token is not None
    assert renewals.carry_out(partly.token, actor="root").renewed == 1
    new = ledger.allocations("ada")[1]
    assert (new.balance, new.reason) == (to_units("12.5"), "Good, so far")
    late = preview_text(renewals, "account,tier,credits,end,reason\nada,researcher,1,2026-01-01,x\n")
    assert "is not after the start" in late.problems[0].text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names the columns"),
        ("a,b\n", "names the columns"),
        ('account,tier,credits,end,reason\n"x', "not CSV"),
    ],
)
def test_what_is_no_list_is_turned_down(text: str, said: str) -> None:
    wanted, problems = parse_renewals(text)
    assert wanted == []
    assert said in problems[0].text


def test_a_preview_that_is_stale_changes_nothing(renewals: Renewals, ledger: Ledger, clock: Clock) -> None:
    made = {name: grant(ledger, clock, name, "researcher", 30) for name in ("ada", "bob")}
    found = renewals.preview(chosen(clock), reason="x", actor="root")
    assert found.token is not None
    ledger.extend_term(made["bob"].id, clock.now + timedelta(days=40), actor="root", reason="x", key="e")
    with pytest.raises(StalePreviewError, match="bob: allocation 2 was changed. Make another preview"):
        renewals.carry_out(found.token, actor="root")
    assert len(ledger.allocations("ada")) == 1
    with pytest.raises(UnknownPreviewError):
        renewals.carry_out("0" * 32, actor="root")
    other = renewals.preview(chosen(clock), reason="x", actor="root")
    assert other.token not in (None, found.token)
    assert renewals.carry_out(other.token or "", actor="root").renewed == 2


def test_it_may_be_interrupted_and_run_again(renewals: Renewals, ledger: Ledger, clock: Clock) -> None:
    names = [f"user-{number}" for number in range(6)]
    for name in names:
        grant(ledger, clock, name, "researcher", 30)
    token = renewals.preview(chosen(clock), reason="x", actor="root").token
    assert token is not None
    count = 0

    def interrupted(more: int) -> None:
        nonlocal count
        count += more
        if count == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        renewals.carry_out(token, actor="root", progress=interrupted)
    done = renewals.carry_out(token, actor="root")
    assert (done.renewed, done.before) == (3, 3)
    assert [len(ledger.allocations(name)) for name in names] == [2] * 6
    assert ledger.verify() == []


def test_two_administrators_at_once_renew_each_once(renewals: Renewals, ledger: Ledger, clock: Clock) -> None:
    for number in range(6):
        grant(ledger, clock, f"user-{number}", "researcher", 30)
    tokens = [renewals.preview(chosen(clock), reason=why, actor="root").token or "" for why in ("One.", "Two.")]
    together = threading.Barrier(2)

    def carry_out(token: str) -> int:
        together.wait()
        try:
            return renewals.carry_out(token, actor="root").renewed
        except StalePreviewError:
            return 0

    with ThreadPoolExecutor(2) as threads:
        assert sum(threads.map(carry_out, tokens)) == 6
    assert [len(ledger.allocations(f"user-{number}")) for number in range(6)] == [2] * 6


def test_a_term_that_is_over_is_renewed_from_now_on(renewals: Renewals, ledger: Ledger, clock: Clock) -> None:
    grant(ledger, clock, "ada", "researcher", 30)
    clock.now += timedelta(days=40)
    ledger.sweep()
    found = preview_text(renewals, "account,tier,credits,end,reason\nada,researcher,,,Late\n")
    assert found.token is not None
    assert renewals.carry_out(found.token, actor="root").renewed == 1
    assert ledger.allocations("ada")[0].start == clock.now


def test_by_command(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    engine = make_engine(url)
    migrate(engine)
    ledger, clock = Ledger(engine), Clock()
    clock.now = utc_now()
    grant(ledger, clock, "ada", "researcher", 30)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(
            main, arguments, env={"HUBQUOTA_DATABASE_URL": url, "HUBQUOTA_TIERS": str(TIERS)}
        )

    day = f"{clock.now + timedelta(days=60):%Y-%m-%d}"
    shown = run("renew", "preview", "--ends-before", day, "--tier", "researcher", "--reason", "Cycle 2.")
    assert shown.exit_code == 0, shown.output
    assert "1 renewal of 500.00 credits together, 0 lines wrong." in shown.output
    token = shown.output.split()[-1]
    asked = run("renew", "preview", "--ends-before", day, "--tier", "researcher", "--reason", "Cycle 2.", "--json")
    assert json.loads(asked.output)["token"] == token
    assert run("renew", "carry-out", token).output == "1 allocation renewed, 0 before.\n"
    assert run("renew", "carry-out", token).output == "0 allocations renewed, 1 before.\n"
    wrong = run("renew", "carry-out", "x")
    assert (wrong.exit_code, "There is no preview 'x'" in wrong.output) == (1, True)
    file = tmp_path / "list.csv"
    file.write_text("account,tier,credits,end,reason\nnobody,team,1,,x\n")
    listed = run("renew", "preview", "--csv", str(file))
    assert listed.exit_code == 1
    assert "There is no account 'nobody'." in listed.output
    assert run("renew", "preview", "--tier", "team").exit_code == 2
    assert run("renew", "preview", "--csv", str(file), "--tier", "team").exit_code == 2

    assert "allocation-granted" in run("notices", "list", "ada").output
    assert "is not a mail address" in run("notices", "address", "ada", "x").output
    assert run("notices", "address", "ada", "ada@example.org").output == "ada: ada@example.org\n"
    assert "allocation-renewed       no" in run("notices", "opt-out", "ada", "allocation-renewed").output
    assert "are always sent" in run("notices", "opt-out", "ada", "allocation-revoked").output
    settings = tmp_path / "notices.yaml"
    settings.write_text("admins: [root]\n")
    assert (
        run("notices", "deliver", "--notices", str(settings)).output
        == "0 sent, 0 to be tried again, 0 given up.\n"
    )
    assert "nothing" in run("notices", "failed").output
    assert run("notices", "retry", "--all").output == "0 deliveries will be tried again.\n"
    assert "0 allocations renewed, 0 near the end, 0 past it, 0 past the grace." in run("sweep").output
