"""Scratch, and what was read of the data, as pages and API have them."""

from __future__ import annotations

from datetime import datetime

from hubquota.models.scratch import Quote, Scratch, UnknownScratchError
from hubquota.services.reads import DataRead, DataReads
from hubquota.services.scratch import ScratchSpaces

from romanhub.portal.auth import Visitor
from romanhub.portal.desk import Desk

#: Of how many days what was read is shown, today among them.
DAYS = 30


class Scratching:
    """Acts of people on scratch of accounts that they may draw on. All raise LedgerUnavailableError."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._spaces = ScratchSpaces.sharing(desk.ledger)
        self._reads = DataReads.sharing(desk.ledger)

    async def spaces(self, visitor: Visitor) -> list[Scratch]:
        """Return the scratch spaces of the accounts that somebody may draw on."""
        return await self._desk.ask(lambda: self._spaces.of_person(visitor.name))

    async def accounts(self, visitor: Visitor) -> list[str]:
        """Return the accounts that somebody may draw on."""
        found = await self._desk.ask(lambda: self._spaces.drawable(visitor.name))
        return [summary.account.name for summary in found]

    async def one(self, visitor: Visitor, number: int) -> Scratch:
        """Return a scratch space; raises UnknownScratchError where there is none of that number for them."""
        for found in await self.spaces(visitor):
            if found.id == number:
                return found
        raise UnknownScratchError(f"There is no scratch space {number} on an account of yours.")

    async def quote(self, gib: int, days: int) -> Quote:
        """Return what a scratch space would cost."""
        return await self._desk.ask(lambda: self._spaces.quote(self._desk.tiers, gib, days))

    async def make(self, visitor: Visitor, *, account: str | None, name: str, gib: int, days: int) -> Scratch:
        """Make a scratch space; raises what `ScratchSpaces.make` raises."""
        return await self._desk.act(
            lambda: self._spaces.make(
                self._desk.tiers, account or visitor.name, person=visitor.name, name=name, gib=gib, days=days
            )
        )

    async def extend(self, visitor: Visitor, number: int, *, days: int, end_seen: datetime | None) -> Scratch:
        """Put off the end of a scratch space; raises what `one` and `ScratchSpaces.prolong` raise."""
        one = await self.one(visitor, number)
        return await self._desk.act(
            lambda: self._spaces.prolong(
                self._desk.tiers, one.id, days=days, person=visitor.name, end_seen=end_seen
            )
        )

    async def release(self, visitor: Visitor, number: int) -> Scratch:
        """End a scratch space now; raises what `one` raises."""
        one = await self.one(visitor, number)
        return await self._desk.act(lambda: self._spaces.release(one.id, person=visitor.name))

    async def read(self, visitor: Visitor) -> list[DataRead]:
        """Return what somebody's programs reported of what they read, in the last days."""
        return await self._desk.ask(lambda: self._reads.of_person(visitor.name, DAYS))
