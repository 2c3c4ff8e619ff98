"""What the hub does while the ledger's database does not answer, if it may: start a little, and post it later."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cache, partial

from hubquota.hub.accounts import open_account_of
from hubquota.hub.desk import PAUSE, LedgerDesk, LedgerDownError, desk_for
from hubquota.models.kinds import SERVER
from hubquota.models.ledger import Limit, Refusal, Refused
from hubquota.models.stops import NOT_STARTED, EndKind
from hubquota.models.tiers import Size, Tiers
from hubquota.models.words import number_text
from hubquota.services.ledger import Ledger
from hubquota.services.tiersfile import TiersFileError, tiers_file
from hubquota.storage.allowance import AllowanceFile, Allowed

log = logging.getLogger(__name__)

_ENOUGH = (
    "The accounts cannot be read at the moment, and you have started as much as is allowed until they can: "
    "{number}. Please try again in a few minutes."
)
_UNWRITABLE = (
    "The accounts cannot be read at the moment, and the hub cannot note what it starts, so no server can be "
    "started. Please try again in a few minutes."
)
#: What is refused for one of these is refused because of where the account is, and not of what was asked for.
_OF_THE_ACCOUNT: frozenset[Limit] = frozenset({"budget", "grace", "suspended", "tier"})
#: That of whoever was given a clean-up server.
_CLEANING_UP = Refusal("grace", "The last term of your account is over; a clean-up server can be started.", True)


class AllowanceDesk:
    """One process's way to the allowance: it grants starts, and posts them when the ledger answers again."""

    def __init__(self, file: AllowanceFile, desk: LedgerDesk, tiers_path: str, *, pause: float = PAUSE) -> None:
        """Serve an allowance.

        Args:
            file: where what was allowed is noted.
            desk: the way to the ledger.
            tiers_path: the tiers file; an account that is to be opened gets its budget from there.
            pause: seconds between a failure and the next try.
        """
        self._file = file
        self._desk = desk
        self._tiers_path = tiers_path
        self._pause = pause
        self._poster: asyncio.Task[None] | None = None
        #: Whether anything was allowed that the ledger may not know of. On nearly every hub nothing was: then no
        #: start looks on the disk.
        self.used = file.path.exists()
        #: What the ledger said last of those who may not start as anybody; None until it was read from the file.
        self._said: dict[str, Refusal] | None = None
        self._reading = asyncio.Lock()

    # What the ledger said ----------------------------------------------------------------------------

    async def said(self, person: str) -> Refusal | None:
        """Return why the ledger last said that somebody may not start as anybody; None if it did not.

        Raises:
            Refused: it cannot be read what it said.
        """
        with self._needed():
            return (await self._all_said()).get(person)

    async def refused(self, person: str, refusal: Refusal) -> None:
        """Note that a start on somebody's own account was refused."""
        if refusal.limit in _OF_THE_ACCOUNT:
            await self._note(person, refusal)

    async def admitted(self, person: str, *, clean_up: bool) -> None:
        """Note that a start on somebody's own account was admitted."""
        # Nearly always there is nothing to note, and every start comes by here.
        if clean_up or self._said is None or person in self._said:
            await self._note(person, _CLEANING_UP if clean_up else None)

    async def offered(self, person: str, refusal: Refusal | None) -> None:
        """Note what the form says of somebody's own account. It says nothing of the balance."""
        await self._note(person, refusal, keep="budget" if refusal is None else None)

    async def _note(self, person: str, refusal: Refusal | None, keep: Limit | None = None) -> None:
        """Note what the ledger said, unless it is known, or what is known is to be kept."""
        try:
            said = await self._all_said()
            known = said.get(person)
            if known == refusal or (known is not None and known.limit == keep):
                return
            if known is not None and known.clean_up and refusal is _CLEANING_UP:
                return
            # It holds in this process even where it cannot be written.
            if refusal is None:
                del said[person]
            else:
                said[person] = refusal
            await asyncio.to_thread(self._file.note, person, refusal)
        except sqlite3.Error as error:
            log.error("%s cannot be written: %s", self._file.path, error)

    async def _all_said(self) -> dict[str, Refusal]:
        async with self._reading:
            if self._said is None:
                self._said = await asyncio.to_thread(self._file.refusals)
                self.used = bool(await asyncio.to_thread(self._file.waiting))
        return self._said

    # What is allowed ---------------------------------------------------------------------------------

    async def allow(
        self, tiers: Tiers, *, person: str, key: str, tier: str, size: Size, label: str
    ) -> Allowed | None:
        """Allow a start without the ledger. Return None where a tier has no allowance.

        Raises:
            Refused: the person has started as much as is allowed, or it cannot be noted.
        """
        limits = tiers.allowance(tier)
        if limits is None:
            return None
        now, self.used = self._desk.now(), True
        with self._needed():
            allowed = await asyncio.to_thread(
                self._file.allow,
                person=person,
                key=key,
                tier=tier,
                label=label,
                rate=size.rate,
                starts=limits.starts,
                now=now,
                stop_at=now + timedelta(minutes=limits.minutes),
            )
        if allowed is None:
            text = _ENOUGH.format(number=number_text(limits.starts, "start"))
            raise Refused(limit="unavailable", message=text)
        log.warning("%s starts without the ledger, until %s.", key, allowed.stop_at)
        self.wake()
        return allowed

    async def begin(self, number: str, at: datetime) -> None:
        """Note since when something runs."""
        await asyncio.to_thread(self._file.begin, number, at)
        self.wake()

    async def end(self, number: str, at: datetime, *, reason: str, kind: EndKind) -> None:
        """Note until when something ran, and why it ended."""
        await asyncio.to_thread(self._file.end, number, at, reason=reason, kind=kind)
        self.wake()

    async def running(self, key: str) -> Allowed | None:
        """Return what runs under a key and the ledger does not know of; None if there is no such thing."""
        found = await asyncio.to_thread(self._file.waiting, key=key) if self.used else []
        if found:
            self.wake()
        return found[-1] if found else None

    async def post(self, person: str | None = None) -> bool:
        """Write to the ledger what it does not know of: everything, or a person's.

        Returns:
            Whether nothing is left to be written. What is about to begin has to wait for that.

        Raises:
            LedgerDownError: the ledger still does not answer.
            Refused: the file cannot be read.
        """
        done = True
        if not self.used:
            return done
        with self._needed():
            waiting = await asyncio.to_thread(self._file.waiting, person=person)
        for allowed in waiting:
            if allowed.started_at is None:
                done = await self._forget(allowed) and done
                continue
            try:
                await self._desk.ask(partial(self._adopt, allowed))
            except (Refused, TiersFileError) as error:
                log.error("What ran as %s cannot be written to the ledger yet: %s", allowed.key, error)
                done = False
                continue
            done = await asyncio.to_thread(self._file.posted, allowed, self._desk.now()) and done
        return done

    async def _forget(self, allowed: Allowed) -> bool:
        """Forget a start that nobody told of again, as after a crash of the hub. Return whether it is forgotten.

        If it runs all the same, the watch finds it running without a lease.
        """
        if self._desk.now() < allowed.stop_at:
            return False
        await asyncio.to_thread(self._file.end, allowed.id, allowed.stop_at, reason=NOT_STARTED, kind="failed")
        return True

    def wake(self) -> None:
        """Begin to post, if there may be something to."""
        if self.used and (self._poster is None or self._poster.done()):
            self._poster = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while True:
            try:
                if await self.post():
                    return
            except (LedgerDownError, Refused, sqlite3.Error) as error:
                log.warning("What ran without the ledger is still to be written: %s", error)
            await asyncio.sleep(self._pause)

    @contextmanager
    def _needed(self) -> Iterator[None]:
        """Turn an error of the file into a refusal: nothing starts that cannot be noted."""
        try:
            yield
        except sqlite3.Error as error:
            log.error("%s cannot be read or written: %s", self._file.path, error)
            raise Refused(limit="unavailable", message=_UNWRITABLE) from error

    def _adopt(self, allowed: Allowed, ledger: Ledger) -> None:
        if allowed.started_at is None:
            return
        tiers = tiers_file(self._tiers_path).current()
        tier = allowed.tier if allowed.tier in tiers.tiers else tiers.first_tier.default
        open_account_of(ledger, tiers, allowed.person, tier, actor="hub")
        ledger.adopt(
            allowed.person,
            person=allowed.person,
            kind=SERVER,
            key=allowed.key,
            label=allowed.label,
            rate=allowed.rate,
            tier=tier,
            started=allowed.started_at,
            ended=allowed.ended_at,
            reason=allowed.reason or "",
            end_kind=allowed.end_kind,
            # What makes a second post of the same harmless, should the hub be killed after the first.
            origin=f"allowance:{allowed.id}",
            priced=True,
            actor="hub",
        )


@cache
def allowance_for(path: str, database_url: str, deadline: float, tiers_path: str) -> AllowanceDesk:
    """Return this process's desk for an allowance; all spawners share it."""
    return AllowanceDesk(AllowanceFile(path), desk_for(database_url, deadline, tiers_path), tiers_path)
