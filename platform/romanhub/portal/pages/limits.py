"""The forms of limits: overrides and tiers on an account's page, caps on a project's."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from fastapi.responses import RedirectResponse
from hubquota.models.overrides import Overridden

from romanhub.portal.desk import Desk
from romanhub.portal.forms import Form
from romanhub.portal.gate import Gate, ensure_admin, ensure_requester
from romanhub.portal.limits import Limits
from romanhub.portal.problems import invalid
from romanhub.portal.reading import Reading
from romanhub.portal.settings import HubSettings

_MOST = 1_000_000


def routes(settings: HubSettings, gate: Gate, desk: Desk, reading: Reading, limits: Limits) -> APIRouter:
    """The routes of limits; the pages that the forms are on are elsewhere."""
    router = APIRouter()
    form = Depends(gate.form)

    def account_page(name: str) -> RedirectResponse:
        return RedirectResponse(settings.path("admin/accounts", name), status_code=303)

    @router.post("/admin/overrides")
    async def give(sent: Form = form) -> RedirectResponse:
        visitor, account = ensure_admin(sent.visitor), sent.text("account", longest=255)
        until = sent.end_of("until")
        if until is None:
            raise invalid("Say on which day the override counts for the last time.")
        numbers = {
            name: _number(sent, name, least=least)
            for name, least in (
                ("servers", 0), ("clusters", 0), ("workers", 0), ("idle_stop_minutes", 1),
                ("longest_session_hours", 1),
            )
        }  # fmt: skip
        sizes = tuple(sent.texts("size"))
        if not sizes and not any(number is not None for number in numbers.values()):
            raise invalid("Name one limit at least: an override changes something.")
        if odd := [name for name in sizes if name not in desk.tiers.sizes]:
            raise invalid(f"There is no size '{odd[0]}'. The sizes are {', '.join(desk.tiers.sizes)}.")
        await limits.give(
            visitor,
            account,
            Overridden.model_validate({"sizes": sizes, **numbers}),
            until,
            person=sent.text("person", longest=255) or None,
            reason=sent.text("reason", longest=2000),
            key=sent.once,
        )
        return account_page(account)

    @router.post("/admin/overrides/{number}/withdraw")
    async def withdraw(number: Annotated[int, Path(ge=1, lt=2**63)], sent: Form = form) -> RedirectResponse:
        visitor = ensure_admin(sent.visitor)
        found = await limits.withdraw(visitor, number, reason=sent.text("reason", longest=2000))
        return account_page(found.account)

    @router.post("/admin/tier")
    async def change_tier(sent: Form = form) -> RedirectResponse:
        visitor, account = ensure_admin(sent.visitor), sent.text("account", longest=255)
        await limits.change_tier(
            visitor,
            account,
            sent.text("tier", longest=100),
            units=sent.units("amount") if sent.text("amount") else None,
            end=sent.end_of("end"),
            keep=bool(sent.text("keep")),
            reason=sent.text("reason", longest=2000),
            key=sent.once,
        )
        return account_page(account)

    @router.post("/projects/caps")
    async def set_cap(sent: Form = form) -> RedirectResponse:
        visitor = ensure_requester(sent.visitor)
        project = await reading.account(visitor, sent.text("project", longest=255))
        lifting = bool(sent.text("lift"))
        units = sent.units("credits") if sent.text("credits") and not lifting else None
        workers = None if lifting else _number(sent, "workers", least=0)
        if units is None and workers is None and not lifting:
            raise invalid("Say how many credits they may spend, how many workers they may run, or both.")
        member = sent.text("member", longest=255)
        if not member:
            raise invalid("Say whom the cap is for: their name on the hub.")
        reason = sent.text("reason", longest=2000)
        await limits.set_cap(visitor, project, member, units=units, workers=workers, reason=reason)
        return RedirectResponse(f"{settings.path('projects', project)}#caps", status_code=303)

    return router


def _number(sent: Form, name: str, *, least: int) -> int | None:
    if not sent.text(name):
        return None
    found = sent.number(name)
    if not least <= found <= _MOST:
        raise invalid(f"The field '{name}' is to be a whole number from {least} to {_MOST}.")
    return found
