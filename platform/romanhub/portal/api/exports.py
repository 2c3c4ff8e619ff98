"""Usage, audit and accounts as CSV or JSON, streamed: however long, only a part is ever in memory."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from datetime import timedelta
from http import HTTPStatus
from itertools import chain, islice
from threading import BoundedSemaphore
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse
from hubquota.models.export import AUDIT, USAGE, Columns, iso
from hubquota.models.reading import AccountQuery, AccountRow, AuditQuery
from hubquota.services.export import Export
from hubquota.services.exportform import written

from romanhub.portal.api.directory import account_query, audit_query
from romanhub.portal.auth import Visitor
from romanhub.portal.desk import Desk
from romanhub.portal.gate import Gate
from romanhub.portal.inputs import AccountName, ExportFormat, Moment
from romanhub.portal.models import credits_text
from romanhub.portal.problems import PortalError, described, invalid

#: How many exports may be under way at once: each keeps a connection to the database until its reader is done.
_AT_ONCE = 4
#: The columns of a list of accounts; amounts in credits, times in UTC.
ACCOUNTS: Columns = {
    "account": lambda row: row.summary.account.name,
    "kind": lambda row: row.summary.account.kind,
    "tiers": lambda row: " ".join(row.summary.account.tiers),
    "state": lambda row: row.state,
    "next_end": lambda row: iso(row.ends),
    "available_credits": lambda row: credits_text(row.summary.balance.available),
    "posted_credits": lambda row: credits_text(row.summary.account.balance),
    "running": lambda row: row.summary.open_leases,
    "opened_at": lambda row: iso(row.summary.account.created_at),
}
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
    export, places = Export.sharing(desk.ledger), BoundedSemaphore(_AT_ONCE)

    def taking_a_place(parts: Callable[[], Iterator[str]]) -> Iterator[str]:
        if not places.acquire(blocking=False):
            raise PortalError(
                HTTPStatus.CONFLICT,
                f"{_AT_ONCE} exports are under way, and there are no more at a time. Try again in a minute, or "
                "use `hubquota export` on the platform.",
                title="Too many exports at once",
            )
        try:
            yield from parts()
        finally:
            places.release()

    async def stream(
        name: str, form: ExportFormat, columns: Columns, rows: Callable[[], Iterator[Any]]
    ) -> StreamingResponse:
        def parts() -> Iterator[str]:
            # A generator, which lets the database go when it is closed.
            with closing(cast("Generator[Any, None, None]", rows())) as found:
                yield from written(form, columns, found)

        def begin() -> Iterator[str]:
            # What goes wrong at the first look is answered as a problem, not in the middle of a file.
            every = taking_a_place(parts)
            first = list(islice(every, 1))
            return chain(first, every)

        content = await desk.ask(begin)
        media = "text/csv; charset=utf-8" if form == "csv" else "application/json"
        headers = {"Content-Disposition": f'attachment; filename="{name}.{form}"'}
        return StreamingResponse(content, media_type=media, headers=headers)

    @router.get("/exports/usage", responses={**_STREAM, **described(404, 409)})
    async def export_usage(
        since: Annotated[Moment | None, Query(description="From when on; 30 days ago if not given.")] = None,
        until: Annotated[Moment | None, Query(description="Up to when; now if not given.")] = None,
        account: AccountName = None,
        format: _Format = "csv",  # noqa: A002  (its name in the address)
        _visitor: Visitor = auditor,
    ) -> StreamingResponse:
        """What ran in a time, cut at its bounds, to the second; of one account, or of all."""
        end = until or desk.clock()
        start = since or end - timedelta(days=30)
        if end <= start:
            raise invalid("The time is to end after it begins.")
        return await stream("usage", format, USAGE, lambda: export.usage(since=start, until=end, account=account))

    @router.get("/exports/audit", responses={**_STREAM, **described(409)})
    async def export_audit(
        query: AuditQuery = audited,
        format: _Format = "csv",  # noqa: A002
        _visitor: Visitor = auditor,
    ) -> StreamingResponse:
        """What was decided on all accounts, oldest first: in the journal and beside it."""
        return await stream("audit", format, AUDIT, lambda: export.audit(query))

    @router.get("/exports/accounts", responses={**_STREAM, **described(409)})
    async def export_accounts(
        query: AccountQuery = chosen,
        format: _Format = "csv",  # noqa: A002
        _visitor: Visitor = auditor,
    ) -> StreamingResponse:
        """The accounts that a query finds, with their balances."""
        return await stream("accounts", format, ACCOUNTS, lambda: every_account(desk, query))

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
