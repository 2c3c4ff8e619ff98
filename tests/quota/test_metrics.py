"""What Prometheus reads of the ledger is what the ledger says, by names that follow its conventions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from hubquota.cli import main
from hubquota.hub import metrics, watch_metrics
from hubquota.hub.api import HubApi
from hubquota.models.delivery import DeliverySettings
from hubquota.models.ledger import Refused
from hubquota.models.money import rate_of, to_credits, to_units
from hubquota.models.requests import Actor
from hubquota.services.delivery import Delivering
from hubquota.services.export import Export
from hubquota.services.ledger import Ledger
from hubquota.services.metrics import LedgerCollector
from hubquota.services.notices import Notices
from hubquota.services.requests import Requests
from hubquota.services.tiersfile import TiersFile
from hubquota.storage import gauges
from hubquota.storage.engine import make_engine
from hypothesis import HealthCheck, given, settings
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine

from tests.quota.purge_support import ROOT, expire, fill, make_purge, make_settings
from tests.quota.support import HERE, Clock
from tests.quota.test_ledger_properties import ACCOUNTS, Model, Step, histories
from tests.support.ports import free_port

Numbers = dict[tuple[str, ...], float]


def numbers(text: str) -> Numbers:
    """Return a scrape's samples by name and labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape(collector: LedgerCollector) -> Numbers:
    registry = CollectorRegistry()
    registry.register(collector)
    return numbers(generate_latest(registry).decode())


@pytest.fixture
def busy(ledger: Ledger, engine: Engine, clock: Clock) -> None:
    """A ledger in which something of everything is there."""
    ledger.open_account("ada", "explorer", to_units(50), actor="x", term_days=10)
    ledger.open_account("bob", "poor", to_units(1), actor="x", term_days=100)
    ledger.open_project("survey", "explorer", pi="ada", actor="x")
    ledger.grant("survey", 5, tier="explorer", actor="x", reason="x", key="1", start=clock.now + timedelta(days=1))
    ledger.suspend(2, actor="x", reason="x", key="1")
    for which, begins in (("1", True), ("2", False)):
        lease = ledger.admit("ada", kind="server", key=f"server:ada/{which}", label="x", rate=rate_of("0.06"))
        if begins:
            ledger.begin(lease.id)
            clock.turn(3600)
            ledger.seen([lease.key])
            ledger.extend(lease.id, ahead=600)
    Requests(engine, clock).ask("ada", "team", 5, justification="x", by=Actor("ada"))
    clock.turn(61)


def test_the_ledger_is_told_in_numbers(busy: None, engine: Engine, clock: Clock) -> None:
    found = scrape(LedgerCollector(engine, TiersFile(HERE / "hub_tiers.yaml"), clock))
    assert found["hubquota_ledger_up",] == 1
    assert found["hubquota_open_leases", "server", "running"] == 1
    assert found["hubquota_open_leases", "server", "starting"] == 1
    assert found["hubquota_credits_posted", "explorer"] == pytest.approx(49.94)
    assert found["hubquota_credits_held", "explorer"] == pytest.approx(0.02)
    assert found["hubquota_credits_available", "explorer"] == pytest.approx(49.92)
    assert found["hubquota_credits_charged_total", "explorer"] == pytest.approx(0.06)
    assert found["hubquota_allocations", "expiring"] == 1
    assert found["hubquota_allocations", "suspended"] == 1
    assert found["hubquota_allocations", "approved"] == 1
    assert found["hubquota_allocations", "grace"] == 0
    assert found["hubquota_accounts", "user"] == 2
    assert found["hubquota_accounts", "project"] == 1
    assert found["hubquota_open_requests",] == 1
    assert (
        found["hubquota_oldest_open_request_timestamp_seconds",] == (clock.now - timedelta(seconds=61)).timestamp()
    )
    assert not any("account_credits" in name for name, *_ in found), "not a time series for every account"


def test_each_account_is_told_where_it_is_asked_for(busy: None, engine: Engine, clock: Clock) -> None:
    found = scrape(LedgerCollector(engine, None, clock, per_account=True))
    accounts = {name[1]: value for name, value in found.items() if name[0] == "hubquota_account_credits_available"}
    assert accounts == pytest.approx({"ada": 49.92, "bob": 0, "survey": 0}, abs=0.01)


def test_notices_that_do_not_arrive_are_told(ledger: Ledger, engine: Engine, clock: Clock) -> None:
    settings = DeliverySettings.model_validate(
        {
            "mail": {"host": "127.0.0.1", "port": free_port(), "security": "none", "sender": "hub@example.org"},
            "attempts": 2,
        }
    )
    deliver = Delivering(engine, settings, clock, address_of=lambda person: f"{person}@example.org").deliver
    ledger.open_account("ada", "explorer", 5, actor="x")
    name, collector = "hubquota_undelivered_notices", LedgerCollector(engine, None, clock, fresh=0)
    assert scrape(collector)[name, "mail", "failing"] == 0
    for key in ("first", "second"):
        Notices(engine, clock).tell("ada", kind="x", key=key, subject="x", text="x")
        deliver()
        clock.turn(60)
    found = scrape(collector)
    assert found[name, "mail", "given up"] == 1
    assert found[name, "mail", "failing"] == 1
    assert found[name, "webhook", "given up"] == 0


def test_what_a_purge_has_before_it_is_told_by_stage(
    ledger: Ledger, engine: Engine, clock: Clock, tmp_path: Path
) -> None:
    for name in ("ada", "bob"):
        fill(tmp_path / "homes" / name)
    expire(ledger, clock, "ada", "bob")
    purge = make_purge(engine, clock, make_settings(tmp_path))
    collector = LedgerCollector(engine, None, clock, fresh=0)
    draft = purge.plan(by=ROOT, dry_run=False)
    assert draft.plan is not None
    found = scrape(collector)
    assert (found["hubquota_waiting_purge_plans",], found["hubquota_purge_things", "planned"]) == (1, 0)
    purge.approve(draft.plan, by=ROOT, digest=purge.read(draft.plan)[0].digest)
    found = scrape(collector)
    assert (found["hubquota_waiting_purge_plans",], found["hubquota_purge_things", "planned"]) == (0, 2)
    purge.advance(dry_run=False)
    found = scrape(collector)
    assert (found["hubquota_purge_things", "planned"], found["hubquota_purge_things", "noticed"]) == (0, 2)


def test_states_and_charges_are_those_of_the_ledger_after_any_history(new_url: Callable[[], str]) -> None:
    sqlite = new_url().startswith("sqlite")
    states: Counter[str] = Counter()

    @settings(
        max_examples=15 if sqlite else 3, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(histories)
    def tell(history: list[tuple[int, Step]]) -> None:
        model = Model(new_url())
        engine, clock = model.engines[0], model.clock
        collector = LedgerCollector(engine, None, clock, fresh=0)
        try:
            for position, (passed, (name, arguments)) in enumerate(history):
                clock.turn(passed)
                getattr(model, name)(**arguments)
                if position % 10 == 0:
                    scrape(collector)
            rows = list(Export(engine, clock).allocations())
            expected = Counter(row.state.value for row in rows)
            found = scrape(collector)
            told = {name[1]: int(value) for name, value in found.items() if name[0] == "hubquota_allocations"}
            assert {state: number for state, number in told.items() if number} == expected
            states.update(expected)
            posted = {name: model.ledgers[0].balance(name).posted for name in ACCOUNTS}
            total = sum(value for name, value in found.items() if name[0] == "hubquota_credits_posted")
            assert total == pytest.approx(float(to_credits(sum(posted.values()))))
            clock.turn(120)
            charged = sum(
                value for name, value in scrape(collector).items() if name[0] == "hubquota_credits_charged_total"
            )
            assert charged == pytest.approx(float(to_credits(sum(row.charged for row in rows))))
        finally:
            model.dispose()

    tell()
    assert len(states) > (3 if sqlite else 0)


def test_charges_are_told_only_when_all_of_them_are_added_up(
    busy: None, engine: Engine, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gauges, "_LINES", 3)
    slow = LedgerCollector(engine, None, clock, fresh=0, catch_up=0)
    name = ("hubquota_credits_charged_total", "explorer")
    assert name not in scrape(slow)
    slow._catch_up = 60
    assert scrape(slow)[name] == pytest.approx(0.06)


def test_scrapes_in_a_row_ask_the_database_once(busy: None, ledger: Ledger, engine: Engine, clock: Clock) -> None:
    collector = LedgerCollector(engine, None, clock, fresh=3600)
    before = scrape(collector)
    ledger.open_account("eve", "poor", 1, actor="x")
    assert scrape(collector) == before
    assert scrape(LedgerCollector(engine, None, clock))["hubquota_accounts", "user"] == 3


def test_a_database_that_is_away_is_told_and_nothing_else() -> None:
    collector = LedgerCollector(make_engine("sqlite:////nowhere/ledger.sqlite"))
    assert scrape(collector) == {("hubquota_ledger_up",): 0}


def test_the_command_prints_what_prometheus_reads(busy: None, url: str) -> None:
    result = CliRunner().invoke(
        main,
        ["metrics", "--per-account"],
        env={"HUBQUOTA_DATABASE_URL": url, "HUBQUOTA_TIERS": str(HERE / "hub_tiers.yaml")},
    )
    assert (result.exit_code, result.stderr) == (0, "")
    assert ("hubquota_account_credits_available", "ada") in numbers(result.stdout)
    _check_names(result.stdout)


def test_the_hub_s_metrics_follow_the_conventions() -> None:
    with pytest.raises(Refused), metrics.admission():
        raise Refused(limit="budget", message="x")
    registry = CollectorRegistry()
    watch_metrics.WatchMetrics(registry)
    for text in (generate_latest(REGISTRY).decode(), generate_latest(registry).decode()):
        _check_names(text, only="hubquota_")


def test_a_pass_that_fails_is_counted_as_such(ledger: Ledger) -> None:
    registry = CollectorRegistry()
    away = httpx.Client(base_url="http://127.0.0.1:1/")
    watched = watch_metrics.MeasuredWatch(
        watch_metrics.WatchMetrics(registry), ledger, TiersFile(HERE / "hub_tiers.yaml"), HubApi(away)
    )
    with pytest.raises(httpx.ConnectError):
        watched.pass_once()
    found = numbers(generate_latest(registry).decode())
    assert found["hubquota_watch_passes_total", "failed"] == 1
    assert found["hubquota_watch_passes_total", "done"] == 0


def _check_names(text: str, only: str = "") -> None:
    """Check what promtool checks: help, types, base units, and the endings that belong to them."""
    seen = 0
    for family in text_string_to_metric_families(text):
        if not family.name.startswith(only):
            continue
        seen += 1
        assert re.fullmatch(r"hubquota_[a-z]+(_[a-z]+)*", family.name)
        assert family.documentation.endswith("."), family.name
        assert not re.search(r"_(milliseconds|minutes|hours|kilobytes|units|ms)(_|$)", family.name)
        assert family.type in {"counter", "gauge", "histogram"}
        assert not family.name.endswith(("_total", "_count", "_sum", "_bucket")), (
            "the parser takes a counter's off"
        )
        for sample in family.samples:
            if family.type == "counter":
                assert sample.name.endswith(("_total", "_created"))
            assert not {"account", "person", "user"} & set(sample.labels) or "account" in family.name
    assert seen


def test_readme_names_what_there_is(busy: None, url: str) -> None:
    """Every number is in the table of the package's page."""
    page = (Path(__file__).parents[2] / "quota" / "README.md").read_text()
    engine = make_engine(url)
    registry = CollectorRegistry()
    registry.register(LedgerCollector(engine, per_account=True))
    watch_metrics.WatchMetrics(registry)
    text = generate_latest(registry).decode() + generate_latest(REGISTRY).decode()
    named = set(re.findall(r"^# TYPE (hubquota_\w+) (?:counter|gauge|histogram)", text, re.MULTILINE))
    missing = {name for name in named if not name.endswith("_created") and f"`{name}`" not in page}
    engine.dispose()
    assert not missing
