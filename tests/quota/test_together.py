"""Questions that are answered together: who shares a batch, and what becomes of the others when one is wrong."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hubquota.hub.desk import LedgerDesk, LedgerDownError
from hubquota.hub.together import Together
from hubquota.models.ledger import Refused
from hubquota.models.money import to_units
from hubquota.services.ledger import Ledger
from hubquota.storage.engine import decision, make_engine
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from tests.quota.support import eventually
from tests.quota.test_desk import start

#: What the database fails at.
WRONG = 1313


class Asking:
    """Answers numbers with their doubles, in batches, as slowly as a test wants."""

    def __init__(self, deadline: float = 20.0) -> None:
        self.batches: list[list[int]] = []
        self.late: list[int] = []
        self.go = threading.Event()
        self.go.set()
        self.together: Together[int, int] = Together(
            self._decide, threads=ThreadPoolExecutor(4), deadline=deadline, late=self.late.append
        )

    def _decide(self, numbers: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(numbers))
        if WRONG in numbers:
            raise OperationalError("SELECT", {}, Exception("no such number"))
        if 0 in numbers or not self.go.is_set():
            self.go.wait(30)
        return [Refused(limit="count", message="Odd.") if number % 2 else 2 * number for number in numbers]


async def test_what_is_asked_at_one_moment_shares_a_batch_and_each_gets_its_own_answer() -> None:
    asking = Asking()
    found = await asyncio.gather(*(asking.together.ask(number) for number in range(2, 42)), return_exceptions=True)
    assert [one for one in found if not isinstance(one, Refused)] == [2 * number for number in range(2, 42, 2)]
    assert len(asking.batches) == 1
    assert await asking.together.ask(100) == 200
    assert asking.batches[1:] == [[100]]


async def test_a_question_that_breaks_its_batch_breaks_no_other() -> None:
    asking = Asking()
    found = await asyncio.gather(
        *(asking.together.ask(number) for number in (4, WRONG, 6)), return_exceptions=True
    )
    assert (found[0], found[2], type(found[1])) == (8, 12, LedgerDownError)
    assert [len(batch) for batch in asking.batches] == [3, 1, 1, 1]


async def test_a_batch_that_hangs_keeps_nobody_else_waiting_and_its_answers_are_let_go_of() -> None:
    asking = Asking(deadline=0.5)
    asking.go.clear()
    with pytest.raises(LedgerDownError):
        await asking.together.ask(0)
    asking.together._deadline = 20.0
    # The first one hangs still.
    waiting = asking.together.ask(8)
    await asyncio.to_thread(eventually, lambda: [8] in asking.batches, "a batch of its own")
    asking.go.set()
    assert await waiting == 16
    await asyncio.to_thread(eventually, lambda: asking.late == [0], "the answer that nobody waited for")


async def test_a_crowd_costs_a_few_transactions_and_the_loop_goes_on(ledger: Ledger) -> None:
    desk = LedgerDesk(ledger, deadline=60)
    batches: list[int] = []
    decide = ledger.start_many

    def counted(wanted: Sequence[object]) -> object:
        batches.append(len(wanted))
        return decide(wanted)  # type: ignore[arg-type]

    ledger.start_many = counted  # type: ignore[method-assign,assignment]
    found = await asyncio.gather(*(desk.admit(start(f"user-{number}")) for number in range(100)))
    assert {ledger.lease(one.lease_id).account for one in found} == {f"user-{number}" for number in range(100)}
    assert (len(batches) <= 3, sum(batches)) == (True, 100)
    assert ledger.verify() == []


async def test_of_a_crowd_on_one_account_as_many_start_as_it_has_room_for(ledger: Ledger) -> None:
    ledger.open_account("ada", "explorer", 600 * 3, actor="test")
    desk = LedgerDesk(ledger, deadline=60)
    found = await asyncio.gather(
        *(desk.admit(start("ada", str(number))) for number in range(10)), return_exceptions=True
    )
    assert [type(one).__name__ for one in found] == ["Started"] * 3 + ["Refused"] * 7
    assert ledger.balance("ada").available == 0


async def test_a_crowd_does_not_wait_for_an_account_that_somebody_has_locked(url: str, ledger: Ledger) -> None:
    for name in ("ada", "bob", "eve"):
        ledger.open_account(name, "explorer", to_units(1), actor="test")
    desk, other = LedgerDesk(ledger, deadline=60), make_engine(url)
    with decision(other) as connection:
        if url.startswith("postgresql"):
            connection.execute(text("SELECT id FROM account WHERE name = 'bob' FOR UPDATE"))
        asked = {name: desk.admit(start(name)) for name in ("ada", "bob", "eve")}
        if url.startswith("postgresql"):
            assert ledger.lease((await asked["ada"]).lease_id).account == "ada"
            assert ledger.lease((await asked["eve"]).lease_id).account == "eve"
        else:
            # SQLite has one lock for all, and a batch waits for it.
            await asyncio.sleep(0.05)
        assert not asked["bob"].done()
    assert ledger.lease((await asked["bob"]).lease_id).account == "bob"
    other.dispose()
