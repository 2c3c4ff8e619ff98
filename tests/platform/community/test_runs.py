"""The queue of runs, its runner, and what people are told: by a clock of the test's own."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hubquota.storage.engine import make_engine, reading
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from romanhub.community.proof.queue import RunRefusedError, UnknownRunError
from romanhub.community.proof.rehearsal import Rehearsal
from romanhub.community.proof.schedule import next_turn, offset
from romanhub.community.proof.status import status
from romanhub.models.community import Act
from romanhub.models.entries import Proof
from romanhub.models.runs import COMMUNITY_ROBOT, Outcome, Purpose, Report

from tests.platform.community.run_world import RATE, Killed, RunWorld
from tests.platform.community.shelf import Shelf, file

FAILED = Report(passed=False, failed_cell=2, error="ValueError: no such filter", seconds=1)


@pytest.fixture
def world(shelf: Shelf, tmp_path: Path) -> RunWorld:
    return RunWorld(shelf, tmp_path)


def proof(world: RunWorld, name: str) -> Proof:
    """What a card says."""
    return world.shelf.catalogue.entry(name).proof


async def test_a_new_entry_is_run_in_a_server_of_the_robot_and_its_card_says_so(world: RunWorld) -> None:
    world.shelf.publish("ada", "depth", "depth()")
    assert proof(world, "depth") is Proof.NEVER
    await world.turn(seconds=90)

    (run,) = [one for one in world.runs() if one.outcome]
    assert (run.person, run.purpose, run.outcome) == (COMMUNITY_ROBOT, Purpose.REGULAR, Outcome.PASSED)
    assert (run.notebook, run.version, run.seconds, run.image_digest) == ("depth.ipynb", 1, 2.5, "roman-1")
    assert run.credits == 90 * RATE
    # The server is gone, and nothing is held for it any more.
    assert world.hub.servers == {} and run.server is None
    assert world.ledger.open_leases() == []
    assert [one.tier for one in world.ledger.allocations(COMMUNITY_ROBOT)] == ["robot"]
    assert proof(world, "depth") is Proof.PASSED
    assert world.told("ada") == ["depth runs"]


async def test_red_on_the_next_run_and_green_after_a_fix(world: RunWorld) -> None:
    world.shelf.publish("ada", "depth")
    await world.turn()
    world.reports["depth.ipynb"] = FAILED
    # Nothing happens before its turn.
    await world.turn()
    assert proof(world, "depth") is Proof.PASSED
    world.shelf.wait(days=14)
    await world.turn()
    assert proof(world, "depth") is Proof.FAILED
    assert world.told("ada") == ["depth runs", "depth does not run any more"]
    assert "code cell 2: ValueError: no such filter." in world.ledger.notices("ada")[0].text
    # Once for each change: another failure is no news.
    world.shelf.wait(days=14)
    await world.turn()
    assert len(world.told("ada")) == 2

    world.shelf.publish("ada", "depth", "fixed()")
    del world.reports["depth.ipynb"]
    # The new version does not wait for its turn.
    await world.turn()
    assert proof(world, "depth") is Proof.PASSED
    assert world.told("ada")[2:] == ["depth runs"]
    assert world.runs()[-1].version == 2 or world.runs()[-2].version == 2


async def test_an_entry_turns_stale_when_no_run_passes_for_long(world: RunWorld) -> None:
    world.shelf.publish("ada", "depth")
    await world.turn()
    # The robot has nothing left to pay with, and its server is refused each time.
    (allocation,) = world.ledger.allocations(COMMUNITY_ROBOT)
    world.ledger.revoke(allocation.id, actor="admin", reason="A test.", key="revoke")
    for _ in range(20):
        assert proof(world, "depth") is Proof.PASSED
        world.shelf.wait(days=1)
        await world.turn()
    refused = [one for one in world.runs() if one.outcome is Outcome.REFUSED]
    assert refused and "Ask for more." in (refused[0].error or "")
    world.shelf.wait(days=2)
    await world.turn()
    assert proof(world, "depth") is Proof.STALE
    assert world.told("ada")[1:] == ["depth: no run has passed for a long time"]
    await world.turn()
    assert len(world.told("ada")) == 2


async def test_status_for_cards(world: RunWorld) -> None:
    for name in ("depth", "width", "height"):
        world.shelf.publish("ada", name)
    world.reports["width.ipynb"] = FAILED
    # Two at once: the third has its turn later.
    await world.turn()
    await world.turn()
    world.shelf.publish("ada", "new")

    def proofs(after: timedelta) -> list[Proof]:
        with reading(world.shelf.engine) as connection:
            found = status(connection, [1, 2, 3, 4, 99], world.shelf.now + after)
        return [found[number].proof for number in (1, 2, 3, 4, 99)]

    assert proofs(timedelta()) == [Proof.PASSED, Proof.FAILED, Proof.PASSED, Proof.NEVER, Proof.NEVER]
    assert proofs(timedelta(days=30)) == [Proof.STALE, Proof.FAILED, Proof.STALE, Proof.NEVER, Proof.NEVER]


async def test_at_most_so_many_run_at_once(shelf: Shelf, tmp_path: Path) -> None:
    world = RunWorld(shelf, tmp_path, at_once=3)
    for number in range(8):
        shelf.publish("ada", f"entry-{number}")
    await world.runner.survey()
    for _ in range(3):
        await world.runner.step()
        assert len(world.hub.servers) == 3
    world.work()
    await world.runner.step()
    # Those that have ended have made room in the same look.
    assert len(world.hub.servers) == 3
    assert len(world.hub.started) == 6


def test_turns_are_spread_over_the_period() -> None:
    period = timedelta(days=7)
    parts = Counter(int(offset(number, period) / period * 7) for number in range(7000))
    assert all(850 < parts[day] < 1150 for day in range(7))


async def test_what_is_withdrawn_is_not_run(world: RunWorld) -> None:
    world.shelf.publish("ada", "depth")
    await world.runner.survey()
    world.shelf.catalogue.act("ada", (), "depth", Act.WITHDRAW, "It was wrong.")
    await world.turn()
    assert world.hub.started == []


async def test_an_image_is_tried_before_it_is_everybodys(world: RunWorld) -> None:
    world.shelf.publish("ada", "depth")
    world.shelf.publish("bob", "width")
    await world.turn()
    world.reports["width.ipynb"] = FAILED
    numbers = world.queue.rehearse("full", world.offer)
    await world.turn()
    found = world.queue.many(numbers)
    assert [one.outcome for one in found] == [Outcome.PASSED, Outcome.FAILED]
    assert all(options == {"image": "full"} for *_, options in world.hub.started[-2:])
    # It says nothing of the image that people have.
    assert proof(world, "width") is Proof.PASSED
    assert world.told("bob") == ["width runs"]


async def test_an_entry_runs_in_the_image_and_the_size_that_it_names(world: RunWorld) -> None:
    world.shelf.publish("ada", "depth", image="roman:1", tier="researcher")
    world.shelf.publish("ada", "width", image="full", tier="explorer")
    await world.turn()
    # Everybody's image has a new version; of it the entry names an older one.
    assert [options for *_, options in world.hub.started] == [
        {"size": "medium"},
        {"size": "small", "image": "full"},
    ]
    assert [one.image for one in world.runs() if one.outcome] == ["", "full"]
    # A rehearsal is in the same sizes, and in another image.
    world.queue.rehearse("next", world.offer)
    await world.turn()
    assert [options for *_, options in world.hub.started[2:]] == [
        {"size": "medium", "image": "next"},
        {"size": "small", "image": "next"},
    ]


async def test_what_the_platform_does_not_have_is_refused_and_told_once(world: RunWorld) -> None:
    world.shelf.publish("ada", "depth", image="ghcr.io/ada/mine:1")
    world.shelf.publish("bob", "width", tier="team")
    world.shelf.publish("eve", "height", tier="enormous")
    for _ in range(3):
        await world.turn()
        world.shelf.wait(days=1)
    assert world.hub.started == []
    refused = {one.entry_id: one for one in world.runs()}
    assert len(world.runs()) == len(refused) == 3
    assert {one.outcome for one in refused.values()} == {Outcome.REFUSED}
    assert refused[1].error == "It names the image 'ghcr.io/ada/mine:1', and this platform has roman:2 and full."
    assert "8 cores and 64 GiB, and the platform runs shared notebooks in small and medium." in refused[2].error
    assert "the tier 'enormous', and this platform has explorer, researcher, team and robot." in refused[3].error
    assert [world.told(one) for one in ("ada", "bob", "eve")] == [
        ["depth is not run"],
        ["width is not run"],
        ["height is not run"],
    ]
    assert refused[1].error in world.ledger.notices("ada")[0].text
    assert proof(world, "depth") is Proof.NEVER

    # A new version that names what there is, is run at once.
    world.shelf.publish("ada", "depth", "print(2)", image="roman:2")
    await world.turn()
    assert proof(world, "depth") is Proof.PASSED
    # And one that does not, while its first version waits for its turn, is refused.
    world.shelf.publish("ada", "depth", "print(3)", image="ghcr.io/ada/mine:2")
    await world.turn()
    assert [one.outcome for one in world.runs() if one.version == 3] == [Outcome.REFUSED]
    assert world.told("ada") == ["depth is not run", "depth runs", "depth is not run"]


# Somebody's own notebook -------------------------------------------------------------------------------------


def account(world: RunWorld, name: str, units: int = 10**9) -> None:
    """Open an account with something on it."""
    world.ledger.open_account(name, "explorer", units, actor="test", term_days=30)


async def test_ones_own_notebook_runs_later_on_ones_own_account(world: RunWorld) -> None:
    account(world, "ada")
    tonight = world.shelf.now + timedelta(hours=8)
    run = world.queue.later("ada", "work/depth.ipynb", tonight, account=None, size="medium")
    await world.turn()
    assert world.hub.started == [] and world.queue.of_person("ada")[0].state == "queued"

    world.reports["work/depth.ipynb"] = Report(passed=True, seconds=3, result="work/depth.run-1.ipynb")
    world.shelf.wait(hours=8)
    await world.turn(seconds=100)
    assert world.hub.started == [("ada", "run-1", {"size": "medium"})]
    (found,) = world.queue.of_person("ada")
    assert (found.id, found.state, found.credits) == (run.id, "passed", 100 * RATE)
    assert world.told("ada") == ["work/depth.ipynb ran from top to bottom"]
    text = world.ledger.notices("ada")[0].text
    assert "work/depth.run-1.ipynb in your home" in text and "credits" in text
    assert world.queue.of_person("bob") == []


async def test_a_refusal_is_in_the_ledgers_own_words(world: RunWorld) -> None:
    account(world, "ada", units=RATE)
    world.queue.later("ada", "depth.ipynb", None, account=None, size=None)
    await world.turn()
    (found,) = world.queue.of_person("ada")
    assert found.outcome is Outcome.REFUSED
    assert "Small server" in (found.error or "") and (found.error or "").endswith("Ask for more.")
    assert found.error in world.ledger.notices("ada")[0].text
    # What is refused is not tried again behind their back.
    await world.turn()
    assert len(world.hub.started) == 1


async def test_taking_back(world: RunWorld) -> None:
    account(world, "ada")
    for _ in range(2):
        world.queue.later("ada", "depth.ipynb", None, account=None, size=None)
    with pytest.raises(UnknownRunError):
        world.queue.cancel("eve", 1)
    await world.runner.step()
    assert world.queue.cancel("ada", 1).outcome is Outcome.CANCELLED
    with pytest.raises(RunRefusedError, match="has ended"):
        world.queue.cancel("ada", 1)
    # Its server, too late, says nothing more, and goes.
    with pytest.raises(UnknownRunError):
        world.queue.task(1, "ada", "run-1", world.shelf.bucket.get)
    await world.runner.step()
    assert [server for _, server in world.hub.servers] == ["run-2"]
    assert world.queue.many([1])[0].outcome is Outcome.CANCELLED


async def test_the_queue_of_one_person_is_no_longer_than_allowed(shelf: Shelf, tmp_path: Path) -> None:
    world = RunWorld(shelf, tmp_path, own_queued=2)
    for _ in range(2):
        world.queue.later("ada", "depth.ipynb", None, account=None, size=None)
    with pytest.raises(RunRefusedError, match="You have 2 runs in the queue"):
        world.queue.later("ada", "depth.ipynb", None, account=None, size=None)
    world.queue.later("bob", "depth.ipynb", None, account=None, size=None)


async def test_a_server_speaks_for_its_own_run_alone(world: RunWorld) -> None:
    account(world, "ada")
    world.queue.later("ada", "depth.ipynb", None, account=None, size=None)
    with pytest.raises(UnknownRunError):
        world.queue.report(1, "ada", "run-1", FAILED)
    await world.runner.step()
    for person, server in (("eve", "run-1"), ("ada", "run-2"), ("ada", "")):
        with pytest.raises(UnknownRunError):
            world.queue.task(1, person, server, world.shelf.bucket.get)
        with pytest.raises(UnknownRunError):
            world.queue.report(1, person, server, FAILED)
    assert world.queue.report(1, "ada", "run-1", Report(passed=True, seconds=1)).outcome is Outcome.PASSED
    # What was said stays.
    assert world.queue.report(1, "ada", "run-1", FAILED).outcome is Outcome.PASSED


async def test_the_shared_notebook_is_what_was_published(world: RunWorld) -> None:
    world.shelf.publish("ada", "depth", "depth()")
    await world.runner.survey()
    await world.runner.step()
    task = world.queue.task(1, COMMUNITY_ROBOT, "run-1", world.shelf.bucket.get)
    assert task.content is not None and task.content.encode() == file("depth()")


# What goes wrong ---------------------------------------------------------------------------------------------


async def test_a_server_that_dies_is_told_and_an_own_run_is_not_begun_again(world: RunWorld) -> None:
    account(world, "ada")
    world.queue.later("ada", "depth.ipynb", None, account=None, size=None)
    await world.runner.step()
    await world.runner.step()
    world.hub.die("ada", "run-1", "Nothing pays for it any longer.")
    for _ in range(3):
        await world.turn()
    (found,) = world.queue.of_person("ada")
    assert found.outcome is Outcome.LOST
    assert found.error == "Its server ended before the notebook had. Nothing pays for it any longer."
    assert len(world.hub.started) == 1
    assert world.told("ada") == ["depth.ipynb was not run to its end"]


async def test_a_shared_run_that_was_lost_is_tried_again_and_proves_nothing(world: RunWorld) -> None:
    world.shelf.publish("ada", "depth")
    await world.runner.survey()
    for _ in range(2):
        await world.runner.step()
    world.hub.die(COMMUNITY_ROBOT, "run-1", "The machine went away.")
    await world.turn()
    assert proof(world, "depth") is Proof.NEVER
    await world.turn()
    assert len(world.hub.started) == 1
    world.shelf.wait(hours=1)
    await world.turn()
    assert len(world.hub.started) == 2 and proof(world, "depth") is Proof.PASSED


async def test_a_server_that_never_comes_up_is_given_up_after_some_tries(world: RunWorld) -> None:
    account(world, "ada")
    world.queue.later("ada", "depth.ipynb", None, account=None, size=None)
    world.hub.failing = ["There is no room on any machine."] * 9
    for _ in range(12):
        await world.runner.step()
        world.shelf.wait(minutes=5)
    (found,) = world.queue.of_person("ada")
    assert found.outcome is Outcome.LOST and found.error == "There is no room on any machine."
    assert len(world.hub.started) == world.queue.settings.tries


async def test_what_says_nothing_is_stopped_in_the_end(world: RunWorld) -> None:
    world.shelf.publish("ada", "depth")
    await world.runner.survey()
    for _ in range(2):
        await world.runner.step()
    world.shelf.wait(hours=1)
    await world.runner.step()
    await world.runner.step()
    assert world.hub.servers == {}
    assert world.runs()[0].outcome is Outcome.FAILED and "Nothing was heard" in (world.runs()[0].error or "")


async def test_the_hub_is_away_for_a_while(world: RunWorld) -> None:
    world.shelf.publish("ada", "depth")
    await world.runner.survey()
    await world.runner.step()
    world.hub.is_down = True
    # The notebook ends meanwhile, and says so to the portal.
    world.work()
    waits = 0

    async def wait(_seconds: float) -> None:
        nonlocal waits
        waits += 1
        world.shelf.wait(seconds=30)
        if waits == 5:
            world.hub.is_down = False
        if waits == 8:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await world.runner.forever(wait)
    assert world.hub.servers == {} and world.runs()[0].outcome is Outcome.PASSED


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deaths=st.lists(st.integers(0, 12), max_size=12), entries=st.integers(1, 3), own=st.integers(0, 2))
def test_a_runner_that_is_killed_anywhere_loses_nothing_and_does_nothing_twice(
    catalogue_in_sqlite: Path,
    tmp_path_factory: pytest.TempPathFactory,
    deaths: list[int],
    entries: int,
    own: int,
) -> None:
    """Kill it after so many of its steps at the hub, again and again: before and after each start and stop."""
    folder = tmp_path_factory.mktemp("killed")
    engine = make_engine(f"sqlite:///{shutil.copy(catalogue_in_sqlite, folder / 'community.sqlite')}")
    world = RunWorld(Shelf(engine), folder, retry_minutes=1)
    account(world, "ada")
    for number in range(entries):
        world.shelf.publish("ada", f"entry-{number}")
    for number in range(own):
        world.queue.later("ada", f"own-{number}.ipynb", None, account=None, size=None)
    left = list(deaths)

    def at(_where: str) -> None:
        if left and (left[0] == 0):
            left.pop(0)
            raise Killed
        if left:
            left[0] -= 1

    world.hub.at = at

    async def live() -> None:
        for turn in range(60):
            try:
                await world.turn()
            except Killed:
                world.restart()
            world.work()
            if turn > 2 and not left and not world.queue.unsettled():
                return

    asyncio.run(live())
    done = Counter((one.notebook, one.version) for one in world.runs() if one.outcome is not None)
    # Each ran, once; nothing is left over at the hub or in the ledger; all that was told was told once.
    assert done == Counter(
        [(f"entry-{number}.ipynb", 1) for number in range(entries)]
        + [(f"own-{number}.ipynb", None) for number in range(own)]
    )
    assert all(one.outcome in (None, Outcome.PASSED) for one in world.runs())
    assert world.hub.servers == {} and world.ledger.open_leases() == []
    assert Counter(world.told("ada")) == Counter(
        [f"entry-{number} runs" for number in range(entries)]
        + [f"own-{number}.ipynb ran from top to bottom" for number in range(own)]
    )
    engine.dispose()


@given(st.integers(1, 10**9), st.integers(0, 10**6))
def test_a_turn_comes_once_in_a_period(number: int, hours: int) -> None:
    period = timedelta(days=7)
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=7, hours=hours)
    turn = next_turn(number, at, period)
    assert timedelta() < turn - at <= period
    assert next_turn(number, turn, period) == turn + period


async def test_a_rehearsal_says_what_would_break(world: RunWorld) -> None:
    for name in ("depth", "width", "height"):
        world.shelf.publish("ada", name)
    # It does not run today either, so an image cannot break it.
    world.reports["height.ipynb"] = FAILED
    for _ in range(2):
        await world.turn()
    world.reports["width.ipynb"] = FAILED
    seen = []
    rehearsal = Rehearsal(world.queue, world.offer, lambda: asyncio.run(world.turn()))
    tried = await asyncio.to_thread(rehearsal.run, "full", progress=lambda done, of: seen.append((done, of)))
    assert [(one.entry, one.outcome, one.breaks) for one in tried] == [
        ("width", Outcome.FAILED, True),
        ("depth", Outcome.PASSED, False),
        ("height", Outcome.FAILED, False),
    ]
    assert seen[0] == (0, 3) and seen[-1] == (3, 3)
