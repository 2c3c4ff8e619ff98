"""Requests and decisions."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from hubquota.models.money import to_units

from romanhub.portal.acts import Acts
from romanhub.portal.answers import RequestModel, RequestsModel, request_model
from romanhub.portal.api.paging import link_next
from romanhub.portal.auth import Visitor
from romanhub.portal.gate import Gate, ensure_auditor
from romanhub.portal.inputs import AccountName, ApprovalInput, AskInput, ReasonInput, Rows
from romanhub.portal.problems import described, invalid
from romanhub.portal.reading import Reading

_Id = Annotated[int, Path(ge=1, lt=2**63, description="The request's number.")]


def routes(gate: Gate, reading: Reading, acts: Acts) -> APIRouter:
    """The routes of requests."""
    router = APIRouter(tags=["requests"])
    anybody, requester, admin = Depends(gate.anybody), Depends(gate.requester), Depends(gate.admin)

    @router.get("/requests")
    async def list_requests(
        request: Request,
        response: Response,
        account: AccountName = None,
        everybody: Annotated[bool, Query(description="All accounts' requests, for those who decide.")] = False,
        open_only: Annotated[bool, Query(description="Only those that nobody has decided.")] = False,
        after: Annotated[int, Query(ge=0, lt=2**63, description="Only those with a higher number.")] = 0,
        limit: Rows = 50,
        visitor: Visitor = anybody,
    ) -> RequestsModel:
        """Requests in the order in which they were asked: of one account, or everybody's."""
        if everybody:
            ensure_auditor(visitor)
        name = None if everybody else await reading.account(visitor, account)
        found, following = await reading.requests(name, open_only=open_only, after=after, limit=limit)
        link_next(request, response, after=following)
        return RequestsModel(requests=tuple(request_model(one) for one in found), next_after=following)

    @router.post("/requests", status_code=201, responses=described(404, 409))
    async def ask(given: AskInput, visitor: Visitor = requester) -> RequestModel:
        """Ask for an allocation of a tier, or with `renews`, for one that follows another.

        There is at most one open request of an account for a tier, so a repeated call changes nothing.
        """
        if (given.renews is None) == (given.tier is None):
            raise invalid("Name a tier, or with `renews` the allocation to follow: one of the two.")
        found = await acts.ask(
            visitor,
            account=given.account,
            tier=given.tier,
            units=None if given.amount is None else to_units(given.amount),
            justification=given.justification,
            results=given.results,
            renews=given.renews,
        )
        return request_model(found)

    @router.get("/requests/{number}", responses=described(404))
    async def read_request(number: _Id, visitor: Visitor = anybody) -> RequestModel:
        """One request."""
        return request_model(await reading.request(visitor, number))

    @router.post("/requests/{number}/withdrawal", responses=described(404, 409))
    async def withdraw(number: _Id, visitor: Visitor = requester) -> RequestModel:
        """Take a request back."""
        return request_model(await acts.withdraw(visitor, number))

    @router.post("/requests/{number}/approval", responses=described(404, 409))
    async def approve(number: _Id, given: ApprovalInput, visitor: Visitor = admin) -> RequestModel:
        """Grant what was asked for, or less. A request is decided once: a second decision is refused."""
        found = await acts.approve(
            visitor,
            number,
            reason=given.reason,
            units=None if given.amount is None else to_units(given.amount),
            tier=given.tier,
            start=given.start,
            end=given.end,
        )
        return request_model(found)

    @router.post("/requests/{number}/denial", responses=described(404, 409))
    async def deny(number: _Id, given: ReasonInput, visitor: Visitor = admin) -> RequestModel:
        """Turn a request down, with a reason that whoever asked reads."""
        return request_model(await acts.deny(visitor, number, reason=given.reason))

    return router
