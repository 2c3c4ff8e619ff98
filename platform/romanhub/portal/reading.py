"""Who may read what of the ledger, and reading it for pages and API alike.

People read their own account, and what they share of projects they are members of: its balance, allocations
and burn-down. Its PIs read all of it. Auditors and administrators read everything.
"""

from __future__ import annotations

from hubquota.models.burndown import BurnDown
from hubquota.models.ledger import Allocation, Explanation, Lease, UnknownAccountError
from hubquota.models.reading import ChargesPage, History, MemberUse
from hubquota.models.requests import Request

from romanhub.portal.auth import NotAllowedError, Visitor
from romanhub.portal.desk import Desk


class Reading:
    """Reads what a visitor may read; every method raises LedgerUnavailableError."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def account(self, visitor: Visitor, name: str | None, *, whole: bool = True) -> str:
        """Return the name of the account that is asked about: the visitor's own if none is named.

        Args:
            visitor: who asks.
            name: the account's name, or None.
            whole: whether all of it is asked for: a project's members read a part, its PIs the whole.

        Raises:
            NotAllowedError: the visitor may not read it.
            UnknownAccountError: they may, and there is none.
        """
        wanted = visitor.name if name is None else name
        if visitor.auditor:
            return wanted
        if visitor.kind != "user":
            raise NotAllowedError(f"{visitor.name} is a service of the hub, and only people have accounts.")

        def may() -> bool:
            found = self._desk.ledger.account(wanted)
            if wanted == visitor.name and (found is None or found.kind == "user"):
                return True
            role = self._desk.projects.role(wanted, visitor.name)
            return role == "pi" or (role == "member" and not whole)

        if not await self._desk.ask(may):
            raise NotAllowedError(
                "Only the people who run this platform may read other people's accounts. "
                f"{visitor.name} is not a PI of a project of the name {wanted}."
            )
        return wanted

    async def allocations(self, name: str, *, lapsed: bool = False) -> list[Allocation]:
        """Return an account's allocations in the order in which they are spent; raises UnknownAccountError."""
        return await self._desk.ask(lambda: self._desk.ledger.allocations(name, lapsed=lapsed))

    async def allocation(self, visitor: Visitor, number: int) -> Allocation:
        """Return an allocation; raises UnknownAllocationError and NotAllowedError."""
        found = await self._desk.ask(lambda: self._desk.ledger.allocation(number))
        await self.account(visitor, found.account, whole=False)
        return found

    async def explanation(self, name: str) -> Explanation:
        """Return why a balance is what it is; raises UnknownAccountError."""
        return await self._desk.ask(lambda: self._desk.ledger.explain(name))

    async def burn_down(self, name: str) -> BurnDown:
        """Return how a balance went and how it goes on; raises UnknownAccountError."""
        return await self._desk.ask(lambda: self._desk.histories.burn_down(name))

    async def history(self, name: str, *, limit: int, before: int | None) -> History:
        """Return an account's story by sessions; raises UnknownAccountError."""
        return await self._desk.ask(lambda: self._desk.histories.history(name, limit=limit, before=before))

    async def session(self, visitor: Visitor, number: int) -> Lease:
        """Return a session; raises UnknownLeaseError and NotAllowedError.

        Whoever ran it may read it, whoever pays for it too.
        """
        found = await self._desk.ask(lambda: self._desk.histories.session(number))
        if found.person != visitor.name or visitor.kind != "user":
            await self.account(visitor, found.account)
        return found

    async def charges(self, number: int, *, limit: int, before: int | None) -> ChargesPage:
        """Return a session's charges, newest first."""
        return await self._desk.ask(lambda: self._desk.histories.charges(number, limit=limit, before=before))

    async def request(self, visitor: Visitor, number: int) -> Request:
        """Return a request; raises UnknownRequestError and NotAllowedError."""
        found = await self._desk.ask(lambda: self._desk.requests.request(number))
        await self.account(visitor, found.account)
        return found

    async def requests(
        self, name: str | None, *, open_only: bool, after: int, limit: int
    ) -> tuple[list[Request], int | None]:
        """Return requests of an account, or of all, and what to pass as `after` for the next page.

        Where somebody has no account yet, they have no requests.
        """

        def read() -> list[Request]:
            try:
                return self._desk.requests.queue(account=name, open_only=open_only, after=after, limit=limit + 1)
            except UnknownAccountError:
                return []

        found = await self._desk.ask(read)
        return found[:limit], found[limit - 1].id if len(found) > limit else None

    async def members(self, project: str) -> list[MemberUse]:
        """Return what everybody has used of a project; raises UnknownAccountError and ImpossibleError."""
        return await self._desk.ask(lambda: self._desk.projects.use(project))
