"""All accounts and the journal of all accounts, for those who may read them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from hubquota.models.ledger import AccountKind
from hubquota.models.money import to_units
from hubquota.models.reading import AccountOrder, AccountQuery, AccountState, AuditKind, AuditQuery

from romanhub.portal.accounts import Accounts
from romanhub.portal.answers import AuditModel, DirectoryModel, audit_model
from romanhub.portal.api.paging import link_next
from romanhub.portal.auth import Visitor
from romanhub.portal.desk import Desk
from romanhub.portal.gate import Gate
from romanhub.portal.inputs import Before, Credits, Lines, Moment, PlaceText, Rows, Text, place_of
from romanhub.portal.models import StatementModel
from romanhub.portal.problems import described


def account_query(
    q: Annotated[Text, Query(max_length=255, description="A part of the name, in any case.")] = "",
    kind: Annotated[AccountKind | None, Query(description="Only users or only projects.")] = None,
    tier: Annotated[
        Text | None, Query(max_length=100, description="Only with an allocation of this tier that pays now.")
    ] = None,
    state: Annotated[AccountState | None, Query(description="Only accounts in this state.")] = None,
    ending_before: Annotated[
        Moment | None, Query(description="Only with an allocation that ends before this moment.")
    ] = None,
    balance_below: Annotated[
        Credits | None, Query(description="Only with a posted balance below so many credits.")
    ] = None,
    order: Annotated[
        AccountOrder,
        Query(description="By name (with `q`, by the part that is found), by next end, or by posted balance."),
    ] = "name",
) -> AccountQuery:
    """Which accounts are asked for."""
    return AccountQuery(
        search=q,
        kind=kind,
        tier=tier,
        state=state,
        ending_before=ending_before,
        balance_below=None if balance_below is None else to_units(balance_below),
        order=order,
    )


def audit_query(
    kind: Annotated[
        AuditKind,
        Query(description="One kind, in the journal or beside it, or `acts` for all but charges."),
    ] = "acts",
    actor: Annotated[Text | None, Query(max_length=255, description="Only what somebody did.")] = None,
    since: Annotated[Moment | None, Query(description="Only lines from this moment on.")] = None,
    until: Annotated[Moment | None, Query(description="Only lines from before this moment.")] = None,
) -> AuditQuery:
    """What of an audit is asked for."""
    return AuditQuery(kind=kind, actor=actor, since=since, until=until)


def routes(gate: Gate, desk: Desk, accounts: Accounts) -> APIRouter:
    """The routes over all accounts."""
    router = APIRouter(tags=["administration"])
    auditor, chosen, audited = Depends(gate.auditor), Depends(account_query), Depends(audit_query)

    @router.get("/accounts")
    async def list_accounts(
        request: Request,
        response: Response,
        query: AccountQuery = chosen,
        after: Annotated[
            Text | None, Query(max_length=255, description="`next_after` of the page before.")
        ] = None,
        limit: Rows = 50,
        _visitor: Visitor = auditor,
    ) -> DirectoryModel:
        """Accounts that a query finds, page by page."""
        found = await accounts.directory(query, after=after, limit=limit)
        link_next(request, response, after=found.next_after)
        return found

    @router.get("/accounts/{name:path}", responses=described(404))
    async def read_account(
        request: Request,
        response: Response,
        name: Annotated[str, Path(description="The account's name; it may have slashes in it.")],
        limit: Lines = 50,
        before: Before = None,
        _visitor: Visitor = auditor,
    ) -> StatementModel:
        """Anybody's account."""
        found = await accounts.statement(name, limit=limit, before=before)
        link_next(request, response, before=found.next_before)
        return found

    @router.get("/audit")
    async def audit(
        request: Request,
        response: Response,
        query: AuditQuery = audited,
        before: PlaceText = "",
        limit: Lines = 100,
        _visitor: Visitor = auditor,
    ) -> AuditModel:
        """What was decided on all accounts, newest first: who did what, when and why.

        Lines of the journal, and what is kept beside it: overrides, caps, what clusters were told, holds, plans
        of purges, requests that were turned down, and members.
        """
        place = place_of(before)
        found = audit_model(await desk.ask(lambda: desk.histories.audit(query, limit=limit, before=place)))
        link_next(request, response, before=found.next_before)
        return found

    return router
