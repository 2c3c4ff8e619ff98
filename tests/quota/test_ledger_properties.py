"""Whatever is asked of the ledger in whatever order, it adds up; and a sweep changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random
from typing import Any

from hubquota.models.ledger import (
    Allocation,
    ConflictingKeyError,
    ImpossibleError,
    LeaseStartedError,
    Refused,
)
from hubquota.services.leaselocks import ABANDONED
from hubquota.services.ledger import Ledger
from hubquota.storage.engine import make_engine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.quota.support import Clock

ACCOUNTS = ("ada", "survey")
PEOPLE = ("ada", "bob")

#: Statements that were compiled for one example's databases serve those of the next.
_COMPILED: dict[Any, Any] = {}

Step = tuple[str, dict[str, Any]]

#: What an act may answer instead of doing anything.
ANSWERS = (Refused, ImpossibleError, ConflictingKeyError, LeaseStartedError, ValueError)


class Model:
    """Does the same things to several ledgers, and keeps its own simple account of what they come to.

    The first ledger is swept when the history says so; the others never are, before the end.
    """

    def __init__(self, *urls: str) -> None:
        self.clock = Clock()
        self.engines = [make_engine(url).execution_options(compiled_cache=_COMPILED) for url in urls]
        self.ledgers = [Ledger(engine, self.clock) for engine in self.engines]
        self.latest: int | None = None
        self.keys = 0
        self.done: Counter[str] = Counter()
        for ledger in self.ledgers:
            ledger.open_account("ada", "explorer", 4_000, actor="test", term_days=1)
            ledger.open_project("survey", "team", pi="ada", actor="test")
            ledger.set_member("survey", "bob", "member", actor="ada")
            ledger.grant("survey", 4_000, actor="test", reason="x", key="first")

    def every(self, name: str, act: Callable[[Ledger], Any]) -> Any:
        """Do something to every ledger. They have to answer the same."""
        answers: list[Any] = []
        for ledger in self.ledgers:
            try:
                answers.append(act(ledger))
            except ANSWERS as answer:
                answers.append((type(answer), str(answer)))
        assert all(answer == answers[0] for answer in answers[1:])
        refused = isinstance(answers[0], tuple) and isinstance(answers[0][0], type)
        self.done[f"{name}, refused" if refused else name] += 1
        return None if refused else answers[0]

    # Leases --------------------------------------------------------------------------------------------

    def admit(
        self, account: str, person: str, name: str, rate: int, minimum: int, limit: int | None, begin: bool
    ) -> None:
        """Admit; and see that it is exactly what the balance had room for."""
        ledger = self.ledgers[0]
        key = f"server:{person}/{name}"
        slice_end = self.clock.now + timedelta(seconds=minimum)
        # What starts before the slice is over pays for the rest of it.
        room = ledger.balance(account).available + sum(
            one.balance - one.held
            for one in ledger.allocations(account)
            if self.clock.now < one.start < slice_end and one.granted_at < one.start
        )
        free = ledger.open_lease(key) is None
        lease = self.every(
            "admit",
            lambda ledger: ledger.admit(
                account,
                person=person,
                kind="server",
                key=key,
                label="A server",
                rate=rate,
                minimum_seconds=minimum,
                limit=limit,
                settle_leftover=False,
            ),
        )
        if lease is None:
            return
        self.latest = lease.id
        assert lease.held == rate * minimum
        if free and rate:
            after = ledger.balance(account).available
            assert lease.held <= room
            assert 0 <= after <= room
        if begin:
            self.every("begin", lambda ledger: ledger.begin(lease.id))

    def begin(self, which: int, back: int | None) -> None:
        """Tell that something began."""
        for number in self.some_lease(which):
            self.every("begin", lambda ledger, number=number: ledger.begin(number, at=self.ago(back)))

    def seen(self, which: int, back: int | None) -> None:
        """Tell that some things run."""
        keys = [lease.key for lease in self.ledgers[0].open_leases()][which % 3 :]
        known = [key for key in keys if all(ledger.open_lease(key) for ledger in self.ledgers)]
        for ledger in self.ledgers:
            ledger.seen(known, at=self.ago(back))

    def extend(self, which: int, ahead: int) -> None:
        """Hold the next slice."""
        for number in self.some_lease(which):
            self.every("extend", lambda ledger, number=number: _bare(ledger.extend(number, ahead=ahead)))

    def set_rate(self, which: int, rate: int, back: int | None) -> None:
        """Scale."""
        for number in self.some_lease(which):
            self.every(
                "set_rate", lambda ledger, number=number: _bare(ledger.set_rate(number, rate, at=self.ago(back)))
            )

    def close(self, which: int, back: int | None) -> None:
        """Stop, or crash some time ago."""
        for number in self.some_lease(which):
            self.every(
                "close", lambda ledger, number=number: _bare(ledger.close(number, reason="x", at=self.ago(back)))
            )

    def cancel(self, which: int) -> None:
        """Give a start up."""
        for number in self.some_lease(which):
            self.every("cancel", lambda ledger, number=number: _bare(ledger.cancel(number, "x")))

    # Allocations ---------------------------------------------------------------------------------------

    def grant(self, account: str, units: int, start: int | None, length: int | None) -> None:
        """Grant, with dates."""
        begins = None if start is None else self.clock.now + timedelta(seconds=start)
        end = None if length is None else (begins or self.clock.now) + timedelta(seconds=length)
        self.act("grant", account, units, start=begins, end=end)

    def change(self, what: str, which: int, other: int, units: int, longer: int) -> None:
        """Do something to an allocation."""
        one, two = self.some_allocation(which), self.some_allocation(other)
        later = self.clock.now + timedelta(seconds=longer)
        arguments: dict[str, tuple[Any, ...]] = {
            "supplement": (one, units),
            "extend_term": (one, later),
            "transfer": (one, two, units),
            "suspend": (one,),
            "resume": (one,),
            "revoke": (one,),
        }
        self.act(what, *arguments[what])

    def correct(self, account: str, units: int) -> None:
        """Correct."""
        self.act("correct", account, units - 250)

    def act(self, name: str, *arguments: Any, **more: Any) -> None:
        """Do something that a key makes count once."""
        self.keys += 1
        for _ in range(2):
            self.every(
                name,
                lambda ledger: _plain(
                    getattr(ledger, name)(*arguments, actor="test", reason="x", key=str(self.keys), **more)
                ),
            )

    def sweep(self) -> None:
        """Sweep the first ledger only, and see that nobody would notice."""
        ledger = self.ledgers[0]
        before = [ledger.balance(name) for name in ACCOUNTS], [ledger.exhausts_at(name) for name in ACCOUNTS]
        for _ in range(2):
            self.done["released"] += ledger.sweep().released
        after = [ledger.balance(name) for name in ACCOUNTS], [ledger.exhausts_at(name) for name in ACCOUNTS]
        assert after == before

    # Checks --------------------------------------------------------------------------------------------

    def check(self) -> None:
        """See that everything adds up, in every ledger and between them."""
        now = self.clock.now
        for name in ACCOUNTS:
            balances = [ledger.balance(name) for ledger in self.ledgers]
            assert all(balance.available == balances[0].available for balance in balances)
        for ledger in self.ledgers:
            assert ledger.verify() == []
            for name in ACCOUNTS:
                self._check_account(ledger, name, now)
            keys = [lease.key for lease in ledger.open_leases()]
            assert len(keys) == len(set(keys))

    def _check_account(self, ledger: Ledger, name: str, now: datetime) -> None:
        statement = ledger.statement(name, limit=10_000)
        by_lease: Counter[int] = Counter()
        by_allocation: Counter[int] = Counter()
        for entry in statement.entries:
            by_allocation[entry.allocation_id] += entry.amount
            if entry.kind == "charge" and entry.lease_id is not None:
                by_lease[entry.lease_id] -= entry.amount
        for allocation in ledger.allocations(name, lapsed=True):
            assert allocation.balance == by_allocation[allocation.id]
            if allocation.lapsed_at is not None:
                assert (allocation.balance <= 0, allocation.held) == (True, 0)
        assert statement.account.balance == sum(by_allocation.values())
        for lease in (*statement.running, *statement.ended):
            segments = ledger.segments(lease.id)
            ran = [_seconds(one.start, one.end or lease.settled_at) for one in segments]
            cost = sum(one.rate * seconds for one, seconds in zip(segments, ran, strict=True))
            assert by_lease[lease.id] == lease.charged == cost
            if lease.ended_at is not None:
                assert lease.held == 0
                assert sum(ran) == lease.seconds(now)
        assert sum(line.amount for line in ledger.explain(name).lines) == statement.balance.available

    def finish(self) -> None:
        """End everything, sweep every ledger, and see that they are the same."""
        for lease in self.ledgers[0].open_leases():
            self.every("close", lambda ledger, lease=lease: _bare(ledger.close(lease.id, reason="x")))
        self.clock.turn(30 * 86_400)
        for ledger in self.ledgers:
            ledger.sweep()
        self.check()
        for name in ACCOUNTS:
            found = [
                {(one.id, one.balance, one.end, one.held) for one in ledger.allocations(name, lapsed=True)}
                for ledger in self.ledgers
            ]
            assert all(one == found[0] for one in found)
            ended = [
                {(one.id, one.charged, one.ended_at) for one in ledger.statement(name, limit=10_000).ended}
                for ledger in self.ledgers
            ]
            assert all(one == ended[0] for one in ended)

        for name in ACCOUNTS:
            statement = self.ledgers[0].statement(name, limit=10_000)
            paid = {(entry.lease_id, entry.allocation_id) for entry in statement.entries if entry.kind == "charge"}
            self.done["split"] += len(paid) - len({lease for lease, _ in paid})
            self.done["abandoned"] += sum(lease.reason == ABANDONED for lease in statement.ended)
            self.done["lapsed"] += sum(entry.kind == "expiry" for entry in statement.entries)

    def dispose(self) -> None:
        """Let go of the databases."""
        for engine in self.engines:
            engine.dispose()

    def some_lease(self, which: int) -> list[int]:
        """Return an open lease, or the latest of all, open or not, if there is any."""
        choice = [lease.id for lease in self.ledgers[0].open_leases()]
        choice += [self.latest] if self.latest is not None else []
        return [choice[which % len(choice)]] if choice else []

    def some_allocation(self, which: int) -> int:
        """Return an allocation, whatever its state."""
        choice = [one.id for name in ACCOUNTS for one in self.ledgers[0].allocations(name, lapsed=True)]
        return choice[which % len(choice)]

    def ago(self, back: int | None) -> datetime | None:
        """Return so many seconds ago."""
        return None if back is None else self.clock.now - timedelta(seconds=back)


def _seconds(start: datetime, end: datetime | None) -> int:
    return 0 if end is None else int((end - start).total_seconds())


def _bare(answer: Any) -> Any:
    """Leave out of a lease what only a sweep tells apart."""
    lease = getattr(answer, "lease", answer)
    return lease.id, lease.charged, lease.started_at, lease.settled_at, lease.ended_at, lease.rate


def _plain(answer: Any) -> Any:
    """Leave out of an allocation what only a sweep tells apart."""
    found = answer if isinstance(answer, tuple) else (answer,)
    return [(one.id, one.tier, one.end, one.suspended_at) for one in found if isinstance(one, Allocation)]


def history(seed: int) -> list[tuple[int, Step]]:
    """Return steps, each after some time: mostly minutes, sometimes hours.

    By weights of our own: what hypothesis would draw by itself is mostly steps that answer with no.
    """
    dice = Random(seed)
    steps: list[tuple[int, Step]] = []
    for _ in range(dice.randint(5, 60)):
        passed = dice.choice([dice.randint(0, 60), dice.randint(0, 600), dice.randint(0, 900), 0])
        if dice.random() < 0.08:
            passed = dice.randint(3600, 9000)
        steps.append((passed, _step(dice)))
    return steps


def _step(dice: Random) -> Step:
    which, account = dice.randint(0, 9), dice.choice(ACCOUNTS)
    # Never, at times in the future.
    back = dice.choice([None, None, dice.randint(-50, 900)])
    rate = dice.choice([0, 1, 2, 5, 9])
    found: dict[str, tuple[int, dict[str, Any]]] = {
        "admit": (
            9,
            {
                "account": account,
                "person": dice.choice(PEOPLE) if account == "survey" or dice.random() < 0.1 else "ada",
                "name": dice.choice("xyz"),
                "rate": rate,
                "minimum": dice.choice([600, 60, 60, 0]),
                "limit": dice.choice([None, None, None, 2, 1]),
                "begin": dice.random() < 0.7,
            },
        ),
        "begin": (3, {"which": which, "back": back}),
        "seen": (5, {"which": which, "back": back}),
        "extend": (5, {"which": which, "ahead": dice.randint(0, 2000)}),
        "set_rate": (3, {"which": which, "rate": rate, "back": back}),
        "close": (5, {"which": which, "back": back}),
        "cancel": (1, {"which": which}),
        "grant": (
            4,
            {
                "account": account,
                "units": dice.randint(1, 3000),
                "start": dice.choice([None, None, dice.randint(-100, 900)]),
                "length": dice.choice([None, dice.randint(-10, 4000), dice.randint(0, 20_000)]),
            },
        ),
        "change": (
            6,
            {
                "what": dice.choice(
                    ["supplement", "extend_term", "transfer", "transfer", "suspend", "resume", "revoke"]
                ),
                "which": which,
                "other": dice.randint(0, 9),
                "units": dice.randint(0, 600),
                "longer": dice.choice([dice.randint(-100, 4000), dice.randint(0, 100_000)]),
            },
        ),
        "correct": (1, {"account": account, "units": dice.randint(0, 500)}),
        "sweep": (4, {}),
        "check": (1, {}),
    }
    (name,) = dice.choices(list(found), [weight for weight, _ in found.values()])
    return name, found[name][1]


histories = st.integers(0, 2**32).map(history)


def run(new_url: Callable[[], str], ledgers: int, examples: int) -> Counter[str]:
    done: Counter[str] = Counter()

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(histories)
    def tell(history: list[tuple[int, Step]]) -> None:
        model = Model(*(new_url() for _ in range(ledgers)))
        try:
            for seconds, (name, arguments) in history:
                model.clock.turn(seconds)
                getattr(model, name)(**arguments)
            model.finish()
        finally:
            model.dispose()
        done.update(model.done)

    tell()
    return done


def test_any_interleaving_adds_up_swept_or_not(new_url: Callable[[], str]) -> None:
    # Two ledgers side by side on SQLite; of PostgreSQL there is one database, emptied for every example.
    sqlite = new_url().startswith("sqlite")
    done = run(new_url, ledgers=2 if sqlite else 1, examples=36 if sqlite else 10)
    # A run in which next to nothing happened would have shown nothing.
    needed = ["admit", "begin", "close", "extend", "set_rate", "grant", "lapsed"]
    if sqlite:
        needed += ["transfer", "revoke", "suspend", "supplement", "split", "abandoned"]
    assert [name for name in needed if not done[name]] == []
    assert done["close"] > 20
