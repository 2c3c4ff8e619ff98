"""Noting in the ledger when schedulers and workers began and ended, by their pods' own times, once each."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from dask_gateway_server.backends.base import PublicException
from dask_gateway_server.workqueue import Backoff, WorkQueue, WorkQueueClosed
from hubquota.models.stops import EndKind

from romanhub.kubernetes.lives import End, Life

log = logging.getLogger(__name__)

#: How long to wait before the ledger is told again what it did not take, in seconds: at first, and at most.
FIRST, LONGEST = 0.5, 15.0


class Notes(Protocol):
    """What takes begins and ends: the policy."""

    async def began(self, lease: int, at: datetime) -> bool:
        """Note since when a worker runs. Return False where its lease is not open any more."""

    async def ended(self, lease: int, at: datetime | None, why: str, kind: EndKind | None = None) -> None:
        """Close a worker's lease."""

    async def cluster_began(self, cluster: str, at: datetime) -> None:
        """Note since when a cluster's scheduler runs."""

    async def cluster_ended(
        self, cluster: str, at: datetime | None, *, failed: bool, why: tuple[str, EndKind] | None = None
    ) -> None:
        """Close a cluster's lease."""


@dataclass
class _Noted:
    began: bool = False
    ended: bool = False


class Clerk:
    """Tells the ledger of each pod's begin and end; again and again until it has taken them."""

    def __init__(
        self,
        notes: Notes,
        why: Callable[[Life], End],
        asked: Callable[[str], bool],
        unpaid: Callable[[Life], None],
        first: float = FIRST,
    ) -> None:
        """Note in a ledger.

        Args:
            notes: the policy.
            why: returns why a pod has ended, all in all.
            asked: returns whether somebody asked for a cluster's end, by its name.
            unpaid: ends a worker whose lease is not open any more: nobody would pay for it.
            first: how long to wait before the ledger is told again what it did not take, in seconds.
        """
        self._notes, self._why, self._asked, self._unpaid = notes, why, asked, unpaid
        self._queue = WorkQueue(backoff=Backoff(base_delay=first, max_delay=LONGEST))
        self._latest: dict[str, Life] = {}
        self._noted: dict[str, _Noted] = {}
        self._gone: set[str] = set()

    def take(self, life: Life, *, gone: bool = False) -> None:
        """Take what is known of a pod by now, and whether nothing more will be."""
        pod = f"{life.cluster}/{life.pod}"
        self._noted.setdefault(pod, _Noted())
        before = self._latest.get(pod)
        if before is None or before.end is None:
            # The first end stands: of a pod that is removed after it less is known.
            self._latest[pod] = life
        if gone:
            self._gone.add(pod)
        self._queue.put(pod)

    def noting(self) -> set[str]:
        """Return the keys of the leases whose end is known and not noted yet."""
        return {
            life.key for pod, life in self._latest.items() if life.end is not None and not self._noted[pod].ended
        }

    def has_closed(self, life: Life) -> bool:
        """Return whether a pod's end was noted: where it runs all the same, nobody pays for it."""
        noted = self._noted.get(f"{life.cluster}/{life.pod}")
        return noted is not None and noted.ended

    async def run(self) -> None:
        """Note until cancelled. What the ledger does not take now it is told later."""
        while True:
            try:
                pod = await self._queue.get()
            except WorkQueueClosed:
                return
            try:
                if pod in self._latest:
                    await self._note(self._latest[pod], self._noted[pod])
            except PublicException as refused:
                log.warning("What %s ran is noted later: %s", pod, refused)
                self._queue.put_backoff(pod)
            except Exception:
                log.exception("What %s ran could not be noted", pod)
                self._queue.put_backoff(pod)
            else:
                self._queue.reset_backoff(pod)
                if pod in self._gone and (noted := self._noted.get(pod)) is not None and noted.ended:
                    self._gone.discard(pod)
                    del self._latest[pod], self._noted[pod]
            finally:
                self._queue.task_done(pod)

    async def _note(self, life: Life, noted: _Noted) -> None:
        if life.worker:
            await self._note_worker(life, noted)
        else:
            await self._note_scheduler(life, noted)

    async def _note_worker(self, life: Life, noted: _Noted) -> None:
        if life.lease is None:
            noted.ended = life.end is not None
            if life.runs or life.waits:
                self._unpaid(life)
            return
        if life.began is not None and not noted.began:
            taken = await self._notes.began(life.lease, life.began)
            noted.began = True
            if not taken and life.runs:
                self._unpaid(life)
        if life.end is not None and not noted.ended:
            end = self._why(life)
            await self._notes.ended(life.lease, life.ended, end.reason, end.kind)
            noted.ended = True

    async def _note_scheduler(self, life: Life, noted: _Noted) -> None:
        if life.began is not None and not noted.began:
            await self._notes.cluster_began(life.cluster, life.began)
            noted.began = True
        if life.end is not None and not noted.ended:
            asked = self._asked(life.cluster)
            own = None if asked or life.end.kind is None or not life.end.own else (life.end.reason, life.end.kind)
            await self._notes.cluster_ended(life.cluster, life.ended, failed=not asked, why=own)
            noted.ended = True
