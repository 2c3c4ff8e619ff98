"""Reading an account: the caller's own, or one that they may read."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from hubquota.models.ledger import Entry

from romanhub.portal.accounts import Accounts
from romanhub.portal.answers import (
    AllocationModel,
    AllocationsModel,
    BurnDownModel,
    ExplanationModel,
    HistoryModel,
    JournalModel,
    allocation_model,
    burn_down_model,
    explanation_model,
    journal_model,
    session_model,
)
from romanhub.portal.api.paging import link_next
from romanhub.portal.auth import Visitor
from romanhub.portal.desk import Desk
from romanhub.portal.gate import Gate
from romanhub.portal.inputs import AccountName, Before, Lines
from romanhub.portal.models import MeModel, StatementModel
from romanhub.portal.problems import described
from romanhub.portal.reading import Reading

_Id = Annotated[int, Path(ge=1, lt=2**63, description="Its number.")]


def routes(gate: Gate, desk: Desk, accounts: Accounts, reading: Reading) -> APIRouter:
    """The routes of one account."""
    router = APIRouter(tags=["account"])
    person, anybody = Depends(gate.person), Depends(gate.anybody)

    @router.get("/me")
    async def me(visitor: Visitor = person) -> MeModel:
        """Who is asking, and what they have."""
        return await accounts.me(visitor)

    @router.get("/statement", responses=described(404))
    async def statement(
        request: Request,
        response: Response,
        limit: Lines = 50,
        before: Before = None,
        account: AccountName = None,
        visitor: Visitor = anybody,
    ) -> StatementModel:
        """An account's balance, what runs now, and the journal, newest first.

        Answers 404 until the person's first start opens their account.
        """
        name = await reading.account(visitor, account)
        found = await accounts.statement(name, limit=limit, before=before)
        link_next(request, response, before=found.next_before)
        return found

    @router.get("/history", responses=described(404))
    async def history(
        request: Request,
        response: Response,
        limit: Lines = 50,
        before: Before = None,
        account: AccountName = None,
        visitor: Visitor = anybody,
    ) -> HistoryModel:
        """An account's story by sessions, newest first: all charges of a session are one line."""
        name = await reading.account(visitor, account)
        found = await reading.history(name, limit=limit, before=before)
        link_next(request, response, before=found.next_before)
        now = desk.clock()
        return HistoryModel(
            lines=tuple(
                journal_model(line) if isinstance(line, Entry) else session_model(line, now)
                for line in found.lines
            ),
            next_before=found.next_before,
        )

    @router.get("/sessions/{number}/charges", responses=described(404))
    async def session_charges(
        request: Request,
        response: Response,
        number: _Id,
        limit: Lines = 50,
        before: Before = None,
        visitor: Visitor = anybody,
    ) -> JournalModel:
        """The charges of one session, newest first: a long one is charged hour by hour."""
        lease = await reading.session(visitor, number)
        found = await reading.charges(lease.id, limit=limit, before=before)
        link_next(request, response, before=found.next_before)
        return JournalModel(
            lines=tuple(journal_model(entry) for entry in found.entries), next_before=found.next_before
        )

    @router.get("/explanation", responses=described(404))
    async def explanation(account: AccountName = None, visitor: Visitor = anybody) -> ExplanationModel:
        """Why the balance is what it is: lines that add up to what can be used now."""
        return explanation_model(await reading.explanation(await reading.account(visitor, account)))

    @router.get("/burn-down", responses=described(404))
    async def burn_down(account: AccountName = None, visitor: Visitor = anybody) -> BurnDownModel:
        """How the balance went in the last month, and how it goes on while what runs now goes on."""
        return burn_down_model(await reading.burn_down(await reading.account(visitor, account, whole=False)))

    @router.get("/allocations", responses=described(404))
    async def list_allocations(
        account: AccountName = None,
        lapsed: Annotated[bool, Query(description="Whether to list those that are over, too.")] = False,
        visitor: Visitor = anybody,
    ) -> AllocationsModel:
        """An account's allocations, in the order in which they are spent."""
        name = await reading.account(visitor, account, whole=False)
        found = await reading.allocations(name, lapsed=lapsed)
        now = desk.clock()
        return AllocationsModel(allocations=tuple(allocation_model(one, desk.tiers, now) for one in found))

    @router.get("/allocations/{number}", responses=described(404))
    async def read_allocation(number: _Id, visitor: Visitor = anybody) -> AllocationModel:
        """One allocation."""
        return allocation_model(await reading.allocation(visitor, number), desk.tiers, desk.clock())

    return router
