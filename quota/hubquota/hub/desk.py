"""The hub's way to the ledger: in threads, with a deadline, and never forgetting what has to be written.

The hub is one event loop. A database that is slow or gone must neither hold that loop up nor lose a
charge. So a question that is not answered within the deadline counts as not answered, and whatever it
would have started is undone once it does get through. What only has to be written down (when a lease
began, when it ended) is owed, and tried again until it is.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import cache
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError

from hubquota.hub import metrics
from hubquota.hub.together import LedgerDownError, Together, failed, no_answer
from hubquota.models.ledger import Lease
from hubquota.services.ledger import Ledger, utc_now
from hubquota.services.starts import Start, Started
from hubquota.services.tiersfile import tiers_file
from hubquota.storage.engine import make_engine

__all__ = ["PAUSE", "LedgerDesk", "LedgerDownError", "desk_for"]

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

#: Seconds between a failure and the next try, and between two writings of sightings.
PAUSE = 2.0

_THREADS = 4


class LedgerDesk:
    """One process's access to the ledger from its event loop."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        deadline: float,
        clock: Callable[[], datetime] = utc_now,
        pause: float = PAUSE,
    ) -> None:
        """Serve a ledger.

        Args:
            ledger: the ledger.
            deadline: seconds within which a question has to be answered.
            clock: returns the time now, with its time zone.
            pause: seconds between a failure and the next try.
        """
        self.now = clock
        self._ledger = ledger
        self._deadline = deadline
        self._pause = pause
        # Threads of its own: a database that hangs must not take those that other work needs.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="hubquota")
        self._starts: Together[Start, Started] = Together(
            lambda starts: ledger.start_many(starts),
            threads=self._threads,
            deadline=deadline,
            late=self._nobody_waited,
        )
        self._begins: Together[tuple[int, datetime], Lease] = Together(
            self._begin_many, threads=self._threads, deadline=deadline, late=lambda _: None
        )
        self._owed: deque[tuple[str, Callable[[Ledger], object]]] = deque()
        self._sightings: dict[str, datetime] = {}
        self._writer: asyncio.Task[None] | None = None

    async def ask(self, question: Callable[[Ledger], Answer]) -> Answer:
        """Return the ledger's answer.

        Raises:
            LedgerDownError: there was none within the deadline.
        """
        job = self._threads.submit(question, self._ledger)
        answer = asyncio.wrap_future(job)
        # Whoever gave up never fetches the error; without this the loop complains about it.
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            await asyncio.wait({answer}, timeout=self._deadline)
        except asyncio.CancelledError:
            job.cancel()
            raise
        if not answer.done():
            job.cancel()
            raise no_answer(self._deadline)
        try:
            return answer.result()
        except SQLAlchemyError as error:
            raise failed(error) from error

    def admit(self, start: Start) -> asyncio.Future[Started]:
        """Return what the ledger will have admitted for a start.

        Starts that wait at the same moment are decided together. A lease that comes too late is cancelled.

        It raises:
            LedgerDownError: there was no answer within the deadline.
            Refused: the ledger's answer is no.
        """
        return self._starts.ask(start)

    def _nobody_waited(self, started: Started) -> None:
        self.owe(
            started.key,
            lambda ledger: ledger.cancel(started.lease_id, "Nobody waited for the admission.", "failed"),
        )

    async def begin(self, key: str, lease_id: int, at: datetime) -> None:
        """Write since when a lease runs: now, with others that begin at the same moment, or as soon as it works.

        Args:
            key: the lease's key; as for `settle`.
            lease_id: the lease's number.
            at: since when it runs.
        """
        if any(owed == key for owed, _ in self._owed):
            self.owe(key, lambda ledger: ledger.begin(lease_id, at))
            return
        try:
            await self._begins.ask((lease_id, at))
        except LedgerDownError:
            self.owe(key, lambda ledger: ledger.begin(lease_id, at))
        except asyncio.CancelledError:
            self.owe(key, lambda ledger: ledger.begin(lease_id, at))
            raise

    def _begin_many(self, begun: Sequence[tuple[int, datetime]]) -> list[Lease]:
        found = {lease.id: lease for lease in self._ledger.begin_many(dict(begun))}
        return [found[lease_id] for lease_id, _ in begun]

    async def settle(self, key: str, act: Callable[[Ledger], object]) -> None:
        """Write something about a lease: now, or if that fails, as soon as it works.

        Args:
            key: the lease's key. What is written about one key is written in the order of the calls.
            act: writes it. Has to be harmless when done twice.
        """
        if any(owed == key for owed, _ in self._owed):
            self.owe(key, act)
            return
        try:
            await self.ask(act)
        except LedgerDownError:
            self.owe(key, act)
        except asyncio.CancelledError:
            self.owe(key, act)
            raise

    def owe(self, key: str, act: Callable[[Ledger], object]) -> None:
        """Write something about a lease soon, without waiting for it. As for `settle` otherwise."""
        self._owed.append((key, act))
        metrics.OWED.inc()
        self._wake(0)

    def sighted(self, key: str, at: datetime) -> None:
        """Note that what has this key was seen running; written together with other sightings."""
        self._sightings[key] = at
        self._wake(self._pause)

    def _wake(self, delay: float) -> None:
        if self._writer is None or self._writer.done():
            self._writer = asyncio.get_running_loop().create_task(self._write(delay))

    async def _write(self, delay: float) -> None:
        while True:
            await asyncio.sleep(delay)
            await self._write_sightings()
            await self._write_owed()
            if not self._owed and not self._sightings:
                return
            delay = self._pause

    async def _write_sightings(self) -> None:
        sightings, self._sightings = self._sightings, {}
        if not sightings:
            return
        # All of them ran at the earliest of these times; the exact ones stay with the spawners.
        at = min(sightings.values())
        try:
            await self.ask(lambda ledger: ledger.seen(sightings, at))
        except LedgerDownError:
            self._sightings = sightings | self._sightings

    async def _write_owed(self) -> None:
        while self._owed:
            key, act = self._owed[0]
            try:
                await self.ask(act)
            except LedgerDownError as error:
                log.warning("Something about %s is still to be written: %s", key, error)
                return
            except Exception:
                log.exception("What was owed about %s cannot be written.", key)
            self._owed.popleft()
            metrics.OWED.dec()


@cache
def desk_for(database_url: str, deadline: float, tiers_path: str) -> LedgerDesk:
    """Return this process's desk for a database; all spawners share it."""
    engine = make_engine(database_url, timeout=deadline)
    # The file is read where it is needed: whoever opens a desk does not wait for it.
    return LedgerDesk(Ledger(engine, tiers=lambda: tiers_file(tiers_path).current()), deadline=deadline)
