"""Many admissions in one transaction: the same answers and balances as one after the other, all or nothing."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hubquota.models.admissions import Admission
from hubquota.models.kinds import SERVER, WORKER
from hubquota.models.ledger import Lease, Refused, UnknownAccountError
from hubquota.services.ledger import Ledger
from hubquota.storage import holds
from hubquota.storage.engine import make_engine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import OperationalError

from tests.quota.support import Clock

NAMES = ("ada", "bob", "survey", "lens")
PEOPLE = ("ada", "bob", "eve")


def worker(number: int, **more: Any) -> Admission:
    """A worker of Ada's on her project, of two units a second."""
    wanted: dict[str, Any] = {"account": "survey", "person": "ada", "minimum_seconds": 60}
    return Admission(kind=WORKER, key=f"worker:{number}", label="A worker", rate=2, **(wanted | more))


def prepare(ledger: Ledger) -> None:
    """Two people, and two projects that share them; Ada has a cap on one of them."""
    clock_free = {"actor": "test", "reason": "x"}
    for name in ("ada", "bob"):
        ledger.open_account(name, "explorer", 2_000, actor="test", term_days=1)
        ledger.grant(name, 900, key=f"more for {name}", **clock_free)
    for project in ("survey", "lens"):
        ledger.open_project(project, "team", pi="ada", actor="test")
        ledger.set_member(project, "bob", "member", actor="ada")
        ledger.grant(project, 3_000, key=project, **clock_free)
    ledger.set_cap("survey", "ada", credits=500, workers=2, actor="bob", reason="x")


def batch(dice: Random) -> list[Admission]:
    """Return a few admissions, with the keys, people and accounts of few, so that they meet."""
    found: list[Admission] = []
    for _ in range(dice.randint(1, 8)):
        kind, person = dice.choice([SERVER, SERVER, WORKER]), dice.choice(PEOPLE)
        account = dice.choice([person if person != "eve" else "ada", *NAMES])
        found.append(
            Admission(
                account=account,
                person=dice.choice([person, person, person, None]),
                kind=kind,
                key=f"{kind}:{dice.choice([person, 'ada'])}/{dice.randint(0, 3)}",
                label="Something",
                rate=dice.choice([0, 1, 2, 5]),
                minimum_seconds=dice.choice([0, 60, 60, 600]),
                limit=dice.choice([None, None, 2, 4]),
                limit_each=dice.choice([None, None, 1, 3]),
                ask=dice.choice(["", "Ask Eve."]),
                settle_leftover=dice.random() < 0.4,
            )
        )
    return found


def one_by_one(ledger: Ledger, wanted: list[Admission]) -> list[Lease | Refused]:
    """Return the answers to admissions that are asked for one after the other."""
    answers: list[Lease | Refused] = []
    for one in wanted:
        fields = {name: getattr(one, name) for name in Admission.__dataclass_fields__}
        try:
            answers.append(ledger.admit(fields.pop("account"), **fields))
        except Refused as refused:
            answers.append(refused)
    return answers


def plain(answer: Lease | Refused) -> tuple[Any, ...]:
    """Leave out of an answer the number, which is the database's own."""
    if isinstance(answer, Refused):
        return "refused", answer.limit, answer.message
    return answer.key, answer.account, answer.person, answer.rate, answer.held, answer.admitted_at


def state(ledger: Ledger) -> list[Any]:
    """Return all that people would see."""
    return [
        *(ledger.balance(name) for name in NAMES),
        *([(one.balance, one.held) for one in ledger.allocations(name)] for name in NAMES),
        *(
            [plain(one) for one in sorted(ledger.statement(name).running, key=lambda one: one.key)]
            for name in NAMES
        ),
        *(Counter((one.key, one.charged, one.reason) for one in ledger.statement(name).ended) for name in NAMES),
        ledger.member_use("survey"),
    ]


def test_a_batch_answers_and_leaves_what_its_admissions_would_one_after_the_other(
    new_url: Callable[[], str], sqlite_template: Path
) -> None:
    seen: Counter[str] = Counter()

    @settings(
        max_examples=24 if new_url().startswith("sqlite") else 8,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, 2**32).map(Random))
    def tell(dice: Random) -> None:
        clock = Clock()
        with tempfile.TemporaryDirectory() as folder:
            copy = shutil.copy(sqlite_template, Path(folder) / "ledger.sqlite")
            engines = [make_engine(new_url()), make_engine(f"sqlite:///{copy}")]
            together, apart = (Ledger(engine, clock) for engine in engines)
            for ledger in (together, apart):
                prepare(ledger)
            for _ in range(dice.randint(1, 8)):
                clock.turn(dice.choice([0, 30, 400, 4000]))
                wanted = batch(dice)
                mine, theirs = together.admit_many(wanted), one_by_one(apart, wanted)
                assert [plain(one) for one in mine] == [plain(one) for one in theirs]
                seen.update(one.limit if isinstance(one, Refused) else "admitted" for one in mine)
                _go_on(dice, clock, together, apart)
                assert state(together) == state(apart)
            assert together.verify() == apart.verify() == []
            seen["leftover"] += sum(one.end_kind == "lost" for one in together.statement("ada").ended)
            for engine in engines:
                engine.dispose()

    tell()
    # What never came up has not been shown.
    assert [what for what in ("admitted", "account", "budget", "count", "cap", "leftover") if not seen[what]] == []


def _go_on(dice: Random, clock: Clock, *ledgers: Ledger) -> None:
    """Begin, see and end some of what is open, the same in each ledger."""
    keys = sorted(one.key for one in ledgers[0].open_leases())
    began, ended = ([key for key in keys if dice.random() < chance] for chance in (0.6, 0.3))
    seen = clock.now
    passed = dice.choice([0, 100, 700])
    for key in began:
        for ledger in ledgers:
            if (lease := ledger.open_lease(key)) is not None:
                ledger.begin(lease.id)
    clock.turn(passed)
    for ledger in ledgers:
        ledger.seen(keys, at=seen)
        for key in ended:
            if (lease := ledger.open_lease(key)) is not None:
                ledger.close(lease.id, reason="x")


def test_as_many_are_admitted_as_there_is_room_for_and_the_first_refusal_says_why(ledger: Ledger) -> None:
    prepare(ledger)
    ledger.set_cap("survey", "ada", actor="bob", reason="x")
    admitted, refused = ledger.admit_up_to([worker(number, limit=3) for number in range(6)])
    assert [lease.key for lease in admitted] == ["worker:0", "worker:1", "worker:2"]
    assert refused is not None
    assert (refused.limit, "the limit is 3" in refused.message) == ("count", True)
    # What comes after the first refusal is not asked for, even where there would be room for it.
    admitted, refused = ledger.admit_up_to([worker(6, minimum_seconds=10_000), worker(7)])
    assert (admitted, refused and refused.limit) == ([], "budget")
    assert ledger.admit_up_to([]) == ([], None)
    assert len(ledger.open_leases()) == 3
    assert ledger.verify() == []


def test_a_refusal_undoes_nothing_and_an_account_that_is_not_there_is_said_before_anything(ledger: Ledger) -> None:
    prepare(ledger)
    answers = ledger.admit_many([worker(1), worker(2, account="bob"), worker(3)])
    assert [isinstance(one, Lease) for one in answers] == [True, False, True]
    with pytest.raises(UnknownAccountError, match="'nobody'"):
        ledger.admit_many([worker(4), worker(5, account="nobody")])
    assert {lease.key for lease in ledger.open_leases()} == {"worker:1", "worker:3"}
    assert ledger.admit_many([]) == []
    with pytest.raises(ValueError, match="below zero"):
        worker(6, minimum_seconds=-1)


def test_a_failure_of_the_database_undoes_all(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(ledger)
    before = state(ledger)

    def fail(*_: object) -> None:
        raise OperationalError("INSERT", {}, Exception("the disk is full"))

    monkeypatch.setattr(holds, "add_many", fail)
    with pytest.raises(OperationalError):
        ledger.admit_many([worker(number) for number in range(3)])
    assert state(ledger) == before


def test_batches_at_once_admit_no_more_than_there_is_room_for_and_do_not_block_each_other(url: str) -> None:
    """Accounts in another order in every batch, on two engines, as two processes would have them."""
    ledgers = [Ledger(make_engine(url, timeout=60)) for _ in range(2)]
    prepare(ledgers[0])
    ledgers[0].set_cap("survey", "ada", actor="bob", reason="x")
    start = threading.Barrier(6)

    def race(index: int) -> int:
        start.wait()
        admitted = 0
        for number in range(6):
            wanted = [
                Admission(
                    account=name, person="ada", kind=SERVER, key=f"{name}/{index}-{number}", label="x", rate=1
                )
                for name in ("ada", "survey", "lens")
            ]
            answers = ledgers[index % 2].admit_many(wanted if (index + number) % 2 else wanted[::-1])
            admitted += sum(isinstance(one, Lease) for one in answers)
        return admitted

    with ThreadPoolExecutor(6) as threads:
        admitted = sum(threads.map(race, range(6)))
    # 2,900 and twice 3,000 units, at 600 for each.
    assert admitted == len(ledgers[0].open_leases()) == 4 + 5 + 5
    assert ledgers[0].verify() == []
    for ledger in ledgers:
        ledger._engine.dispose()
