"""An export says what the journal says, to the second and to the unit, whatever the range."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from random import Random

import pytest
from click.testing import CliRunner
from hubquota.cli import main
from hubquota.models.export import JOURNAL, USAGE, iso
from hubquota.models.ledger import UnknownAccountError
from hubquota.models.money import exact_credits, rate_of, to_units
from hubquota.services.export import Export, added_up
from hubquota.services.ledger import Ledger
from hubquota.storage.engine import decision, reading
from hubquota.storage.export import Filter, journal_statement, stream
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from tests.quota.support import Clock
from tests.quota.test_ledger_properties import ACCOUNTS, Model, histories


def charged_within(ledger: Ledger, since: datetime, until: datetime) -> int:
    """What the journal charges for a range, and what has been run up there since: from its lines alone.

    The key of a charge says from when it is; it ends where the lease's next one begins, or at its last
    settlement, and its rate is one throughout.
    """
    total = 0
    for name in ACCOUNTS:
        statement = ledger.statement(name, limit=10_000)
        for lease in (*statement.running, *statement.ended):
            cuts: dict[int, int] = {}
            for row in Export(ledger._engine, ledger._clock).journal(kind="charge"):
                if row.entry.lease_id == lease.id:
                    since_text = row.key.split(":")[2]
                    cuts[int(since_text)] = cuts.get(int(since_text), 0) - row.entry.amount
            assert sum(cuts.values()) == lease.charged
            settled = 0 if lease.settled_at is None else int(lease.settled_at.timestamp())
            # What ran at a rate of nothing has no lines, so a charge ends where its segment does, at the latest.
            ends = sorted({*cuts, settled, *(_end(part.end) for part in ledger.segments(lease.id) if part.end)})
            for first, amount in cuts.items():
                after = next(end for end in ends if end > first)
                rate, rest = divmod(amount, after - first)
                assert rest == 0
                total += rate * max(0, min(after, _end(until)) - max(first, _end(since)))
            if lease.is_open and lease.settled_at is not None:
                total += lease.rate * max(0, _end(until) - max(settled, _end(since)))
    return total


def _end(at: datetime) -> int:
    return int(at.timestamp())


def test_any_range_of_any_history_adds_up_to_what_the_journal_says(new_url: Callable[[], str]) -> None:
    sqlite = new_url().startswith("sqlite")
    seen: Counter[str] = Counter()

    @settings(
        max_examples=18 if sqlite else 5, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(histories, st.randoms(use_true_random=False))
    def tell(history: list[tuple[int, tuple[str, dict[str, object]]]], dice: Random) -> None:
        model = Model(new_url())
        begun = model.clock.now
        try:
            for seconds, (name, arguments) in history:
                model.clock.turn(seconds)
                getattr(model, name)(**arguments)
            ledger, now = model.ledgers[0], model.clock.now
            export = Export(model.engines[0], model.clock)
            rows = list(export.usage())
            costs = [
                (lease.cost(now), lease.cost(now) - lease.charged)
                for name in ACCOUNTS
                for statement in [ledger.statement(name, limit=10_000)]
                for lease in (*statement.running, *statement.ended)
            ]
            assert sum(row.amount for row in rows) == sum(cost for cost, _ in costs)
            assert sum(row.accrued for row in rows) == sum(accrued for _, accrued in costs)
            posted = [row.entry.amount for row in export.journal() if row.entry.kind == "charge"]
            assert sum(row.amount for row in rows) == -sum(posted) + sum(row.accrued for row in rows)
            length = max(2, int((now - begun).total_seconds()))
            cuts = sorted({0, length, *(dice.randint(0, length) for _ in range(3))})
            parts = [
                list(export.usage(since=begun + timedelta(seconds=first), until=begun + timedelta(seconds=after)))
                for first, after in pairwise(cuts)
            ]
            assert sum(row.amount for part in parts for row in part) == sum(row.amount for row in rows)
            for (first, after), part in zip(pairwise(cuts), parts, strict=True):
                since, until = begun + timedelta(seconds=first), begun + timedelta(seconds=after)
                assert all(since <= row.start < row.end <= until for row in part)
                assert sum(row.amount for row in part) == charged_within(ledger, since, until)
            by_person = added_up(rows, ["person", "kind"])
            assert sum(total.amount for total in by_person) == sum(row.amount for row in rows)
            assert sum(total.leases for total in by_person) == len({row.lease for row in rows})
            seen["rows"] += len(rows)
            seen["accrued"] += any(row.accrued for row in rows)
            for row in export.allocations():
                if row.allocation.lapsed_at is None:
                    assert row.granted - row.charged == row.allocation.balance
        finally:
            model.dispose()

    tell()
    assert seen["rows"]
    if sqlite:
        assert seen["accrued"]


@pytest.fixture
def quarter(ledger: Ledger, clock: Clock) -> list[datetime]:
    """Two people who ran something for some hours; the times at which they began and ended."""
    # Past by the clock on the wall too, which is the one that the commands go by.
    clock.now = datetime(2026, 5, 1, tzinfo=UTC)
    ledger.open_account("ada", "explorer", to_units(50), actor="first start", term_days=90)
    ledger.open_account("bob", "poor", to_units(1), actor="first start")
    times = [clock.now]
    for name, label, price in (("ada", "Medium server", "0.15"), ("bob", "=1+1 server", "0.04")):
        lease = ledger.admit(name, kind="server", key=f"server:{name}/", label=label, rate=rate_of(price))
        ledger.begin(lease.id)
        clock.turn(7200)
        if name == "ada":
            ledger.close(lease.id, reason="The end.")
        times.append(clock.now)
    return times


def test_filters_choose_rows(ledger: Ledger, engine: Engine, clock: Clock, quarter: list[datetime]) -> None:
    export = Export(engine, clock)
    assert [(row.account, row.amount, row.accrued) for row in export.usage()] == [
        ("ada", to_units("0.3"), 0),
        ("bob", to_units("0.08"), to_units("0.08")),
    ]
    (bob,) = export.usage(tier="poor")
    assert (bob.account, bob.tiers) == ("bob", ("poor",))
    (half,) = export.usage(since=quarter[0] + timedelta(hours=1), until=quarter[1], person="ada")
    assert (half.seconds, half.amount) == (3600, rate_of("0.15") * 3600)
    assert list(export.usage(kind="dask-worker")) == []
    assert [row.entry.kind for row in export.journal(account="ada")] == ["grant", "charge"]
    (charge,) = export.journal(tier="explorer", kind="charge")
    assert (charge.person, -charge.entry.amount) == ("ada", to_units("0.3"))
    assert list(export.journal(until=quarter[0])) == []
    found = {row.allocation.account: (row.state.value, row.charged) for row in export.allocations()}
    assert found == {"ada": ("active", to_units("0.3")), "bob": ("active", 0)}
    assert list(export.allocations(since=quarter[0] + timedelta(days=90), account="ada")) == []
    for what, number in (("usage", 2), ("journal", 3), ("allocations", 2)):
        assert export.count(what, since=quarter[0], until=quarter[2]) == number  # type: ignore[arg-type]
    with pytest.raises(UnknownAccountError):
        list(export.usage(account="nobody"))
    with pytest.raises(ValueError, match="ends after it begins"):
        export.usage(since=quarter[1], until=quarter[0])


def test_both_forms_say_the_same_and_no_cell_is_a_formula(
    url: str, ledger: Ledger, quarter: list[datetime]
) -> None:
    def run(*arguments: str) -> str:
        result = CliRunner().invoke(main, ["export", *arguments], env={"HUBQUOTA_DATABASE_URL": url})
        assert (result.exit_code, result.stderr) == (0, "")
        return result.stdout

    bounds = ("--from", iso(quarter[0]) or "", "--until", iso(quarter[2]) or "")
    told = json.loads(run("usage", *bounds, "--format", "json"))
    assert [list(row) for row in told] == [list(USAGE)] * 2
    assert sum(row["units"] for row in told) == to_units("0.38")
    assert sum(Decimal(row["credits"]) for row in told) == Decimal("0.38")
    cells = list(csv.DictReader(io.StringIO(run("usage", *bounds))))
    assert [row["units"] for row in cells] == [str(row["units"]) for row in told]
    assert [row["label"] for row in cells] == ["Medium server", "'=1+1 server"]
    assert [row["label"] for row in told] == ["Medium server", "=1+1 server"]
    by = json.loads(run("usage", *bounds, "--by", "account", "--format", "json"))
    assert [(row["account"], row["leases"], row["credits"]) for row in by] == [
        ("ada", 1, "0.3"),
        ("bob", 1, "0.08"),
    ]
    lines = list(csv.DictReader(io.StringIO(run("journal", "--kind", "charge"))))
    assert [row["credits"] for row in lines] == [exact_credits(-to_units("0.3"))]
    assert run("journal", "--until", "2001-01-01") == ",".join(JOURNAL) + "\n"
    assert run("journal", "--until", "2001-01-01", "--format", "json") == "[]\n"
    assert len(json.loads(run("allocations", "--format", "json"))) == 2
    wrong = CliRunner().invoke(
        main, ["export", "usage", "--account", "nobody"], env={"HUBQUOTA_DATABASE_URL": url}
    )
    assert (wrong.exit_code, wrong.stdout) == (1, "")


def test_memory_does_not_grow_with_the_rows(ledger: Ledger, engine: Engine, clock: Clock) -> None:
    ledger.open_account("ada", "explorer", to_units(50), actor="first start")
    columns = "account_id, allocation_id, at, kind, amount, balance_after, allocation_after, actor, reason"
    line = {"at": int(clock.now.timestamp()), "reason": "x" * 500}
    with decision(engine) as connection:
        connection.execute(
            text(
                f"INSERT INTO entry ({columns}, idempotency_key) "
                "VALUES (1, 1, :at, 'correction', 1, 1, 1, 'test', :reason, :key)"
            ),
            [{**line, "key": f"correction:{number}"} for number in range(10_000)],
        )
    export = Export(engine, clock)
    assert sum(1 for _ in export.journal(until=clock.now)) == 0
    tracemalloc.start()
    try:
        rows = sum(1 for _ in export.journal())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert rows == 10_001
    # Ten thousand lines of half a kilobyte are more than five megabytes.
    assert peak < 3_000_000
    if engine.dialect.name == "postgresql":
        # What the client's library kept would not be counted above: the server keeps the rest.
        with reading(engine) as connection:
            result = stream(connection, journal_statement(Filter()))
            assert result.context._is_server_side
            assert result.first() is not None
