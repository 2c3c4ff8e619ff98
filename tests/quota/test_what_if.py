"""A policy on past use: with the same file it says what was charged, with another what would have been."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner
from hubquota.cli import main
from hubquota.models.export import iso
from hubquota.models.ledger import ImpossibleError
from hubquota.models.money import rate_of, to_units
from hubquota.models.tiers import Tiers
from hubquota.models.whatif import Budgets, Policy
from hubquota.services import whatif as whatif_service
from hubquota.services.export import Export
from hubquota.services.ledger import Ledger
from hubquota.services.scratch import ScratchSpaces
from hubquota.services.tiersfile import load_tiers
from hubquota.services.whatif import Report, WhatIf, policy_of
from hubquota.storage import whatif as whatif_storage
from hubquota.storage.engine import make_engine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, text

from tests.quota.support import HERE, Clock

FILE = HERE / "hub_tiers.yaml"
TIERS = load_tiers(FILE)
RICH = to_units(10**6)


def server(ledger: Ledger, name: str, size: str, *, which: str = "", tiers: Tiers = TIERS) -> int:
    """Start a server as the spawner does; return its lease's number."""
    lease = ledger.admit(
        name,
        kind="server",
        key=f"server:{name}/{which}",
        label=f"{tiers.sizes[size].title} server",
        rate=tiers.sizes[size].rate,
    )
    ledger.begin(lease.id)
    return lease.id


def worker(ledger: Ledger, name: str, which: str) -> int:
    """Start a Dask worker as the gateway does; return its lease's number."""
    rate = TIERS.tiers["explorer"].dask.rate
    lease = ledger.admit(
        name, kind="dask-worker", key=f"dask-worker:{name}/{which}", label="Dask worker", rate=rate
    )
    ledger.begin(lease.id)
    return lease.id


def edited(folder: Path, changes: dict[str, str]) -> Path:
    """Return a copy of the tiers file in which lines are replaced."""
    text = FILE.read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path = folder / "new.yaml"
    path.write_text(text)
    return path


def whatif(
    engine: Engine,
    clock: Clock,
    since: datetime,
    path: Path = FILE,
    budgets: Budgets = "tier",
    until: datetime | None = None,
) -> Report:
    """Try a tiers file on what was since a time."""
    return WhatIf(engine, clock).run(policy_of(path, since, until or clock.now), since, until, budgets=budgets)


# The same file -----------------------------------------------------------------------------------------


def random_use(ledger: Ledger, clock: Clock, dice: Random) -> None:
    """Have two accounts start, scale and stop things for some hours."""
    for name in ("ada", "bob"):
        ledger.open_account(name, "explorer", RICH, actor="test")
    open_leases: list[int] = []
    for number in range(dice.randint(3, 25)):
        clock.turn(dice.randint(0, 3000))
        name, act = dice.choice(["ada", "bob"]), dice.random()
        if act < 0.4:
            open_leases.append(server(ledger, name, dice.choice(["small", "medium"]), which=str(number)))
        elif act < 0.5:
            open_leases.append(worker(ledger, name, str(number)))
        elif act < 0.6:
            odd = ledger.admit(name, kind="volume", key=f"volume:{number}", label="A volume", rate=7)
            open_leases.append(ledger.begin(odd.id).id)
        elif open_leases and act < 0.7:
            lease = ledger.lease(dice.choice(open_leases))
            assert lease is not None
            ledger.set_rate(lease.id, lease.rate * dice.randint(0, 3))
        elif open_leases:
            ledger.close(open_leases.pop(dice.randrange(len(open_leases))), reason="x")
    clock.turn(dice.randint(0, 3000))


def test_the_same_file_says_exactly_what_was_charged(new_url: Callable[[], str]) -> None:
    seen: Counter[str] = Counter()

    @settings(
        max_examples=25 if new_url().startswith("sqlite") else 5,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, 2**32))
    def tell(seed: int) -> None:
        dice, clock = Random(seed), Clock()
        begun, engine = clock.now, make_engine(new_url())
        try:
            random_use(Ledger(engine, clock), clock, dice)
            length = int((clock.now - begun).total_seconds())
            first = dice.choice([0, dice.randint(0, length - 1)])
            since = begun + timedelta(seconds=first)
            until = dice.choice([clock.now, begun + timedelta(seconds=dice.randint(first + 1, length))])
            used = list(Export(engine, clock).usage(since=since, until=until))
            for budgets in ("unlimited", "granted", "tier"):
                report = whatif(engine, clock, since, budgets=budgets, until=until)  # type: ignore[arg-type]
                total = report.total
                assert total.actual == total.priced == sum(row.amount for row in used)
                assert total.leases == len({row.lease for row in used})
                assert total.priced == total.charged + total.refused + total.stopped
                for name in ("leases", "actual", "charged", "refused", "stopped", "refused_starts"):
                    assert getattr(total, name) == sum(getattr(one, name) for one in report.tiers.values())
                # Only the caps of a tier are left to refuse something where credits never run out.
                if budgets != "tier":
                    assert {one.limit for outcome in report.outcomes for one in outcome.refused} <= {"count"}
                    assert total.stopped == 0
                    assert report.accounts_out == 0
            seen["leases"] += total.leases
            seen["unmapped"] += len(report.unmapped)
        finally:
            engine.dispose()

    tell()
    assert seen["leases"]
    if new_url().startswith("sqlite"):
        assert seen["unmapped"]


def test_the_moment_at_which_credits_are_out_is_the_ledger_s_own(
    ledger: Ledger, engine: Engine, clock: Clock
) -> None:
    begun = clock.now
    ledger.open_account("ada", "explorer", to_units("0.3"), actor="x", term_days=1)
    ledger.grant("ada", to_units("0.2"), tier="explorer", actor="x", reason="x", key="1", start=clock.now)
    server(ledger, "ada", "medium")
    clock.turn(1234)
    server(ledger, "ada", "small", which="2")
    out = ledger.exhausts_at("ada")
    clock.turn(86_400)
    report = whatif(engine, clock, begun, budgets="granted")
    (outcome,) = report.outcomes
    assert [datetime.fromtimestamp(at, UTC) for at in outcome.ran_out] == [out]
    assert outcome.sums.charged <= to_units("0.5") < outcome.sums.charged + rate_of("0.19")
    assert outcome.sums.stopped_leases == 2


# Another file ------------------------------------------------------------------------------------------


def test_other_prices_budgets_and_offers_have_their_effect(
    ledger: Ledger, engine: Engine, clock: Clock, tmp_path: Path
) -> None:
    begun = clock.now
    ledger.open_account("ada", "explorer", to_units(81), actor="x")
    ledger.open_account("bob", "poor", to_units(81), actor="x")
    ledger.open_project("survey", "explorer", pi="ada", actor="x")
    ledger.grant("survey", to_units(5), tier="forgotten", actor="x", reason="x", key="1")
    medium, small = server(ledger, "ada", "medium"), server(ledger, "bob", "small")
    project = ledger.admit(
        "survey", person="ada", kind="server", key="s", label="Small server", rate=rate_of("0.04")
    )
    ledger.begin(project.id)
    clock.turn(7200)
    for lease in (medium, small, project.id):
        ledger.close(lease, reason="x")
    clock.turn(10)
    later = server(ledger, "bob", "small")
    clock.turn(3600)
    path = edited(tmp_path, {"price: 0.15": "price: 0.30", "sizes: [small, medium]": "sizes: [small]"}).read_text()
    path = path.replace("default_size: medium", "default_size: small").replace("budget: 0.01", "budget: 0.05")
    (tmp_path / "new.yaml").write_text(path)
    report = whatif(engine, clock, begun, tmp_path / "new.yaml")
    found = {one.account: one for one in report.outcomes}
    ada, bob, survey = found["ada"], found["bob"], found["survey"]
    assert [(one.lease, one.limit, one.person) for one in ada.refused] == [(medium, "size", "ada")]
    assert (ada.sums.actual, ada.sums.priced, ada.sums.charged) == (to_units("0.3"), to_units("0.6"), 0)
    # 0.05 credits last for an hour and a quarter of a small server; the next start finds nothing.
    assert bob.ran_out == [int((begun + timedelta(minutes=75)).timestamp())]
    assert [(one.lease, one.limit) for one in bob.refused] == [(later, "budget")]
    assert (bob.sums.charged, bob.sums.stopped, bob.sums.refused) == (
        to_units("0.05"),
        to_units("0.03"),
        to_units("0.04"),
    )
    assert [one.limit for one in survey.refused] == ["tier"]
    assert list(report.tiers) == ["explorer", "poor", "forgotten"]
    assert (report.accounts, report.accounts_out) == (3, 1)


def test_a_cap_on_workers_refuses_those_beyond_it(
    ledger: Ledger, engine: Engine, clock: Clock, tmp_path: Path
) -> None:
    begun = clock.now
    ledger.open_account("ada", "explorer", RICH, actor="x")
    first, second = worker(ledger, "ada", "1"), worker(ledger, "ada", "2")
    clock.turn(60)
    third = worker(ledger, "ada", "3")
    clock.turn(60)
    ledger.close(first, reason="x")
    clock.turn(60)
    fourth = worker(ledger, "ada", "4")
    clock.turn(60)
    path = edited(
        tmp_path,
        {"workers: 4": "workers: 2", "worker_memory_gib: 4, price: 0.04": "worker_memory_gib: 4, price: 0.1"},
    )
    report = whatif(engine, clock, begun, path)
    (outcome,) = report.outcomes
    assert [(one.lease, one.limit) for one in outcome.refused] == [(third, "count")]
    assert second != fourth
    assert report.total.priced * 4 == report.total.actual * 10
    assert report.unmapped == {}


def test_scratch_space_has_the_policy_s_price_and_limit(
    ledger: Ledger, engine: Engine, clock: Clock, tmp_path: Path
) -> None:
    ours, begun = HERE.parents[1] / "hub_config" / "tiers.yaml", clock.now
    tiers, spaces = load_tiers(ours), ScratchSpaces.sharing(ledger)
    for name in ("ada", "bob"):
        ledger.open_account(name, "explorer", RICH, actor="x")
        spaces.make(tiers, name, person=name, name="one", gib=25, days=2)
    clock.turn(3600)
    spaces.make(tiers, "ada", person="ada", name="a-second", gib=15, days=2)
    for _ in range(3):
        clock.turn(86_400)
        spaces.keep(lambda _account: 30)
        spaces.extend_due()
    same = whatif(engine, clock, begun, ours)
    really = tiers.storage_rate(65, begun.date()) * 2 * 86_400
    assert (same.total.actual, same.total.priced, same.total.charged) == (really,) * 3
    assert (same.unmapped, same.outcomes) == ({}, ())
    text = ours.read_text().replace("storage_gib_hour: 0.00002", "storage_gib_hour: 0.00004")
    path = tmp_path / "new.yaml"
    path.write_text(text.replace("scratch_gib: 50", "scratch_gib: 30", 1))
    dear = whatif(engine, clock, begun, path)
    assert dear.total.priced == 2 * really
    (outcome,) = dear.outcomes
    assert [(one.label, one.limit) for one in outcome.refused] == [("Scratch a-second, 15 GiB", "size")]


def test_prices_are_those_of_each_start_s_day_or_of_one_day(
    ledger: Ledger, engine: Engine, clock: Clock, tmp_path: Path
) -> None:
    begun = clock.now
    ledger.open_account("ada", "explorer", RICH, actor="x")
    for _ in range(2):
        lease = server(ledger, "ada", "small")
        clock.turn(86_400)
        ledger.close(lease, reason="x")
    card = "\n".join(
        f"  - {{valid_from: {day}, core_hour: {price}, gib_hour: 0}}"
        for day, price in (("2026-01-01", "0.5"), ("2026-11-23", "0.7"), ("2027-01-01", "2"))
    )
    path = edited(tmp_path, {"\n    price: 0.04\n": "\n"})
    path.write_text(f"rates:\n{card}\n{path.read_text()}")
    used = policy_of(path, begun, clock.now)
    report = WhatIf(engine, clock).run(used, begun, budgets="unlimited")
    assert report.total.priced == rate_of("0.5") * 86_400 + rate_of("0.7") * 86_400
    planned = policy_of(path, begun, clock.now, prices_on=date(2027, 3, 1))
    assert WhatIf(engine, clock).run(planned, begun, budgets="unlimited").total.priced == rate_of("2") * 172_800


def test_sizes_that_were_renamed_are_found_by_the_file_that_was_in_force(
    url: str, ledger: Ledger, clock: Clock, tmp_path: Path
) -> None:
    clock.now = datetime(2026, 5, 1, tzinfo=UTC)
    ledger.open_account("ada", "explorer", RICH, actor="x")
    ledger.close(_after_an_hour(ledger, clock), reason="x")
    path = edited(tmp_path, {"title: Medium": "title: Middling", "price: 0.15": "price: 0.3"})

    def run(*more: str) -> str:
        arguments = [
            "what-if",
            "--tiers",
            str(path),
            "--from",
            "2026-05-01",
            "--until",
            iso(clock.now) or "",
            *more,
        ]
        result = CliRunner().invoke(main, arguments, env={"HUBQUOTA_DATABASE_URL": url})
        assert (result.exit_code, result.stderr) == (0, "")
        return result.stdout

    unknown = json.loads(run("--json"))
    assert unknown["unmapped"] == [{"kind": "server", "label": "Medium server", "leases": 1, "priced": "0.15"}]
    assert unknown["total"]["priced"] == "0.15"
    told = json.loads(run("--json", "--was", str(FILE)))
    assert (told["unmapped"], told["total"]["priced"], told["items"]) == ([], "0.3", [])
    text = run()
    assert "Medium server" in text
    assert "Of 1 account that ran something, 0 would have run out" in text
    assert "What this takes for granted" in text


def _after_an_hour(ledger: Ledger, clock: Clock) -> int:
    lease = server(ledger, "ada", "medium")
    clock.turn(3600)
    return lease


def test_a_range_that_cannot_be_is_told(engine: Engine, clock: Clock) -> None:
    with pytest.raises(ValueError, match="ends after it begins"):
        whatif(engine, clock, clock.now)


def test_a_replay_that_the_database_gives_up_says_so(
    ledger: Ledger, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite gives nothing up, so there it is only seen to have no such limit."""
    since = ledger._clock() - timedelta(days=1)

    def slow(connection: Connection, **_: object) -> list[object]:
        if url.startswith("postgresql"):
            connection.execute(text("SELECT pg_sleep(20)"))
        return []

    monkeypatch.setattr(whatif_storage, "owners", slow)
    monkeypatch.setattr(whatif_service, "PATIENCE", 1)
    replay = WhatIf.sharing(ledger)
    if url.startswith("postgresql"):
        with pytest.raises(ImpossibleError, match=r"gave up .* after 1 second\. Choose a shorter range"):
            replay.run(Policy([(0, TIERS)], {}), since)
    else:
        assert replay.run(Policy([(0, TIERS)], {}), since).accounts == 0
