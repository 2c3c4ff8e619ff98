"""What people change through the portal: pages and API do the same acts over the same services."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Literal, TypeVar

from hubquota.models.ledger import Account, Allocation, Role
from hubquota.models.reading import AccountQuery
from hubquota.models.requests import Actor, Request
from hubquota.services.bulk import BulkAct, BulkResult, BulkRow
from hubquota.services.decisions import DecisionResult, DecisionRow, Verdict

from romanhub.portal.auth import Visitor
from romanhub.portal.desk import Desk
from romanhub.portal.problems import invalid

_Thing = TypeVar("_Thing")

#: How many accounts one act may be for. The plan goes with the form, which has room for so many.
MOST_AT_ONCE = 10_000

#: How many of them the ledger is asked about at once.
_BATCH = 200

#: What is done to an allocation for a reason alone.
Switch = Literal["suspend", "resume", "revoke"]


def actor_of(visitor: Visitor) -> Actor:
    """Return a visitor as the ledger knows who acts."""
    return Actor(visitor.name, admin=visitor.admin)


class Acts:
    """Acts on the ledger; whoever calls has checked that the visitor may. All raise LedgerUnavailableError."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    # Requests ----------------------------------------------------------------------------------------

    async def ask(
        self,
        visitor: Visitor,
        *,
        account: str | None,
        tier: str | None,
        units: int | None,
        justification: str,
        results: str = "",
        renews: int | None = None,
    ) -> Request:
        """Ask for an allocation, or for one that follows another. A person's account is opened if need be.

        Raises what `Requests.ask` and `Requests.renew` raise, and PortalError where the tier is unknown.
        """
        by, tiers = actor_of(visitor), self._desk.tiers
        if renews is not None:
            number = renews
            return await self._desk.act(
                lambda: self._desk.requests.renew(
                    number, justification=justification, results=results, by=by, units=units
                )
            )
        if tier not in tiers.tiers:
            raise invalid(f"There is no tier '{tier or ''}'. The tiers are {', '.join(tiers.tiers)}.")
        name, wanted = account or visitor.name, tier

        def asking() -> Request:
            if name == visitor.name and visitor.kind == "user" and self._desk.ledger.account(name) is None:
                first = tiers.tier_for(visitor.groups)
                terms = tiers.tiers[first]
                self._desk.ledger.open_account(
                    name, first, terms.budget_units, actor="portal",
                    term_days=terms.term_days, renewable=terms.renewable,
                )  # fmt: skip
            budget = tiers.tiers[wanted].budget_units
            return self._desk.requests.ask(
                name, wanted, budget if units is None else units, justification=justification, by=by
            )

        return await self._desk.act(asking)

    async def approve(
        self,
        visitor: Visitor,
        number: int,
        *,
        reason: str,
        units: int | None = None,
        tier: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> Request:
        """Grant a request, perhaps cut; raises what `Requests.approve` raises.

        Where no end is given, the term is the tier's, from its start on.
        """
        tiers = self._desk.tiers

        def approving() -> Request:
            request = self._desk.requests.request(number)
            terms = tiers.tiers.get(tier or request.tier)
            if terms is None:
                raise ValueError(f"There is no tier '{tier or request.tier}' any more. Choose another one.")
            if start is None:
                _, ends = self._desk.requests.term_of(request, terms.term_days)
            else:
                ends = start + timedelta(days=terms.term_days)
            return self._desk.requests.approve(
                number, by=actor_of(visitor), reason=reason, end=end or ends, start=start, units=units, tier=tier,
                renewable=terms.renewable,
            )  # fmt: skip

        return await self._desk.act(approving)

    async def deny(self, visitor: Visitor, number: int, *, reason: str) -> Request:
        """Turn a request down; raises what `Requests.deny` raises."""
        return await self._desk.act(lambda: self._desk.requests.deny(number, by=actor_of(visitor), reason=reason))

    async def waiting(self) -> list[int]:
        """Return the numbers of all requests that wait; raises PortalError where they are too many."""
        found = await self._desk.ask(lambda: self._desk.requests.queue(limit=MOST_AT_ONCE + 1))
        if len(found) > MOST_AT_ONCE:
            raise invalid(f"More than {MOST_AT_ONCE:,} requests wait. Decide about those of a page at a time.")
        return [one.id for one in found]

    async def preview_decisions(self, numbers: Sequence[int], verdict: Verdict) -> list[DecisionRow]:
        """Return what a decision about many requests would come to."""
        rows: list[DecisionRow] = []
        for some in batched(numbers):
            rows += await self._desk.ask(partial(self._desk.decisions.preview, some, verdict, self._desk.tiers))
        return rows

    async def decide(
        self, visitor: Visitor, plan: Sequence[tuple[int, datetime | None]], verdict: Verdict, *, reason: str
    ) -> list[DecisionResult]:
        """Decide as a preview showed it. Done again, it goes on where it was."""
        by, given, results = actor_of(visitor), given_reason(reason), list[DecisionResult]()
        for some in batched(plan):
            results += await self._desk.act(
                partial(self._desk.decisions.carry_out, some, verdict, self._desk.tiers, by=by, reason=given)
            )
        return results

    async def withdraw(self, visitor: Visitor, number: int, *, reason: str = "") -> Request:
        """Take a request back; raises what `Requests.withdraw` raises."""
        return await self._desk.act(
            lambda: self._desk.requests.withdraw(number, by=actor_of(visitor), reason=reason)
        )

    # Allocations -------------------------------------------------------------------------------------

    async def grant(
        self,
        visitor: Visitor,
        account: str,
        units: int,
        *,
        reason: str,
        key: str,
        tier: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        term_days: int | None = None,
        renewable: bool = False,
    ) -> Allocation:
        """Open an allocation; raises what `Allocations.grant` raises, and PortalError for an unknown tier."""
        if tier is not None:
            self._desk.tier(tier)
        return await self._desk.act(
            lambda: self._desk.ledger.grant(
                account, units, actor=visitor.name, reason=given_reason(reason), key=key,
                tier=tier, start=start, end=end, term_days=term_days, renewable=renewable,
            )
        )  # fmt: skip

    async def supplement(self, visitor: Visitor, number: int, units: int, *, reason: str, key: str) -> Allocation:
        """Add credits; raises what `Allocations.supplement` raises."""
        return await self._desk.act(
            lambda: self._desk.ledger.supplement(
                number, units, actor=visitor.name, reason=given_reason(reason), key=key
            )
        )

    async def extend(
        self, visitor: Visitor, number: int, end: datetime | None, *, reason: str, key: str
    ) -> Allocation:
        """Move the end; raises what `Allocations.extend_term` raises."""
        return await self._desk.act(
            lambda: self._desk.ledger.extend_term(
                number, end, actor=visitor.name, reason=given_reason(reason), key=key
            )
        )

    async def transfer(
        self, visitor: Visitor, source: int, target: int, units: int, *, reason: str, key: str
    ) -> tuple[Allocation, Allocation]:
        """Move credits; raises what `Allocations.transfer` raises."""
        return await self._desk.act(
            lambda: self._desk.ledger.transfer(
                source, target, units, actor=visitor.name, reason=given_reason(reason), key=key
            )
        )

    async def switch(self, visitor: Visitor, number: int, what: Switch, *, reason: str, key: str) -> Allocation:
        """Suspend, resume or revoke; raises what those of `Allocations` raise."""
        ledger = self._desk.ledger
        call: Callable[..., Allocation] = {
            "suspend": ledger.suspend, "resume": ledger.resume, "revoke": ledger.revoke
        }[what]  # fmt: skip
        return await self._desk.act(lambda: call(number, actor=visitor.name, reason=given_reason(reason), key=key))

    async def correct(self, visitor: Visitor, number: int, units: int, *, reason: str, key: str) -> Allocation:
        """Post a correction; raises what `Allocations.correct` raises."""

        def correcting() -> Allocation:
            account = self._desk.ledger.allocation(number).account
            return self._desk.ledger.correct(
                account, units, actor=visitor.name, reason=given_reason(reason), key=key, allocation_id=number
            )

        return await self._desk.act(correcting)

    # Projects and many accounts ----------------------------------------------------------------------

    async def open_project(self, visitor: Visitor, name: str, *, tier: str, pi: str) -> Account:
        """Open a project; raises what `Opening.open_project` raises, and PortalError for an unknown tier."""
        self._desk.tier(tier)
        return await self._desk.act(lambda: self._desk.ledger.open_project(name, tier, pi=pi, actor=visitor.name))

    async def set_member(self, visitor: Visitor, project: str, member: str, role: Role | None) -> None:
        """Change who is in a project; raises what `Projects.change_member` raises."""
        await self._desk.act(
            lambda: self._desk.projects.change_member(project, member, role, by=actor_of(visitor))
        )

    async def matching(self, query: AccountQuery) -> list[str]:
        """Return the names of all accounts that a query finds; raises PortalError where there are too many."""
        names: list[str] = []
        after: str | None = None
        while True:
            found, after = await self._desk.ask(
                partial(self._desk.bulk.matching, query, limit=_BATCH, after=after)
            )
            names += found
            if after is None:
                return names
            if len(names) >= MOST_AT_ONCE:
                raise invalid(
                    f"The search finds more than {MOST_AT_ONCE:,} accounts, and no more are changed at once. "
                    "Narrow it, by tier or by a part of the name, and take one part after the other."
                )

    async def preview(self, names: Sequence[str], act: BulkAct) -> list[BulkRow]:
        """Return what an act on many accounts would change."""
        rows: list[BulkRow] = []
        for some in batched(names):
            rows += await self._desk.ask(partial(self._desk.bulk.preview, some, act))
        return rows

    async def apply(
        self, visitor: Visitor, plan: Sequence[tuple[int, datetime | None]], act: BulkAct, *, reason: str, key: str
    ) -> list[BulkResult]:
        """Do what a preview showed. Done again with the same key, it goes on where it was."""
        results: list[BulkResult] = []
        for some in batched(plan):
            results += await self._desk.act(
                partial(self._desk.bulk.apply, some, act, actor=visitor.name, reason=given_reason(reason), key=key)
            )
        return results


def batched(things: Sequence[_Thing]) -> Iterator[Sequence[_Thing]]:
    """Yield things in parts that the ledger answers within a deadline."""
    for begin in range(0, len(things), _BATCH):
        yield things[begin : begin + _BATCH]


def given_reason(text: str) -> str:
    """Return a reason without blanks around it; raises ValueError where there is none."""
    if not text.strip():
        raise ValueError("Say why: the reason is kept with the act, and the account's owner reads it.")
    return text.strip()
