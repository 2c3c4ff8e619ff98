"""Whatever is asked of the ledger in whatever order, it adds up."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

from hubquota.models.ledger import Lease, LeaseStartedError, Refused
from hubquota.services.ledger import Ledger
from hubquota.storage.engine import make_engine
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from tests.quota.support import Clock

ACCOUNTS = ("ada", "bob")
BUDGET = 20_000


#: Which of the latest leases; how long since the last step; how long ago something is said to have been.
which = st.integers(0, 3)
passed = st.integers(0, 900)
back = st.none() | st.integers(-50, 900)


class LedgerMachine(RuleBasedStateMachine):
    """Does anything to a ledger, and keeps its own simple account of what that should come to."""

    new_url: Callable[[], str]
    #: How many charges there were, over all examples.
    charges = 0

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.engine = make_engine(self.new_url())
        self.ledger = Ledger(self.engine, self.clock)
        self.granted = dict.fromkeys(ACCOUNTS, BUDGET)
        self.leases: dict[int, Lease] = {}
        for name in ACCOUNTS:
            self.ledger.open_account(name, "explorer", BUDGET, actor="test")

    def teardown(self) -> None:
        self.everything_adds_up()
        self.engine.dispose()

    @rule(seconds=st.integers(-30, 900))
    def time_passes(self, seconds: int) -> None:
        self.clock.turn(seconds)

    @rule(
        account=st.sampled_from(ACCOUNTS),
        name=st.sampled_from("xyz"),
        rate=st.integers(0, 5),
        minimum=st.sampled_from([0, 60, 600]),
        limit=st.sampled_from([None, 1, 2]),
        settle=st.booleans(),
    )
    def admit(self, account: str, name: str, rate: int, minimum: int, limit: int | None, settle: bool) -> None:
        key = f"server:{account}/{name}"
        before = self.ledger.balance(account)
        holder = self.ledger.open_lease(key)
        try:
            lease = self.ledger.admit(
                account,
                kind="server",
                key=key,
                label="A server",
                rate=rate,
                minimum_seconds=minimum,
                limit=limit,
                settle_leftover=settle,
            )
        except Refused as refused:
            if refused.limit == "budget" and holder is None:
                assert rate * minimum > before.available
        else:
            assert holder is None or settle
            if rate and holder is None:
                assert rate * minimum <= before.available
            self.leases[lease.id] = lease

    @precondition(lambda self: self.leases)
    @rule(which=which, passed=passed, back=back)
    def begin(self, which: int, passed: int, back: int | None) -> None:
        self.clock.turn(passed)
        self.ledger.begin(self.some(which), at=self.ago(back))

    @precondition(lambda self: self.leases)
    @rule(which=which, passed=passed, back=back)
    def seen(self, which: int, passed: int, back: int | None) -> None:
        self.clock.turn(passed)
        self.ledger.seen([self.leases[self.some(which)].key], at=self.ago(back))

    @precondition(lambda self: self.leases)
    @rule(which=which, passed=passed, back=back)
    def close(self, which: int, passed: int, back: int | None) -> None:
        self.clock.turn(passed)
        closed = self.ledger.close(self.some(which), reason="Closed.", at=self.ago(back))
        type(self).charges += closed.charged > 0

    @precondition(lambda self: self.leases)
    @rule(which=which)
    def cancel(self, which: int) -> None:
        with suppress(LeaseStartedError):
            self.ledger.cancel(self.some(which), "Cancelled.")

    @rule(account=st.sampled_from(ACCOUNTS), units=st.integers(1, 500), key=st.integers(0, 30))
    def grant(self, account: str, units: int, key: int) -> None:
        name = f"{account}-{units}-{key}"
        before = self.ledger.balance(account).posted
        self.ledger.grant(account, units, actor="test", reason="x", key=name)
        self.granted[account] += self.ledger.balance(account).posted - before
        self.ledger.grant(account, units, actor="test", reason="x", key=name)

    def some(self, which: int) -> int:
        """Return an open lease, or the latest of all, open or not."""
        choice = [lease.id for lease in self.ledger.open_leases()] + [max(self.leases)]
        return choice[which % len(choice)]

    def ago(self, back: int | None) -> datetime | None:
        return None if back is None else self.clock.now - timedelta(seconds=back)

    @rule()
    def everything_adds_up(self) -> None:
        assert self.ledger.verify() == []
        now = self.clock.now
        for name in ACCOUNTS:
            statement = self.ledger.statement(name, limit=10_000)
            leases = [*statement.running, *statement.ended]
            charged = 0
            for lease in leases:
                ran = 0 if lease.is_open else lease.seconds(now)
                assert lease.charged == lease.rate * ran
                charged += lease.charged
            assert sum(entry.amount for entry in statement.entries) == statement.account.balance
            assert statement.account.balance == self.granted[name] - charged
            accrued = sum(lease.rate * lease.seconds(now) for lease in statement.running)
            held = sum(max(lease.set_aside, lease.rate * lease.seconds(now)) for lease in statement.running)
            assert statement.balance.accrued == accrued
            assert statement.balance.available == statement.account.balance - held
        keys = [lease.key for lease in self.ledger.open_leases()]
        assert len(keys) == len(set(keys))


def test_any_interleaving_adds_up(new_url: Callable[[], str]) -> None:
    machine = type("Machine", (LedgerMachine,), {"new_url": staticmethod(new_url)})
    examples = 60 if new_url().startswith("sqlite") else 10
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    # A run in which next to nothing was ever charged would have shown nothing.
    print("CHARGES", machine.charges); assert machine.charges > examples  # type: ignore[attr-defined]
