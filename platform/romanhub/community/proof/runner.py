"""What takes runs from the queue: it starts a server for each, stops it afterwards, and tells what came of it.

All that it knows is in the database and at the hub. It may be killed at any point, and another one goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from hubquota.hub.keys import server_key
from hubquota.models.ledger import Lease
from hubquota.services.ledger import Ledger
from hubquota.services.tiersfile import TiersFile
from sqlalchemy.exc import SQLAlchemyError

from romanhub.community.proof import telling
from romanhub.community.proof.hub import HubDownError, ServerState, StartRefusedError
from romanhub.community.proof.needs import Offer
from romanhub.community.proof.queue import Queue
from romanhub.models.runs import COMMUNITY_ROBOT, Outcome, Purpose, Run, short

log = logging.getLogger(__name__)

#: How often it looks, in seconds.
LOOK = 1.0

#: A server is stopped so many seconds after what its notebook may take, if nothing was heard of it.
GRACE = 300


class Servers(Protocol):
    """What the runner asks of the hub; see `HubServers`."""

    async def ensure_user(self, name: str) -> None:
        """Make a user where there is none."""

    async def start(self, person: str, server: str, options: dict[str, str]) -> None:
        """Start a server."""

    async def state(self, person: str, server: str) -> ServerState:
        """Return where a server is."""

    async def why(self, person: str, server: str) -> str:
        """Return what is said of a start that failed."""

    async def stop(self, person: str, server: str) -> bool:
        """Stop a server; return whether it is gone."""


class Runner:
    """Runs what is in a queue.

    Parameters
    ----------
    queue
        The queue.
    servers
        The hub.
    ledger
        Knows what a run cost, and posts notices.
    tiers
        The tiers file, for the robot's account.
    clock
        Gives the time, with its zone.
    hub_name
        The hub's name in the ledger, where several share one.
    image
        What the image is called that everybody has; empty where that is not known.
    images
        The other images that the hub starts servers of the robot's in, besides those of the settings.
    """

    def __init__(
        self,
        queue: Queue,
        servers: Servers,
        ledger: Ledger,
        tiers: TiersFile,
        clock: Callable[[], datetime],
        *,
        hub_name: str = "",
        image: str = "",
        images: tuple[str, ...] = (),
    ) -> None:
        self._queue = queue
        self._servers = servers
        self._ledger = ledger
        self._tiers = tiers
        self._clock = clock
        self._hub_name = hub_name
        self._image, self._images = image, images
        self._ready = False

    async def forever(self, wait: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
        """Go on until cancelled; what does not answer is asked again."""
        surveyed: datetime | None = None
        every = timedelta(seconds=self._queue.settings.survey_seconds)
        while True:
            try:
                if surveyed is None or self._clock() - surveyed >= every:
                    await self.survey()
                    surveyed = self._clock()
                await self.step()
            except (HubDownError, SQLAlchemyError) as error:
                log.warning("Not now: %s", error)
            await wait(LOOK)

    async def survey(self) -> None:
        """Queue what is due, and tell authors of what has become stale. Raises what `step` raises."""
        offer = Offer(self._tiers.current(), self._queue.settings, self._image, self._images)
        for one, why in await asyncio.to_thread(self._queue.schedule, offer):
            letter = telling.of_refusal(one, why)
            await asyncio.to_thread(partial(self._ledger.tell, one.owner, **letter, optional=True))
            await asyncio.to_thread(self._queue.refuse, one, why)
        await self._tell_authors(None)

    async def step(self) -> None:
        """Do what is to be done now.

        Raises
        ------
        HubDownError
            The hub does not answer.
        SQLAlchemyError
            A database does not answer.
        """
        await self._prepare()
        for run in await asyncio.to_thread(self._queue.unsettled):
            if run.ended_at is None:
                await self._watch(run)
            else:
                await self._settle(run)
        taken = await asyncio.to_thread(self._queue.claim)
        # Each is noted already; a start that is cut short is found by the next look.
        for result in await asyncio.gather(*(self._start(run) for run in taken), return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def _prepare(self) -> None:
        """See that the robot is there, with an account on its own tier."""
        if self._ready:
            return
        await self._servers.ensure_user(COMMUNITY_ROBOT)
        name, tiers = self._queue.settings.tier, self._tiers.current()
        if (tier := tiers.tiers.get(name)) is None:
            log.error("There is no tier %s, so the robot's account is opened like anybody's.", name)
        else:
            await asyncio.to_thread(
                self._ledger.open_account,
                COMMUNITY_ROBOT,
                name,
                tier.budget_units,
                actor="runner",
                term_days=tier.term_days,
                renewable=tier.renewable,
            )
        self._ready = True

    async def _start(self, run: Run) -> None:
        assert run.server is not None
        named = {"size": run.size, "account": run.account, "image": run.image}
        options = {name: value for name, value in named.items() if value}
        try:
            await self._servers.start(run.person, run.server, options)
        except StartRefusedError as refused:
            await asyncio.to_thread(self._queue.ended, run.id, Outcome.REFUSED, str(refused))
        except HubDownError as error:
            log.warning("The server of run %s could not be started: %s", run.id, error)
            # It may have been started all the same: the next look tells.

    async def _watch(self, run: Run) -> None:
        """See how a run that has not ended fares."""
        assert run.server is not None and run.started_at is not None
        settings = self._queue.settings
        state = await self._servers.state(run.person, run.server)
        if state is ServerState.ABSENT and run.lease is None:
            # Nothing ran, so it can be begun again.
            why = await self._servers.why(run.person, run.server)
            await self._servers.stop(run.person, run.server)
            await asyncio.to_thread(self._queue.came_to_nothing, run, short(why or "Its server did not start."))
            return
        if state is ServerState.ABSENT and run.lease is not None:
            lease = await asyncio.to_thread(self._ledger.lease, run.lease)
            reason = f" {lease.reason}" if lease is not None and lease.reason else ""
            text = f"Its server ended before the notebook had.{reason}"
            await asyncio.to_thread(self._queue.ended, run.id, Outcome.LOST, short(text))
            return
        if state is ServerState.READY and run.lease is None:
            await self._note_lease(run)
        limit = settings.own_seconds if run.purpose is Purpose.OWN else settings.seconds
        if self._clock() - run.started_at > timedelta(seconds=settings.start_seconds + limit + GRACE):
            text = "Nothing was heard of it for longer than it may take."
            await asyncio.to_thread(self._queue.ended, run.id, Outcome.FAILED, text)

    async def _note_lease(self, run: Run) -> Lease | None:
        assert run.server is not None
        key = server_key(run.person, run.server, self._hub_name)
        lease = await asyncio.to_thread(self._ledger.open_lease, key)
        if lease is not None and lease.started_at is not None:
            await asyncio.to_thread(self._queue.started, run.id, lease.id)
            return lease
        return None

    async def _settle(self, run: Run) -> None:
        """Stop the server of a run that has ended; once it is gone, note what it cost and tell."""
        assert run.server is not None
        number = run.lease
        if number is None and (noted := await self._note_lease(run)) is not None:
            number = noted.id
        if not await self._servers.stop(run.person, run.server):
            return
        cost: int | None = None
        if number is not None:
            lease = await asyncio.to_thread(self._ledger.lease, number)
            if lease is not None and lease.is_open:
                return  # its end is on its way to the ledger
            cost = None if lease is None else lease.charged
        # Told before it is noted: a notice of a key is posted once, however often it is tried.
        if run.purpose is Purpose.OWN:
            (after,) = await asyncio.to_thread(self._queue.many, [run.id])
            letter = telling.of_own(replace(after, credits=cost))
            await asyncio.to_thread(partial(self._ledger.tell, run.person, **letter, optional=True))
        elif run.purpose is Purpose.REGULAR and run.entry_id is not None:
            await self._tell_authors({run.entry_id})
        await asyncio.to_thread(self._queue.settle, run.id, cost)

    async def _tell_authors(self, entry_ids: set[int] | None) -> None:
        for one, found in await asyncio.to_thread(self._queue.changes, entry_ids):
            if (letter := telling.of_entry(one, found)) is not None:
                await asyncio.to_thread(partial(self._ledger.tell, one.owner, **letter, optional=True))
            await asyncio.to_thread(self._queue.noted, one.id, found.proof)
