"""The purge by itself: once a day it makes a plan, where the settings say so, and carries out what is approved."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine

from hubquota.models import letters
from hubquota.models.purge import Plan, PurgeError
from hubquota.models.purge_settings import PurgeSettings, Schedule
from hubquota.models.requests import Actor
from hubquota.services.base import Service, utc_now
from hubquota.services.purge import Purge, Step
from hubquota.storage import notices
from hubquota.storage.engine import decision

log = logging.getLogger(__name__)

#: Who makes and, without a review, approves plans.
BY_ITSELF = Actor("hubquota", admin=True)

#: A plan that waits is looked for among so many of the newest.
_NEWEST = 20


@dataclass(frozen=True, slots=True)
class Run:
    """What a day's run did."""

    #: The plan that it made; None for none.
    made: int | None
    #: Whether that plan was approved without a review.
    approved: bool
    steps: tuple[Step, ...]


class ScheduledPurge(Service):
    """Runs the purge once a day. What is due follows from dates alone, so a run more or less changes nothing."""

    def __init__(
        self,
        engine: Engine,
        settings: Callable[[], PurgeSettings],
        purge: Callable[[PurgeSettings], Purge],
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """Use a ledger's database.

        Args:
            engine: from `hubquota.storage.make_engine`.
            settings: returns what the settings file says now.
            purge: returns a purge with those settings and their adapters.
            clock: returns the time now, with its time zone.
        """
        super().__init__(engine, clock)
        self._settings, self._purge = settings, purge
        self._last: datetime | None = None

    def run_due(self) -> Run | None:
        """Do a day's run, where its time has come and it was not done yet; None where nothing was to be done.

        After a start it is done at once: the platform may have been down at the time.

        Raises:
            SettingsFileError: the settings file cannot be used.
            PurgeError: more is due at once than the limits allow; nothing was taken.
            SQLAlchemyError: the ledger's database did not answer.
        """
        settings, now = self._settings(), self._clock()
        if settings.schedule is None:
            return None
        due = latest_time(settings.schedule, now)
        if self._last is not None and self._last >= due:
            return None
        # Whatever comes of it, it is not tried again before tomorrow: plans wait, and notices name days.
        self._last = now
        purge = self._purge(settings)
        made, approved = None, False
        if settings.schedule.plans != "none":
            made, approved = self._plan(purge, settings, settings.schedule)
        return Run(made, approved, tuple(purge.advance(dry_run=False)))

    def _plan(self, purge: Purge, settings: PurgeSettings, schedule: Schedule) -> tuple[int | None, bool]:
        if any(self._waits(plan, settings) for plan in purge.plans(limit=_NEWEST)):
            # Whoever reads it now is to find the same plan tomorrow.
            return None, False
        draft = purge.plan(by=BY_ITSELF, dry_run=False)
        for problem in draft.problems:
            log.warning("Something could not be looked at for a plan of the purge: %s", problem)
        if draft.plan is None:
            return None, False
        plan, _ = purge.read(draft.plan)
        if schedule.plans == "unreviewed":
            try:
                purge.approve(plan.id, by=BY_ITSELF, digest=plan.digest)
            except PurgeError as error:
                log.warning("A plan of the purge waits for a review: %s", error)
            else:
                return plan.id, True
        good_until = plan.made_at + timedelta(days=settings.plan_days)
        letter = letters.purge_waits(plan.id, plan.accounts, plan.items, good_until)
        with decision(self._engine) as connection:
            notices.post(connection, [(letters.ADMINS, letter)], at=self._now())
        return plan.id, False

    def _waits(self, plan: Plan, settings: PurgeSettings) -> bool:
        young = self._clock() < plan.made_at + timedelta(days=settings.plan_days)
        return plan.approved_at is None and plan.closed_reason is None and young


def latest_time(schedule: Schedule, now: datetime) -> datetime:
    """Return the last moment up to now at which a schedule's time of day was."""
    hour, _, minute = schedule.daily_at.partition(":")
    today = now.astimezone(UTC).replace(hour=int(hour), minute=int(minute), second=0, microsecond=0)
    return today if today <= now else today - timedelta(days=1)
