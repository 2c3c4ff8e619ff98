"""The upkeep: what the watch does beside watching. It sees to the ends of terms, and sends notices.

It has a thread of its own, so that a slow mail server holds up nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from sqlalchemy.exc import SQLAlchemyError

from hubquota.services.delivery import Delivering
from hubquota.services.terms import Terms

log = logging.getLogger(__name__)


class Upkeep:
    """Sweeps the ends of terms and sends notices, again and again."""

    def __init__(self, terms: Terms, delivering: Delivering | None) -> None:
        """Use the services; without one that delivers, notices are shown in the hub only."""
        self._terms = terms
        self._delivering = delivering

    def pass_once(self, stop: Event) -> None:
        """Do everything that is due.

        Raises:
            SQLAlchemyError: the ledger's database did not answer.
        """
        log.info("The ends of terms were seen to: %s", self._terms.sweep())
        if self._delivering is not None and not stop.is_set():
            log.info("Notices were sent: %s", self._delivering.deliver(stop=stop.is_set))

    @contextmanager
    def running(self, stop: Event, interval: float) -> Iterator[None]:
        """Pass at once and then every `interval` seconds until `stop` is set, while the block runs."""
        thread = Thread(target=self._run, args=(stop, interval), name="upkeep")
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _run(self, stop: Event, interval: float) -> None:
        pause = 0.0
        while not stop.wait(pause):
            pause = interval
            try:
                self.pass_once(stop)
            except SQLAlchemyError as error:
                log.warning("The upkeep will try again in %g s: %s", interval, error)
            except Exception:
                # Whatever one pass stumbles over, terms go on ending: the next one tries again.
                log.exception("A pass of the upkeep failed; it will try again in %g s.", interval)
