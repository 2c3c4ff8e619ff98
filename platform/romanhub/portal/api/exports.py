"""Usage, audit and accounts as CSV or JSON, streamed: however long, only a part is ever in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from itertools import chain, islice
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse
from hubquota.models.ledger import Entry
from hubquota.models.reading import AccountQuery, AccountRow, AuditQuery, UsageLine

from romanhub.portal.api.directory import account_query, audit_query
from romanhub.portal.auth import Visitor
from romanhub.portal.desk import Desk
from romanhub.portal.export import as_csv, as_json
from romanhub.portal.gate import Gate
from romanhub.portal.inputs import AccountName, ExportFormat, Moment
from romanhub.portal.models import credits_text
from romanhub.portal.problems import described, invalid

_Row = Mapping[str, object]
_Format = Annotated[ExportFormat, Query(description="csv with a line of headings, or a JSON array of objects.")]
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "All of it, as it is read.",
        "content": {
            "text/csv": {"schema": {"type": "string"}},
            "application/json": {"schema": {"type": "array", "items": {"type": "object"}}},
        },
    }
}


def routes(gate: Gate, desk: Desk) -> APIRouter:
    """The routes of exports."""
    router = APIRouter(tags=["administration"], default_response_class=StreamingResponse)
    auditor, chosen, audited = Depends(gate.auditor), Depends(account_query), Depends(audit_query)

    async def stream(name: str, wanted: ExportFormat, rows: Callable[[], Iterator[_Row]]) -> StreamingResponse:
        def begin() -> Iterator[_Row]:
            # What goes wrong at the first look is answered as a problem, not in the middle of a file.
            every = rows()
            first = list(islice(every, 1))
            return chain(first, every)

        lines = await desk.ask(begin)
        content, media = (
            (as_csv(lines), "text/csv; charset=utf-8")
            if wanted == "csv"
            else (
                as_json(lines),
                "application/json",
            )
        )
        headers = {"Content-Disposition": f'attachment; filename="{name}.{wanted}"'}
        return StreamingResponse(content, media_type=media, headers=headers)

    @router.get("/exports/usage", responses={**_STREAM, **described(404)})
    async def export_usage(
        since: Annotated[Moment | None, Query(description="From when on; 30 days ago if not given.")] = None,
        until: Annotated[Moment | None, Query(description="Up to when; now if not given.")] = None,
        account: AccountName = None,
        format: _Format = "csv",  # noqa: A002  (its name in the address)
        _visitor: Visitor = auditor,
    ) -> StreamingResponse:
        """Every charge of a time, oldest first, with who ran what; of one account, or of all."""
        end = until or desk.clock()
        start = since or end - timedelta(days=30)
        if end < start:
            raise invalid("The time ends before it begins.")
        return await stream(
            "usage", format, lambda: map(usage_row, desk.histories.usage_lines(start, end, account=account))
        )

    @router.get("/exports/audit", responses=_STREAM)
    async def export_audit(
        query: AuditQuery = audited,
        format: _Format = "csv",  # noqa: A002
        _visitor: Visitor = auditor,
    ) -> StreamingResponse:
        """The journal of all accounts, newest first."""
        return await stream("audit", format, lambda: map(audit_row, desk.histories.audit_lines(query)))

    @router.get("/exports/accounts", responses=_STREAM)
    async def export_accounts(
        query: AccountQuery = chosen,
        format: _Format = "csv",  # noqa: A002
        _visitor: Visitor = auditor,
    ) -> StreamingResponse:
        """The accounts that a query finds, with their balances."""
        return await stream("accounts", format, lambda: map(account_row, every_account(desk, query)))

    return router


def every_account(desk: Desk, query: AccountQuery) -> Iterator[AccountRow]:
    """Yield every account that a query finds, read page by page."""
    after: str | None = None
    while True:
        page = desk.ledger.directory(query, limit=500, after=after)
        yield from page.rows
        if page.next_after is None:
            return
        after = page.next_after


def account_row(row: AccountRow) -> _Row:
    """Return an account as a line of an export; amounts in credits, times in UTC."""
    account, balance = row.summary.account, row.summary.balance
    return {
        "account": account.name,
        "kind": account.kind,
        "tiers": " ".join(account.tiers),
        "state": row.state,
        "next_end": row.ends,
        "available_credits": credits_text(balance.available),
        "posted_credits": credits_text(account.balance),
        "running": row.summary.open_leases,
        "opened_at": account.created_at,
    }


def audit_row(entry: Entry) -> _Row:
    """Return a line of the journal as a line of an export; amounts in credits, times in UTC."""
    return {
        "id": entry.id,
        "at": entry.at,
        "account": entry.account,
        "allocation": entry.allocation_id,
        "kind": entry.kind,
        "amount_credits": credits_text(entry.amount),
        "balance_after_credits": credits_text(entry.balance_after),
        "end": entry.end,
        "session": entry.lease_id,
        "actor": entry.actor,
        "reason": entry.reason,
    }


def usage_row(line: UsageLine) -> _Row:
    """Return a charge as a line of an export; amounts in credits, times in UTC."""
    return {
        "id": line.entry.id,
        "at": line.entry.at,
        "account": line.entry.account,
        "allocation": line.entry.allocation_id,
        "person": line.person,
        "session": line.entry.lease_id,
        "kind": line.lease_kind,
        "key": line.key,
        "label": line.label,
        "charged_credits": credits_text(-line.entry.amount),
        "what": line.entry.reason,
    }
