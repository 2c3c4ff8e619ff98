"""What was decided on all accounts: who did what, when and why."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, get_args
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse
from hubquota.models.ledger import EntryKind
from hubquota.models.reading import AuditKind, AuditQuery, DeedKind

from romanhub.portal.auth import Visitor
from romanhub.portal.desk import Desk
from romanhub.portal.gate import Gate
from romanhub.portal.inputs import PlaceText, Text, place_of
from romanhub.portal.problems import invalid
from romanhub.portal.rendering import Pages

_LINES = 50


def routes(gate: Gate, desk: Desk, pages: Pages) -> APIRouter:
    """The route of the audit page."""
    router = APIRouter()
    auditor = Depends(gate.auditor)

    @router.get("/admin/audit")
    async def audit(
        request: Request,
        kind: AuditKind = "acts",
        actor: Annotated[Text, Query(max_length=255)] = "",
        since: Annotated[str, Query(max_length=20)] = "",
        until: Annotated[str, Query(max_length=20)] = "",
        before: PlaceText = "",
        _visitor: Visitor = auditor,
    ) -> HTMLResponse:
        last = day_of(until)
        query = AuditQuery(
            kind=kind,
            actor=actor.strip() or None,
            since=day_of(since),
            until=None if last is None else last + timedelta(days=1),
        )
        place = place_of(before)
        found = await desk.ask(lambda: desk.histories.audit(query, limit=_LINES, before=place))
        given = {"kind": kind, "actor": actor, "since": since, "until": until}
        moments = {"since": query.since, "until": query.until}
        export = {"kind": query.kind} | ({"actor": query.actor} if query.actor else {})
        export |= {name: f"{at:%Y-%m-%dT%H:%M:%SZ}" for name, at in moments.items() if at is not None}
        return pages.page(
            request,
            "audit.html",
            here="audit",
            lines=found.lines,
            kinds=["acts", *get_args(EntryKind), *get_args(DeedKind)],
            given=given,
            export=urlencode(export),
            first=urlencode(given),
            before=before,
            following=urlencode({**given, "before": found.next_before.text}) if found.next_before else None,
        )

    return router


def day_of(text: str) -> datetime | None:
    """Return the beginning of a day in UTC, None for no text; raises PortalError where it is no day."""
    if not text.strip():
        return None
    try:
        found = date.fromisoformat(text.strip())
    except ValueError:
        raise invalid(f"'{text}' is no day. Write it as year-month-day, such as 2027-03-31.") from None
    if not 2000 <= found.year <= 2200:
        raise invalid(f"The year {found.year} cannot be meant.")
    return datetime.combine(found, time(), UTC)
