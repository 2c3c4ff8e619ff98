"""Gives keys out: the same ones to all of a person's processes, until they near their end."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta

from romanhub.broker.minter import Keys, Minter, StorageUnavailableError
from romanhub.broker.policy import session_policy
from romanhub.models.credentials import ScratchPlace
from romanhub.models.datasets import Dataset

log = logging.getLogger(__name__)

#: Keys are given out until so long before their end. AWS's libraries ask for new ones from a quarter of an hour
#: before the end on: those that they are given then have to be new.
MARGIN = timedelta(minutes=20)

#: Keys that somebody asks to be made anew are those that were made so shortly before.
MOMENT = timedelta(minutes=1)

#: How many keys are remembered at once; the oldest make room.
_KEPT = 10_000


class TooManyKeysError(Exception):
    """One person asks for too many different keys within a minute."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Too many different keys were asked for. Try again in {seconds} s.")
        self.seconds = seconds


class Issuer:
    """Remembers keys by their owner and their rights: when the rights change, others are made.

    Use it from one event loop.
    """

    def __init__(
        self,
        minter: Minter,
        *,
        clock: Callable[[], datetime],
        life: timedelta,
        mints_a_minute: int,
        deadline: float,
    ) -> None:
        """Make keys with a minter.

        Args:
            minter: makes keys.
            clock: gives the present time, with its zone.
            life: how long new keys work.
            mints_a_minute: how many new ones a person is given within a minute.
            deadline: how long the minter may take, in seconds.
        """
        self._minter, self._clock, self._deadline = minter, clock, deadline
        # Of keys with a short life, those with a third left are still given out.
        self._margin = min(MARGIN, life / 3)
        self._limit = mints_a_minute
        self._kept: OrderedDict[str, tuple[Keys, datetime]] = OrderedDict()
        self._making: dict[str, asyncio.Task[Keys]] = {}
        self._made: dict[str, deque[datetime]] = {}

    async def keys(
        self,
        person: str,
        datasets: Mapping[str, Dataset],
        scratch: Mapping[str, ScratchPlace],
        *,
        anew: bool = False,
    ) -> Keys:
        """Return keys for what a person may use.

        With `anew`, those that are remembered are not given out again, unless they were made a moment ago.

        Raises PolicyTooLongError, TooManyKeysError and StorageUnavailableError.
        """
        policy = session_policy(datasets, scratch)
        which = hashlib.sha256(f"{person}\0{policy}".encode()).hexdigest()
        kept = self._kept.get(which)
        if kept is not None:
            keys, made = kept
            now = self._clock()
            if (now - made < MOMENT) if anew else (keys.expiration - now > self._margin):
                return keys
        # However many ask at once, one question goes to the storage.
        task = self._making.get(which)
        if task is None:
            self._count(person)
            task = asyncio.create_task(self._make(person, policy, which))
            self._making[which] = task
            task.add_done_callback(lambda _: self._making.pop(which, None))
        return await asyncio.shield(task)

    def forget(self, people: Collection[str]) -> None:
        """Forget how often these people asked."""
        for person in people:
            self._made.pop(person, None)

    def _count(self, person: str) -> None:
        now = self._clock()
        made = self._made.setdefault(person, deque())
        while made and now - made[0] >= timedelta(minutes=1):
            made.popleft()
        if len(made) >= self._limit:
            raise TooManyKeysError(int((made[0] + timedelta(minutes=1) - now).total_seconds()) + 1)
        made.append(now)
        if len(self._made) > _KEPT:
            self.forget([one for one, times in self._made.items() if now - times[-1] >= timedelta(minutes=1)])

    async def _make(self, person: str, policy: str, which: str) -> Keys:
        try:
            made = await asyncio.wait_for(asyncio.to_thread(self._minter.mint, person, policy), self._deadline)
        except TimeoutError:
            raise StorageUnavailableError("the storage did not answer in time") from None
        self._kept[which] = made, self._clock()
        self._kept.move_to_end(which)
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        log.info("%s was given keys until %s.", person, made.expiration)
        return made
