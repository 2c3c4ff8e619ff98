"""The same act on several accounts: what it would change is shown first, and done as it was shown."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, StreamingResponse
from hubquota.services.bulk import BulkAct
from hubquota.services.exportform import written

from romanhub.portal.acts import Acts, batched
from romanhub.portal.api.exports import ACCOUNTS
from romanhub.portal.desk import Desk
from romanhub.portal.forms import Form
from romanhub.portal.gate import Gate, ensure_admin, ensure_auditor
from romanhub.portal.pages.chosen import chosen_by
from romanhub.portal.pages.plans import seen, told
from romanhub.portal.problems import invalid
from romanhub.portal.rendering import Pages

#: So many rows of a plan are shown; all of it is done.
_SHOWN = 200


def routes(gate: Gate, desk: Desk, acts: Acts, pages: Pages) -> APIRouter:
    """The routes of what is done with chosen accounts."""
    router = APIRouter()
    form = Depends(gate.form)

    @router.post("/admin/selection", response_model=None)
    async def selection(request: Request, sent: Form = form) -> HTMLResponse | StreamingResponse:
        if sent.text("which") == "found":
            ensure_auditor(sent.visitor)
            names = await acts.matching(chosen_by(lambda name: sent.text(name, longest=255)))
            if not names:
                raise invalid("The search finds no account any more. Search again.")
        else:
            names = list(dict.fromkeys(sent.texts("name")))
            if not names:
                raise invalid("Choose accounts first: no box is ticked.")
        if sent.text("then") == "csv":
            ensure_auditor(sent.visitor)
            rows = [row for some in batched(names) for row in await desk.ask(partial(desk.ledger.rows_of, some))]
            headers = {"Content-Disposition": 'attachment; filename="accounts.csv"'}
            return StreamingResponse(
                written("csv", ACCOUNTS, rows), media_type="text/csv; charset=utf-8", headers=headers
            )
        ensure_admin(sent.visitor)
        act, reason = _act(sent), sent.text("reason", longest=2000)
        if not reason:
            raise invalid("Say why: the reason is on every line that is written.")
        plan = await acts.preview(names, act)
        found = [row.allocation for row in plan if row.allocation and not row.refusal]
        return pages.page(
            request,
            "bulk.html",
            here="admin",
            plan=plan,
            seen=" ".join(told(one.id, one.end) for one in found),
            results=None,
            act=act,
            reason=reason,
            most=_SHOWN,
        )

    @router.post("/admin/bulk")
    async def apply(request: Request, sent: Form = form) -> HTMLResponse:
        visitor, act, reason = ensure_admin(sent.visitor), _act(sent), sent.text("reason", longest=2000)
        plan = [seen(text) for text in sent.text("seen", longest=512 * 1024).split()]
        results = await acts.apply(visitor, plan, act, reason=reason, key=sent.once)
        return pages.page(
            request,
            "bulk.html",
            here="admin",
            plan=None,
            # What was not done is read first.
            results=sorted(results, key=lambda one: one.refusal is None),
            act=act,
            reason=reason,
            most=_SHOWN,
        )

    return router


def _act(sent: Form) -> BulkAct:
    try:
        return BulkAct(
            units=sent.units("amount") if sent.text("amount") else 0,
            days=min(sent.number("days"), 3660) if sent.text("days") else 0,
        )
    except ValueError as error:
        raise invalid(str(error)) from None
