"""However late, doubled or at once the sweeps come, terms end and renew as by a daily sweep that is never late."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any

from hubquota.models.ledger import Refused
from hubquota.models.tiers import RenewsItself, Tiers
from hubquota.services.ledger import Ledger
from hubquota.services.terms import Terms
from hubquota.storage.engine import make_engine, reading
from hubquota.storage.tables import account, allocation, entry, notice
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import and_, func, or_, select

from tests.quota.support import Clock

#: Statements that were compiled for one example's database serve those of the next.
_COMPILED: dict[Any, Any] = {}

#: What was made to follow another, and was ended with it before it began, has paid for nothing.
_BEGAN = or_(allocation.c.end_at.is_(None), allocation.c.end_at > allocation.c.start_at)

DAYS = 32
TERM, ACTIVE, EXPIRING, GRACE = 10, 6, 3, 4
PEOPLE = ("ada", "bob")


@dataclass(frozen=True)
class Use:
    """Somebody runs something for a while."""

    account: str
    minutes: int


@dataclass(frozen=True)
class Extend:
    """An administrator moves the end of an account's newest allocation by some days."""

    account: str
    days: int


@dataclass(frozen=True)
class Grant:
    """An administrator grants somebody another allocation for some days, or moves them to one and nothing else."""

    account: str
    days: int
    alone: bool


@dataclass(frozen=True)
class Sweep:
    """What of the sweeps comes by, and by how many at once."""

    ledger: bool
    terms: bool
    at_once: int


Step = Use | Extend | Grant | Sweep


class World:
    """One ledger with its clock, in which things happen at set hours."""

    def __init__(self, url: str, tiers: Tiers) -> None:
        self.clock = Clock()
        self.began = self.clock.now
        self.engine = make_engine(url).execution_options(compiled_cache=_COMPILED)
        self.ledger = Ledger(self.engine, self.clock, lambda: tiers)
        self.terms = Terms(self.engine, lambda: tiers, self.clock)
        for name in PEOPLE:
            self.ledger.open_account(name, "explorer", 10**9, actor="test", term_days=TERM)
        self.ledger.open_project("survey", "team", pi="ada", actor="test")
        end = self.began + timedelta(days=TERM + 3)
        self.ledger.grant("survey", 10**9, actor="test", reason="x", key="first", end=end, renewable=True)

    def sweep(self, what: Sweep) -> None:
        def once(_: int) -> None:
            if what.ledger:
                self.ledger.sweep()
            if what.terms:
                self.terms.sweep()

        if what.at_once == 1:
            once(0)
            return
        with ThreadPoolExecutor(what.at_once) as threads:
            list(threads.map(once, range(what.at_once)))

    def sweep_all(self) -> None:
        self.sweep(Sweep(ledger=True, terms=True, at_once=1))

    def do(self, hour: int, step: Step) -> str:
        """Let something happen; return what came of it."""
        self.clock.now = max(self.clock.now, self.began + timedelta(hours=hour))
        if isinstance(step, Sweep):
            self.sweep(step)
            return ""
        if isinstance(step, Extend):
            # What people do follows on what they see, and that is what a sweep has written down.
            self.sweep_all()
            running = self.ledger.allocations(step.account)
            ends = [one for one in running if one.end is not None and one.end > self.clock.now]
            if not ends:
                return "nothing to extend"
            last = ends[-1]
            assert last.end is not None
            later = last.end + timedelta(days=step.days)
            self.ledger.extend_term(last.id, later, actor="root", reason="x", key=f"{step.account}-{hour}")
            return f"extended to {later}"
        if isinstance(step, Grant):
            key = f"{step.account}-{hour}"
            if step.alone:
                self.ledger.change_tier(
                    step.account,
                    "explorer",
                    10**8,
                    actor="root",
                    reason="x",
                    key=key,
                    term_days=step.days,
                    renewable=True,
                )
            else:
                self.ledger.grant(
                    step.account, 10**8, actor="root", reason="x", key=key, term_days=step.days, renewable=True
                )
            return "granted"
        return self.use(step)

    def use(self, step: Use) -> str:
        try:
            lease = self.ledger.admit(
                step.account,
                person="ada" if step.account == "survey" else step.account,
                kind="server",
                key=f"server:{step.account}",
                label="x",
                rate=1,
                settle_leftover=True,
            )
        except Refused:
            return "refused"
        self.ledger.begin(lease.id)
        self.clock.turn(60 * step.minutes)
        self.ledger.close(lease.id, reason="x")
        return "used"

    def finish(self) -> None:
        self.clock.now = self.began + timedelta(days=DAYS + 3 * TERM)
        before: Any = None
        while before != (before := (self.allocations(), self.notices())):
            self.sweep_all()

    def allocations(self) -> Counter[tuple[Any, ...]]:
        """Return what allocations there are, without what tells one world from another."""
        statement = select(
            account.c.name,
            allocation.c.tier,
            allocation.c.start_at,
            allocation.c.end_at,
            allocation.c.renewable,
            allocation.c.lapsed_at.is_not(None),
        ).join_from(account, allocation, and_(account.c.id == allocation.c.account_id, _BEGAN))
        with reading(self.engine) as connection:
            return Counter(tuple(row) for row in connection.execute(statement))

    def journal(self) -> Counter[tuple[Any, ...]]:
        """Return what each allocation was granted, what it paid, and what of it lapsed."""
        statement = (
            select(account.c.name, allocation.c.start_at, entry.c.kind, func.sum(entry.c.amount))
            .join_from(account, allocation, and_(account.c.id == allocation.c.account_id, _BEGAN))
            .join(entry, entry.c.allocation_id == allocation.c.id)
            .group_by(account.c.name, allocation.c.start_at, entry.c.kind)
        )
        with reading(self.engine) as connection:
            return Counter(tuple(row) for row in connection.execute(statement))

    def notices(self) -> Counter[tuple[Any, ...]]:
        """Return what people were told, with allocations named by account and start instead of a number."""
        with reading(self.engine) as connection:
            rows = connection.execute(
                select(allocation.c.id, account.c.name, allocation.c.start_at).join_from(
                    account, allocation, account.c.id == allocation.c.account_id
                )
            )
            names = {str(row.id): (row.name, row.start_at) for row in rows}
            told = connection.execute(select(notice.c.person, notice.c.kind, notice.c.key, notice.c.subject))
            found: Counter[tuple[Any, ...]] = Counter()
            for row in told:
                _, number, *end = row.key.split(":")
                found[row.person, row.kind, names.get(number, number), *end, row.subject] += 1
            return found


def short(tiers: Tiers) -> Tiers:
    """Return tiers whose terms are over soon."""
    made = dict(tiers.tiers)
    times = {"term_days": TERM, "expiring_days": EXPIRING, "grace_days": GRACE}
    made["explorer"] = made["explorer"].model_copy(
        update={**times, "renews_itself": RenewsItself(active_within_days=ACTIVE)}
    )
    made["team"] = made["team"].model_copy(update=times)
    return tiers.model_copy(update={"tiers": made})


def history(seed: int) -> tuple[dict[int, Step], dict[int, Step]]:
    """Return what happens, and when sweeps come by, each by the hour."""
    dice = Random(seed)
    acts: dict[int, Step] = {}
    for hour in dice.sample(range(1, 24 * DAYS), dice.randint(1, 25)):
        who = dice.choice([*PEOPLE, "survey"])
        # Some of it runs for days, and over an end.
        minutes = dice.randint(1, 9) if dice.random() < 0.7 else dice.randint(60, 60 * 48)
        act = dice.random()
        if act < 0.15:
            acts[hour] = Extend(who, dice.randint(1, 8))
        elif act < 0.3 and who != "survey":
            acts[hour] = Grant(who, dice.randint(1, 15), alone=dice.random() < 0.4)
        else:
            acts[hour] = Use(who, minutes)
    sweeps: dict[int, Step] = {}
    for hour in dice.sample(range(1, 24 * DAYS), dice.randint(0, dice.choice([3, 10, 40]))):
        sweeps[hour] = Sweep(dice.random() < 0.7, dice.random() < 0.7, dice.choice([1, 1, 1, 2, 3]))
    return acts, sweeps


def run(new_url: Callable[[], str], tiers: Tiers, examples: int) -> Counter[str]:
    """Compare worlds; return what people were told in all of them."""
    done: Counter[str] = Counter()

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 2**32).map(history))
    def compare(history: tuple[dict[int, Step], dict[int, Step]]) -> None:
        acts, sweeps = history
        daily: dict[int, Step] = {24 * day: Sweep(True, True, 1) for day in range(1, DAYS)}
        ideal, other = tell(new_url(), tiers, acts, daily), tell(new_url(), tiers, acts, sweeps)
        assert other[:3] == ideal[:3]
        # What is granted or ended between an end and the sweep that tells of it changes what there is to tell.
        if not any(isinstance(act, Grant) for act in acts.values()):
            assert other[3] == ideal[3]
        done.update(kind for _, kind, *_ in other[3])

    compare()
    return done


def tell(url: str, tiers: Tiers, acts: dict[int, Step], sweeps: dict[int, Step]) -> tuple[Any, ...]:
    """Return what came of acts, and what there is at the end."""
    world = World(url, tiers)
    try:
        came_of: list[str] = []
        for hour in sorted({*acts, *sweeps}):
            if hour in sweeps:
                world.do(hour, sweeps[hour])
            if hour in acts:
                came_of.append(world.do(hour, acts[hour]))
        world.finish()
        assert world.ledger.verify() == []
        notices = world.notices()
        assert all(count == 1 for count in notices.values())
        return came_of, world.allocations(), world.journal(), notices
    finally:
        world.engine.dispose()


def test_sweeps_at_any_times_come_to_what_a_daily_one_comes_to(new_url: Callable[[], str], tiers: Tiers) -> None:
    done = run(new_url, short(tiers), examples=12 if new_url().startswith("sqlite") else 2)
    # A run in which next to nothing happened would have shown nothing.
    needed = {"renewed", "expiring", "expired"}
    assert {f"allocation-{what}" for what in needed} | {"grace-begun", "grace-over"} <= set(done)


def test_the_property_is_about_something(new_url: Callable[[], str], tiers: Tiers) -> None:
    world = World(new_url(), short(tiers))
    for day in range(1, DAYS):
        world.do(24 * day, Sweep(ledger=True, terms=True, at_once=2))
        if day < 20:
            world.do(24 * day + 1, Use("ada", 5))
    world.finish()
    kinds = Counter(kind for _, kind, *_ in world.notices().elements())
    assert kinds == {
        "member-added": 1,
        "allocation-granted": 1,
        "allocation-renewed": 2,
        "allocation-expiring": 3,
        "allocation-expired": 3,
        "grace-begun": 3,
        "grace-over": 3,
    }
    # Each term of hers begins where the one before ends.
    mine = sorted((start, end) for name, _, start, end, *_ in world.allocations() if name == "ada")
    assert [start for start, _ in mine[1:]] == [end for _, end in mine[:-1]]
    assert len(mine) == 3
    world.engine.dispose()
