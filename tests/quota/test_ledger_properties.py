"""Whatever is asked of the ledger in whatever order, it adds up."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from hubquota.models.ledger import LeaseStartedError, Refused
from hubquota.services.ledger import Ledger
from hubquota.storage.engine import make_engine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.quota.support import Clock

ACCOUNTS = ("ada", "bob")
BUDGET = 20_000

Step = tuple[str, dict[str, Any]]


class Model:
    """Does things to a ledger, and keeps its own simple account of what they should come to."""

    def __init__(self, url: str) -> None:
        self.clock = Clock()
        self.engine = make_engine(url)
        self.ledger = Ledger(self.engine, self.clock)
        self.granted = dict.fromkeys(ACCOUNTS, BUDGET)
        self.latest: int | None = None
        self.charges = 0
        for name in ACCOUNTS:
            self.ledger.open_account(name, "explorer", BUDGET, actor="test")

    def admit(
        self, account: str, name: str, rate: int, minimum: int, limit: int | None, settle: bool, begin: bool
    ) -> None:
        key = f"server:{account}/{name}"
        before = self.ledger.balance(account)
        running = self.ledger.open_leases("server", account)
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
            return
        assert holder is None or settle
        # What was admitted could be paid, a leftover's charge included.
        assert rate == 0 or self.ledger.balance(account).available >= 0
        if holder is None:
            assert limit is None or len(running) < limit
        self.latest = lease.id
        if begin:
            self.ledger.begin(lease.id)

    def begin(self, which: int, back: int | None) -> None:
        for lease_id in self.some(which):
            self.ledger.begin(lease_id, at=self.ago(back))

    def seen(self, which: int, back: int | None) -> None:
        keys = [lease.key for lease in self.ledger.open_leases()]
        self.ledger.seen(keys[which % 3 :], at=self.ago(back))

    def close(self, which: int, back: int | None) -> None:
        for lease_id in self.some(which):
            closed = self.ledger.close(lease_id, reason="Closed.", at=self.ago(back))
            self.charges += closed.charged > 0

    def cancel(self, which: int) -> None:
        for lease_id in self.some(which):
            with suppress(LeaseStartedError):
                self.ledger.cancel(lease_id, "Cancelled.")

    def grant(self, account: str, units: int, key: int) -> None:
        before = self.ledger.balance(account).posted
        for _ in range(2):
            self.ledger.grant(account, units, actor="test", reason="x", key=f"{account}-{units}-{key}")
        added = self.ledger.balance(account).posted - before
        assert added in (0, units)
        self.granted[account] += added

    def some(self, which: int) -> list[int]:
        """Return an open lease, or the latest of all, open or not, if there is any."""
        choice = [lease.id for lease in self.ledger.open_leases()]
        choice += [self.latest] if self.latest is not None else []
        return [choice[which % len(choice)]] if choice else []

    def ago(self, back: int | None) -> datetime | None:
        return None if back is None else self.clock.now - timedelta(seconds=back)

    def check(self) -> None:
        assert self.ledger.verify() == []
        now = self.clock.now
        for name in ACCOUNTS:
            statement = self.ledger.statement(name, limit=10_000)
            charged = 0
            for lease in (*statement.running, *statement.ended):
                ran = 0 if lease.is_open else lease.seconds(now)
                assert lease.charged == lease.rate * ran
                charged += lease.charged
            assert sum(entry.amount for entry in statement.entries) == statement.account.balance
            assert statement.account.balance == self.granted[name] - charged
            accrued = [lease.rate * lease.seconds(now) for lease in statement.running]
            held = [max(so_far, lease.set_aside) for so_far, lease in zip(accrued, statement.running, strict=True)]
            assert statement.balance.accrued == sum(accrued)
            assert statement.balance.available == statement.account.balance - sum(held)
        keys = [lease.key for lease in self.ledger.open_leases()]
        assert len(keys) == len(set(keys))


accounts = st.sampled_from(ACCOUNTS)
#: Which of the leases there are, and how long ago something is said to have been: never, at times in the future.
which = st.integers(0, 5)
back = st.none() | st.integers(-50, 300)


def step(act: str, /, **arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Step]:
    return st.tuples(st.just(act), st.fixed_dictionaries(arguments))


admission = step(
    "admit",
    account=accounts,
    name=st.sampled_from("xyz"),
    rate=st.sampled_from([1, 2, 5, 9, 0]),
    minimum=st.sampled_from([600, 60, 0]),
    limit=st.sampled_from([None, 1, 2]),
    settle=st.booleans(),
    begin=st.sampled_from([True, True, False]),
)
steps = st.one_of(
    admission,
    admission,
    step("begin", which=which, back=back),
    step("seen", which=which, back=back),
    step("close", which=which, back=back),
    step("close", which=which, back=st.none()),
    step("cancel", which=which),
    step("grant", account=accounts, units=st.integers(1, 500), key=st.integers(0, 3)),
    step("check"),
)
#: Before each step some time passes; now and then somebody sets the clock back.
histories = st.lists(st.tuples(st.integers(-60, 900), steps), min_size=20, max_size=40)


def test_any_interleaving_adds_up(new_url: Callable[[], str]) -> None:
    examples = 40 if new_url().startswith("sqlite") else 10
    charges = 0

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(histories)
    def run(history: list[tuple[int, Step]]) -> None:
        nonlocal charges
        model = Model(new_url())
        try:
            for seconds, (name, arguments) in history:
                model.clock.turn(seconds)
                getattr(model, name)(**arguments)
            model.check()
        finally:
            model.engine.dispose()
        charges += model.charges

    run()
    # A run in which next to nothing was ever charged would have shown nothing.
    assert charges > examples
