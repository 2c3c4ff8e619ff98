"""What goes wrong while a cluster computes: the result is right, and every second that ran is charged, no more."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator

import psutil
import pytest
from hubquota.models.ledger import Lease
from hubquota.models.money import to_units
from hubquota.services.ledger import Ledger
from hubquota.storage.engine import make_engine
from romanhub.probe.kernel import CellResult

from tests.support.lifetimes import Life, Lifetimes
from tests.support.person import Kernel, Person
from tests.support.platform import Platform

#: How far a lease may be from its process, in seconds: the ledger notes whole ones.
CLOSE = 1.5

#: How long anything may take on a busy machine, in seconds.
PATIENCE = 120.0

#: So many seconds before its credits end, a cluster is told of it: long enough to hear that on a busy machine.
LEFT = 90

#: Computes for a while: so many tasks of a tenth of a second, the sum of whose results is known.
COMPUTE = """
def slowly(number):
    import time
    time.sleep(0.1)
    return number

print(sum(client.gather(client.map(slowly, range({tasks}), pure=False))))
"""


@contextlib.asynccontextmanager
async def notebook(platform: Platform, name: str) -> AsyncIterator[Kernel]:
    """A Roman kernel in somebody's server."""
    person = Person(platform.url, name)
    person.sign_in()
    answer = await asyncio.to_thread(person.start_server, size="small")
    assert answer.is_success, answer.text
    kernel = await person.kernel()
    try:
        yield kernel
    finally:
        kernel.close()
        await asyncio.to_thread(person.stop_server)


@pytest.fixture
def lives(platform: Platform) -> Iterator[Lifetimes]:
    assert platform.process
    with Lifetimes(platform.process.pid) as watched:
        yield watched


@pytest.fixture
def ledger(platform: Platform) -> Ledger:
    return Ledger(make_engine(f"sqlite:///{platform.state / 'private' / 'ledger.sqlite'}"))


async def cell(kernel: Kernel, code: str) -> CellResult:
    """Run a cell that has to succeed."""
    result = await kernel.run(code)
    assert not result.error, f"{result.text}\n{result.error}"
    return result


async def start(kernel: Kernel, workers: int, account: str) -> None:
    """Start a cluster and wait for its workers."""
    await cell(
        kernel,
        f"import romanhub\ncluster = romanhub.cluster(workers={workers}, account={account!r})\n"
        f"client = cluster.get_client()\nclient.wait_for_workers({workers}, timeout={PATIENCE})",
    )


async def until(condition: Callable[[], bool]) -> None:
    """Ask a file or the system, which tell nobody when they change, until something is so."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.1)


def workers_of(ledger: Ledger, account: str) -> list[Lease]:
    """The leases of an account's workers that began, in the order of their beginnings."""
    statement = ledger.statement(account, limit=100)
    leases = [*statement.running, *statement.ended]
    return sorted(
        (lease for lease in leases if lease.kind == "dask-worker" and lease.started_at is not None),
        key=lambda lease: lease.id,
    )


async def assert_charged(ledger: Ledger, account: str, lives: list[Life]) -> None:
    """The account's leases are these processes' own lifetimes, to the second, and its journal adds up."""
    await until(lambda: not ledger.open_leases("dask-worker", account=account))
    leases = workers_of(ledger, account)
    assert len(leases) == len(lives)
    spans = []
    for lease in leases:
        assert lease.started_at is not None and lease.ended_at is not None
        seconds = int(lease.ended_at.timestamp()) - int(lease.started_at.timestamp())
        assert lease.charged == lease.rate * seconds
        spans.append((lease.started_at.timestamp(), lease.ended_at.timestamp()))
    for began, life in zip(sorted(start for start, _ in spans), lives, strict=True):
        assert abs(began - life.began) <= CLOSE, (began, life)
    for ended, died in zip(sorted(end for _, end in spans), sorted(one.ended or 0 for one in lives), strict=True):
        assert abs(ended - died) <= CLOSE, (ended, died)
    assert ledger.verify() == []


async def test_workers_that_keep_dying_finish_the_work_and_are_charged_for_their_lives(
    platform: Platform, ledger: Ledger, lives: Lifetimes
) -> None:
    async with notebook(platform, "faye") as kernel:
        await start(kernel, 2, "faye")
        computing = asyncio.create_task(kernel.run(COMPUTE.format(tasks=120)))
        # The next one dies once another has taken the last one's place, so that it is always in the midst of it.
        for dead in range(3):
            await until(lambda dead=dead: len(lives.all) >= 2 + dead and len(lives.running) == 2)
            await asyncio.sleep(1)
            lives.running[0].kill()
        answer = await computing
        # Dask may have warned of keys that died with a worker, before.
        assert answer.text.split()[-1] == str(sum(range(120))), answer
        assert len(lives.all) >= 4
        await cell(kernel, "cluster.shutdown()")
        await until(lambda: not lives.running)
        await assert_charged(ledger, "faye", lives.all)


async def test_two_people_have_as_many_workers_as_their_tiers_say(
    platform: Platform, ledger: Ledger, lives: Lifetimes
) -> None:
    ledger.open_project("survey-six", "researcher", pi="gwen", actor="admin")
    ledger.grant("survey-six", to_units(5), actor="admin", reason="A survey.", key="survey-six")
    async with notebook(platform, "gwen") as gwen, notebook(platform, "hugo") as hugo:
        await asyncio.gather(start(gwen, 1, "survey-six"), start(hugo, 1, "hugo"))
        await asyncio.gather(*(kernel.run("cluster.scale(6)") for kernel in (gwen, hugo)))
        counts = [
            cell(kernel, f"client.wait_for_workers({most}, timeout={PATIENCE})\n{COMPUTE.format(tasks=40)}")
            for kernel, most in ((gwen, 6), (hugo, 4))
        ]
        for answer in await asyncio.gather(*counts):
            assert answer.text.strip() == str(sum(range(40)))
        for account, most in (("survey-six", 6), ("hugo", 4)):
            assert len(ledger.open_leases("dask-worker", account=account)) == most
        assert len(lives.running) == 10
        names = [(await cell(kernel, "print(cluster.name)")).text.strip() for kernel in (gwen, hugo)]
        await asyncio.gather(*(cell(kernel, "cluster.shutdown()") for kernel in (gwen, hugo)))
        await until(lambda: not lives.running)
    for account, name in zip(("survey-six", "hugo"), names, strict=True):
        await assert_charged(ledger, account, [life for life in lives.all if life.cluster == name])


async def test_credits_that_end_in_the_midst_of_it_are_not_overdrawn_and_the_notebook_hears_why(
    platform: Platform, ledger: Ledger, lives: Lifetimes
) -> None:
    ledger.open_project("short", "explorer", pi="iris", actor="admin")
    ledger.grant("short", to_units(1), actor="admin", reason="A trial.", key="short")
    async with notebook(platform, "iris") as kernel:
        await start(kernel, 2, "short")
        computing = asyncio.create_task(kernel.run(COMPUTE.format(tasks=5000)))
        (first, *_) = ledger.open_leases("dask-worker", account="short")
        balance = ledger.balance("short")
        # What the two workers need for so long; they stop half a minute before nothing pays any more.
        spent = balance.posted - balance.accrued - 2 * first.rate * LEFT
        ledger.correct("short", -spent, actor="admin", reason="Spent elsewhere.", key="short-spent")
        await until(lambda: not lives.running)
        # Nothing of it ran that nobody paid for.
        assert ledger.balance("short").available >= 0
        answer = await computing
        # Told before, below the cell that computes, and afterwards.
        assert "will be stopped on" in answer.text, answer
        ended = "This Dask cluster has ended. The credits that paid for it are used up."
        assert ended in (answer.error or ""), answer
        refused = await kernel.run("cluster.scale(1)")
        assert "used up" in (refused.error or ""), refused
        again = await kernel.run("romanhub.cluster(workers=1, account='short')")
        assert "No Dask cluster can start" in (again.error or ""), again
        await assert_charged(ledger, "short", lives.all)
        balance = ledger.balance("short")
        assert 0 <= balance.available <= 2 * first.rate * LEFT


async def test_a_computation_outlives_the_platforms_parts_and_the_ledger_agrees(
    platform: Platform, ledger: Ledger, lives: Lifetimes
) -> None:
    async with notebook(platform, "juno") as kernel:
        await start(kernel, 2, "juno")
        computing = asyncio.create_task(kernel.run(COMPUTE.format(tasks=200)))
        for part in ("gateway", "hub", "portal"):
            platform.part(part).kill()
            await asyncio.to_thread(platform.wait_for, f"The {part} is back.")
        for ready in copied_from(platform):
            ready.kill()
        answer = await computing
        assert answer.text.strip() == str(sum(range(200))), answer
        assert len(lives.running) == 2
        # What was started before is still counted, charged and scaled.
        await cell(kernel, f"cluster.scale(3)\nclient.wait_for_workers(3, timeout={PATIENCE})")
        assert len(ledger.open_leases("dask-worker", account="juno")) == 3
        await cell(kernel, "cluster.shutdown()")
        await until(lambda: not lives.running)
        await assert_charged(ledger, "juno", lives.all)


def copied_from(platform: Platform) -> list[psutil.Process]:
    """The process that schedulers and workers are copies of, where it is there already."""
    assert platform.process
    found = []
    for process in psutil.Process(platform.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if any(word.endswith("/forks.py") for word in process.cmdline()):
                found.append(process)
    return found
