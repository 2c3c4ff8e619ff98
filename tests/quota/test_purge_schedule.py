"""The purge by itself: once a day, by the time of day that the settings name, with or without a review."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hubquota.cli import main
from hubquota.hub.upkeep import PurgeRounds
from hubquota.models.letters import ADMINS
from hubquota.models.purge import Act
from hubquota.models.purge_settings import PurgeSettings, Schedule
from hubquota.services.ledger import Ledger
from hubquota.services.notices import Notices
from hubquota.services.purge import PurgeRegister
from hubquota.services.purge_schedule import ScheduledPurge, latest_time
from pydantic import ValidationError
from sqlalchemy import Engine

from tests.quota.purge_support import ROOT, expire, fill, make_purge, make_settings
from tests.quota.support import Clock, eventually


class World:
    """Two people whose time is over, and settings that a test changes."""

    def __init__(self, engine: Engine, ledger: Ledger, clock: Clock, folder: Path) -> None:
        for name in ("ada", "bob"):
            fill(folder / "homes" / name)
        expire(ledger, clock, "ada", "bob")
        self.folder, self.engine, self.clock, self.homes = folder, engine, clock, folder / "homes"
        self.register = PurgeRegister.sharing(ledger)
        self.settings = make_settings(folder)

    def set(self, plans: str | None, **changes: Any) -> None:
        """Have the file say how plans are made; None for no schedule."""
        schedule = None if plans is None else {"daily_at": "03:30", "plans": plans}
        given = {"notice_days": [], "quarantine_days": 0, **changes, "schedule": schedule}
        self.settings = make_settings(self.folder, **given)

    def scheduled(self) -> ScheduledPurge:
        """A watch's purge that has just been started."""
        return ScheduledPurge(
            self.engine,
            lambda: self.settings,
            lambda given: make_purge(self.engine, self.clock, given),
            self.clock,
        )

    def kept(self) -> list[str]:
        """Whose homes are there."""
        return sorted(path.name for path in self.homes.iterdir() if not path.name.startswith("."))


@pytest.fixture
def world(engine: Engine, ledger: Ledger, clock: Clock, tmp_path: Path) -> World:
    return World(engine, ledger, clock, tmp_path)


def test_without_a_schedule_nothing_happens(world: World) -> None:
    world.set(None)
    assert world.scheduled().run_due() is None
    assert world.register.plans() == []


def test_a_plan_waits_for_its_review_and_is_the_same_one_tomorrow(
    world: World, ledger: Ledger, clock: Clock
) -> None:
    world.set("reviewed")
    scheduled = world.scheduled()
    first = scheduled.run_due()
    assert first is not None
    assert (first.made, first.approved, first.steps) == (1, False, ())
    (notice,) = Notices.sharing(ledger).notices(ADMINS)
    assert notice.subject == "Plan 1 of a purge waits for a review"
    assert "2 things of 2 accounts" in notice.text

    # Once a day, however often it is asked; and tomorrow whoever reads finds the plan that they began to read.
    assert scheduled.run_due() is None
    clock.now += timedelta(days=1)
    again = scheduled.run_due()
    assert again is not None
    assert again.made is None
    (plan,) = world.register.plans()
    assert world.kept() == ["ada", "bob"]

    make_purge(world.engine, clock, world.settings).approve(plan.id, by=ROOT, digest=plan.digest)
    clock.now += timedelta(days=1)
    done = scheduled.run_due()
    assert done is not None
    assert [step.act for step in done.steps] == [Act.ARCHIVE, Act.QUARANTINE, Act.DELETE] * 2
    assert world.kept() == []


def test_a_plan_that_nobody_reviewed_is_made_anew_when_it_is_stale(world: World, clock: Clock) -> None:
    world.set("reviewed", plan_days=2)
    scheduled = world.scheduled()
    made = []
    for _ in range(5):
        found = scheduled.run_due()
        assert found is not None
        made.append(found.made)
        clock.now += timedelta(days=1)
    assert made == [1, None, 2, None, 3]
    assert world.kept() == ["ada", "bob"]


def test_without_a_review_it_is_done_within_the_limits(world: World, clock: Clock) -> None:
    world.set("unreviewed", limits={"accounts": 1, "percent": 100})
    scheduled = world.scheduled()
    over = scheduled.run_due()
    assert over is not None
    assert (over.made, over.approved, over.steps) == (1, False, ())
    assert world.kept() == ["ada", "bob"]

    world.register.cancel(1, by=ROOT, reason="Too many")
    world.set("unreviewed")
    clock.now += timedelta(days=1)
    done = scheduled.run_due()
    assert done is not None
    assert (done.made, done.approved) == (2, True)
    assert world.kept() == []
    assert world.register.plans()[0].approved_by == "hubquota"


def test_who_makes_plans_by_hand_has_them_carried_out(world: World) -> None:
    world.set("none")
    found = world.scheduled().run_due()
    assert found is not None
    assert (found.made, found.steps) == (None, ())
    assert world.register.plans() == []


def test_it_runs_at_its_time_of_the_day_and_at_once_after_a_start(world: World, clock: Clock) -> None:
    world.set("none")
    scheduled = world.scheduled()
    clock.now = datetime(2027, 5, 3, 14, 0, tzinfo=UTC)
    assert scheduled.run_due() is not None
    clock.now = datetime(2027, 5, 4, 3, 29, 59, tzinfo=UTC)
    assert scheduled.run_due() is None
    clock.now = datetime(2027, 5, 4, 3, 30, tzinfo=UTC)
    assert scheduled.run_due() is not None
    assert scheduled.run_due() is None
    assert world.scheduled().run_due() is not None


def test_a_settings_file_that_was_broken_is_used_once_it_is_right(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.set("unreviewed")
    right, world.settings = world.settings, None  # type: ignore[assignment]
    stop = threading.Event()
    with PurgeRounds(world.scheduled()).running(stop, 0.01):
        eventually(lambda: "A pass of the purge failed" in caplog.text, "a failure in the log")
        assert world.kept() == ["ada", "bob"]
        world.settings = right
        eventually(lambda: world.kept() == [], "homes that are in the archive")


@pytest.mark.parametrize("at", ["24:00", "3:30", "03:60", "noon", ""])
def test_a_time_that_is_none_is_refused(at: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        Schedule(daily_at=at)
    with pytest.raises(ValidationError):
        PurgeSettings(archive=str(tmp_path), adapters={"home": {"type": "x"}}, schedule={"daily_at": at})


def test_the_latest_time_is_yesterdays_before_it_has_come_today() -> None:
    schedule = Schedule(daily_at="03:30")
    assert latest_time(schedule, datetime(2027, 1, 1, 3, 29, tzinfo=UTC)) == datetime(
        2026, 12, 31, 3, 30, tzinfo=UTC
    )
    assert latest_time(schedule, datetime(2027, 1, 1, 3, 30, tzinfo=UTC)) == datetime(
        2027, 1, 1, 3, 30, tzinfo=UTC
    )


def cron(world: World, *more: str) -> Result:
    """Run the command that a daily job runs, with the settings in a file."""
    file = world.folder / "purge.yaml"
    file.write_text(world.settings.model_dump_json(exclude_none=True))
    told = {
        "HUBQUOTA_PURGE": str(file),
        "HUBQUOTA_TIERS": str(Path(__file__).parents[2] / "hub_config" / "tiers.yaml"),
        "HUBQUOTA_DATABASE_URL": world.engine.url.render_as_string(hide_password=False),
    }
    return CliRunner().invoke(main, ["purge", "daily", "--json", *more], env=told)


def test_cron_does_what_the_watch_would(engine: Engine, ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    """First it says what it would do; then it makes a plan and does what is due; then there is nothing more."""
    # The command goes by the real time.
    clock.now = datetime.now(UTC) - timedelta(days=60)
    world = World(engine, ledger, clock, tmp_path)
    world.set("unreviewed", limits={"accounts": 50, "percent": 100})
    said = cron(world)
    assert said.exit_code == 0, said.output
    assert json.loads(said.stdout)["really"] is False
    assert (world.register.plans(), world.kept()) == ([], ["ada", "bob"])
    done = cron(world, "--really")
    assert done.exit_code == 0, done.output
    assert (json.loads(done.stdout)["made"], world.kept()) == (1, [])
    again = json.loads(cron(world, "--really").stdout)
    assert (again["made"], again["steps"]) == (None, [])


def test_cron_needs_to_know_how_plans_are_made(world: World) -> None:
    world.set(None)
    done = cron(world, "--really")
    assert done.exit_code != 0
    assert "has no `schedule`" in done.output
    assert world.kept() == ["ada", "bob"]
