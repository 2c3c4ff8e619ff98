"""The upkeep: what the watch does beside watching. It sees to the ends of terms, sends notices, and purges.

Each has a thread of its own, so that a slow mail server or a large home holds up nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from sqlalchemy.exc import SQLAlchemyError

from hubquota.services.delivery import Delivering
from hubquota.services.purge_schedule import ScheduledPurge
from hubquota.services.terms import Terms

log = logging.getLogger(__name__)


class Rounds:
    """Something that is done again and again, in a thread."""

    #: What it is, in the log.
    name: str
    #: Whether it is waited for at the end; what may be interrupted anywhere is not.
    awaited: bool = True

    def pass_once(self, stop: Event) -> None:
        """Do everything that is due.

        Raises:
            SQLAlchemyError: the ledger's database did not answer.
        """
        raise NotImplementedError

    @contextmanager
    def running(self, stop: Event, interval: float) -> Iterator[None]:
        """Pass at once and then every `interval` seconds until `stop` is set, while the block runs."""
        thread = Thread(target=self._run, args=(stop, interval), name=self.name, daemon=not self.awaited)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            if self.awaited:
                thread.join()

    def _run(self, stop: Event, interval: float) -> None:
        pause = 0.0
        while not stop.wait(pause):
            pause = interval
            try:
                self.pass_once(stop)
            except SQLAlchemyError as error:
                log.warning("The %s will try again in %g s: %s", self.name, interval, error)
            except Exception:
                # Whatever one pass stumbles over, the next one tries again.
                log.exception("A pass of the %s failed; it will try again in %g s.", self.name, interval)


class Upkeep(Rounds):
    """Sweeps the ends of terms and sends notices."""

    name = "upkeep"

    def __init__(self, terms: Terms, delivering: Delivering | None) -> None:
        """Use the services; without one that delivers, notices are shown in the hub only."""
        self._terms = terms
        self._delivering = delivering

    def pass_once(self, stop: Event) -> None:
        """See `Rounds`."""
        log.info("The ends of terms were seen to: %s", self._terms.sweep())
        if self._delivering is not None and not stop.is_set():
            log.info("Notices were sent: %s", self._delivering.deliver(stop=stop.is_set))


class PurgeRounds(Rounds):
    """Purges once a day, where the settings say so."""

    name = "purge"
    # An archive can take hours. A purge may be killed anywhere, and goes on with its next run.
    awaited = False

    def __init__(self, purge: ScheduledPurge) -> None:
        """Use the service."""
        self._purge = purge

    def pass_once(self, _stop: Event) -> None:
        """See `Rounds`."""
        done = self._purge.run_due()
        if done is None:
            return
        failed = [step for step in done.steps if step.failure is not None]
        for step in failed:
            log.warning("%s of %s could not be purged: %s", step.item.name, step.item.account, step.failure)
        made = "none" if done.made is None else f"{done.made}, {'approved' if done.approved else 'to be reviewed'}"
        log.info("The purge has run: a new plan: %s; %d steps, %d failed.", made, len(done.steps), len(failed))
