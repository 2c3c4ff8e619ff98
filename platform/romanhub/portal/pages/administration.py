"""All accounts, and one of them with what can be done to it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from hubquota.models.reading import AccountOrder, AccountState

from romanhub.portal.accounts import Accounts
from romanhub.portal.acts import Acts
from romanhub.portal.auth import Visitor
from romanhub.portal.desk import Desk
from romanhub.portal.forms import Form
from romanhub.portal.gate import Gate, ensure_admin
from romanhub.portal.inputs import Text
from romanhub.portal.limits import Limits
from romanhub.portal.pages.account import LINES, Earlier
from romanhub.portal.pages.chosen import FIELDS, chosen_by
from romanhub.portal.problems import invalid
from romanhub.portal.purging import Purging
from romanhub.portal.rendering import Pages
from romanhub.portal.settings import HubSettings

_ROWS = 50


def routes(
    settings: HubSettings,
    gate: Gate,
    desk: Desk,
    accounts: Accounts,
    acts: Acts,
    limits: Limits,
    purging: Purging,
    pages: Pages,
) -> APIRouter:
    """The routes of all accounts and of one."""
    router = APIRouter()
    auditor, form = Depends(gate.auditor), Depends(gate.form)

    @router.get("/admin")
    async def all_accounts(
        request: Request,
        q: Annotated[Text, Query(max_length=255)] = "",
        tier: Annotated[Text, Query(max_length=100)] = "",
        state: AccountState | Literal[""] = "",
        ending_before: Annotated[str, Query(max_length=20)] = "",
        balance_below: Annotated[str, Query(max_length=20)] = "",
        order: AccountOrder = "name",
        after: Annotated[Text, Query(max_length=255)] = "",
        _visitor: Visitor = auditor,
    ) -> HTMLResponse:
        given = dict(
            zip(FIELDS, (q.strip(), tier, state, ending_before, balance_below.strip(), order), strict=True)
        )
        query = chosen_by(given.__getitem__)
        listing = await accounts.directory(query, after=after or None, limit=_ROWS)
        export = {**given, "ending_before": _moment_text(query.ending_before)}
        chosen = {name: value for name, value in given.items() if value and (name, value) != ("order", "name")}
        return pages.page(
            request,
            "accounts.html",
            here="admin",
            listing=listing,
            given=given,
            narrowed=bool(chosen.keys() - {"order", "q"}),
            after=after,
            first=urlencode(chosen),
            following=urlencode({**chosen, "after": listing.next_after}) if listing.next_after else None,
            export=urlencode({name: value for name, value in export.items() if value}),
            titles={name: one.title for name, one in accounts.tiers.tiers.items()},
        )

    @router.get("/admin/accounts/{name:path}")
    async def one_account(
        name: str, request: Request, before: Earlier = None, visitor: Visitor = auditor
    ) -> HTMLResponse:
        page = await accounts.page_of(name, lines=LINES, before=before)
        return pages.page(
            request,
            "account.html",
            here="admin",
            page=page,
            address=request.url.path,
            acting=visitor.admin,
            overrides=await limits.overrides(name),
            things=await purging.things(name),
            hold=await purging.hold_of(name),
        )

    @router.post("/admin/projects")
    async def open_project(sent: Form = form) -> RedirectResponse:
        visitor, name = ensure_admin(sent.visitor), sent.text("name", longest=255)
        await acts.open_project(visitor, name, tier=sent.text("tier"), pi=sent.text("pi", longest=255))
        return RedirectResponse(settings.path("admin/accounts", name), status_code=303)

    @router.post("/admin/acts/{act}")
    async def do(act: str, sent: Form = form) -> RedirectResponse:
        visitor, account = ensure_admin(sent.visitor), sent.text("account", longest=255)
        reason, key = sent.text("reason", longest=2000), sent.once
        match act:
            case "grant":
                end = sent.end_of("end")
                start = sent.start_of("start")
                tier, days = sent.text("tier") or None, None
                if end is None and not sent.text("endless"):
                    terms = desk.tiers.tiers.get(tier or "")
                    if terms is None:
                        raise invalid("Say when the term ends, or choose a tier, whose term counts then.")
                    days = terms.term_days
                await acts.grant(
                    visitor, account, sent.units("amount"), reason=reason, key=key,
                    tier=tier, start=start, end=end, term_days=days, renewable=bool(sent.text("renewable")),
                )  # fmt: skip
            case "supplement":
                await acts.supplement(
                    visitor, sent.number("allocation"), sent.units("amount"), reason=reason, key=key
                )
            case "extend":
                end = sent.end_of("end")
                if end is None and not sent.text("endless"):
                    raise invalid("Say on which day the term is to end.")
                await acts.extend(visitor, sent.number("allocation"), end, reason=reason, key=key)
            case "transfer":
                await acts.transfer(
                    visitor, sent.number("allocation"), sent.number("target"), sent.units("amount"),
                    reason=reason, key=key,
                )  # fmt: skip
            case "suspend" | "resume" | "revoke":
                await acts.switch(visitor, sent.number("allocation"), act, reason=reason, key=key)
            case "correct":
                units = sent.units("amount", negative=True)
                await acts.correct(visitor, sent.number("allocation"), units, reason=reason, key=key)
            case _:
                raise invalid(f"There is no act '{act}'.")
        return RedirectResponse(settings.path("admin/accounts", account), status_code=303)

    return router


def _moment_text(at: datetime | None) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}" if at else ""
