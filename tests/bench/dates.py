"""What dates alone bring about: the sweep after a term's end, and a year of many accounts, on SQLite.

Both run in this process, and are compared with as many bare transactions of `sqlite3`, each of which updates one
balance and inserts one line.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from hubquota.models.admissions import Admission
from hubquota.models.ledger import Lease
from hubquota.services.granting import Grant
from hubquota.services.leases import Closing
from hubquota.services.ledger import Ledger
from hubquota.services.opening import FirstAllocation
from hubquota.services.terms import Terms
from hubquota.services.tiersfile import load_tiers
from hubquota.storage.engine import make_engine
from hubquota.storage.migrate import migrate

from tests.bench import history
from tests.bench.admission import bare
from tests.bench.rows import ROOT, Row

#: How many allocations are due in one sweep, and how many seconds of CPU it may take.
DUE, SWEEP_GOAL = 100_000, 60.0

#: How many accounts live a year, and how many terms with a session each they have in it; and how many of them do
#: a thing at one moment, and share a transaction.
ACCOUNTS, TERMS, CROWD = 10_000, 4, 100

RATE, SESSION, BUDGET = 40_000, 1_200, 10**9

TIERS = ROOT / "hub_config" / "tiers.yaml"

_BARE = "one bare sqlite3 transaction for each"


def sweep() -> list[Row]:
    """Sweep a hundred thousand allocations that ended on one day and renew themselves, and sweep once more."""
    with tempfile.TemporaryDirectory(prefix="romanhub-bench-", dir="/var/tmp") as name:
        tiers = load_tiers(TIERS)
        rule = tiers.tiers["explorer"].renews_itself
        assert rule is not None
        # All of them were used in the days that count.
        end = history.BEGAN + (rule.active_within_days - 1) * 86_400
        engine = make_engine(history.make(Path(name) / "ledger.sqlite", accounts=DUE, entries=DUE, end=end))
        clock = partial(datetime.fromtimestamp, end + 3600, UTC)
        ledger, terms = Ledger(engine, clock, lambda: tiers), Terms(engine, lambda: tiers, clock)

        def swept(expected: int) -> None:
            done, ends = ledger.sweep(), terms.sweep()
            assert (done.lapsed, done.renewed, ends.ended) == (expected,) * 3, (done, ends)

        first, again = _cpu(lambda: swept(DUE)), _cpu(lambda: swept(0))
        engine.dispose()
        transact = bare(Path(name) / "bare.sqlite")
        least = _cpu(lambda: [transact() for _ in range(DUE)])
    title = f"sweep: {DUE:,} allocations that ended"
    return [
        Row(name=title, value=first, versus=SWEEP_GOAL, unit="s of CPU", against="the goal", goal="<= 1", runs=1),
        Row(name=f"{title}, beside the least", value=first, versus=least, unit="s of CPU", against=_BARE, runs=1),
        Row(name="sweep: the next one", value=again, versus=first, unit="s of CPU", against="the first", runs=1),
    ]


def year() -> list[Row]:
    """Every quarter each account is granted a term, runs a session, and loses what is left."""
    with tempfile.TemporaryDirectory(prefix="romanhub-bench-", dir="/var/tmp") as name:
        engine = make_engine(f"sqlite:///{Path(name) / 'ledger.sqlite'}")
        migrate(engine)
        now = [datetime(2026, 1, 1, tzinfo=UTC)]
        ledger = Ledger(engine, clock=lambda: now[0])
        took = _cpu(lambda: _live(ledger, now))
        wrong = ledger.verify()
        assert not wrong, wrong
        engine.dispose()
        transact, number = bare(Path(name) / "bare.sqlite"), ACCOUNTS * (1 + 4 * TERMS)
        least = _cpu(lambda: [transact() for _ in range(number)])
    return [
        Row(
            name=f"year: {ACCOUNTS:,} accounts, {number:,} decisions",
            value=took,
            versus=least,
            unit="s of CPU",
            against=_BARE,
            runs=1,
        )
    ]


def _live(ledger: Ledger, now: list[datetime]) -> None:
    began = now[0]
    names = [f"user-{index:05}" for index in range(ACCOUNTS)]
    crowds = [names[first : first + CROWD] for first in range(0, ACCOUNTS, CROWD)]
    for crowd in crowds:
        nothing = FirstAllocation(tier="explorer", units=0)
        ledger.open_accounts(dict.fromkeys(crowd, nothing), actor="benchmark")
    for term in range(TERMS):
        now[0] = began + timedelta(days=91 * term)
        end = now[0] + timedelta(days=90)
        for crowd in crowds:
            grants = [Grant(name, BUDGET, "A term.", f"{name}-{term}", end=end) for name in crowd]
            ledger.grant_many(grants, actor="benchmark")
        leases: list[list[int]] = []
        for crowd in crowds:
            wanted = [
                Admission(account=name, kind="server", key=f"server:{name}/", label="Small server", rate=RATE)
                for name in crowd
            ]
            leases.append([one.id for one in ledger.admit_many(wanted) if isinstance(one, Lease)])
        for numbers in leases:
            ledger.begin_many(dict.fromkeys(numbers))
        now[0] += timedelta(seconds=SESSION)
        for numbers in leases:
            ledger.close_many([Closing(number, "The server was stopped.") for number in numbers])
        now[0] = end
        assert ledger.sweep().lapsed == ACCOUNTS


def _cpu(act: Callable[[], object]) -> float:
    started = time.process_time()
    act()
    return time.process_time() - started
