"""Asking for allocations: a person's own requests and those of the projects that they lead."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from hubquota.models.ledger import ImpossibleError, UnknownAccountError
from hubquota.models.requests import ConflictingRequestError

from romanhub.community.errors import CommunityError
from romanhub.models.entries import Use
from romanhub.portal.acts import Acts
from romanhub.portal.auth import Visitor
from romanhub.portal.cataloguing import Cataloguing
from romanhub.portal.desk import Desk
from romanhub.portal.failures import problem_of
from romanhub.portal.forms import Form
from romanhub.portal.gate import Gate, ensure_requester
from romanhub.portal.problems import PortalError
from romanhub.portal.reading import Reading
from romanhub.portal.rendering import Pages
from romanhub.portal.settings import HubSettings

_SHOWN = 100
_FIELDS = ("account", "what", "amount", "justification", "results")


def routes(
    settings: HubSettings,
    gate: Gate,
    desk: Desk,
    reading: Reading,
    acts: Acts,
    cataloguing: Cataloguing,
    pages: Pages,
) -> APIRouter:
    """The routes of requests."""
    router = APIRouter()
    person, form = Depends(gate.person), Depends(gate.form)

    async def shared(visitor: Visitor) -> tuple[Use, ...]:
        """What somebody shares with the community, with its use; none where the catalogue does not answer."""
        try:
            return await cataloguing.ask(lambda catalogue: catalogue.use_of(visitor.name))
        except (PortalError, CommunityError):
            return ()

    async def show(
        request: Request,
        visitor: Visitor,
        *,
        status: int = 200,
        mistake: str = "",
        given: dict[str, str] | None = None,
        listed: Collection[str] = (),
    ) -> HTMLResponse:
        projects = await desk.ask(lambda: desk.projects.projects_of(visitor.name))
        names = [visitor.name, *(summary.account.name for summary, role in projects if role == "pi")]
        found, renewable = [], []
        for name in names:
            rows, _ = await reading.requests(name, open_only=False, after=0, limit=_SHOWN)
            found += rows
            try:
                allocations = await reading.allocations(name, lapsed=True)
            except UnknownAccountError:
                continue
            renewable += [one for one in allocations if one.renewable and one.revoked_at is None]
        return pages.page(
            request,
            "requests.html",
            here="requests",
            status=status,
            names=names,
            requests=sorted(found, key=lambda one: -one.id),
            renewable=sorted(renewable, key=lambda one: -one.id)[:20],
            tiers=desk.tiers,
            mistake=mistake,
            shared=await shared(visitor),
            listed=listed,
            given=dict.fromkeys(_FIELDS, "") | (given or {}),
        )

    @router.get("/requests")
    async def own_requests(request: Request, visitor: Visitor = person) -> HTMLResponse:
        chosen = {name: request.query_params[name][:255] for name in _FIELDS if name in request.query_params}
        return await show(request, visitor, given=chosen)

    @router.post("/requests", response_model=None)
    async def ask(request: Request, sent: Form = form) -> HTMLResponse | RedirectResponse:
        visitor, listed = ensure_requester(sent.visitor), sent.texts("entry")
        try:
            results = [sent.text("results")] if sent.text("results") else []
            if listed:
                results += [use_line(one) for one in await shared(visitor) if one.name in listed]
            what, _, which = sent.text("what").partition(":")
            await acts.ask(
                visitor,
                account=sent.text("account") or None,
                tier=which if what == "tier" else None,
                renews=int(which) if what == "renew" and which.isdigit() else None,
                units=sent.units("amount") if sent.text("amount") else None,
                justification=sent.text("justification"),
                results="\n".join(results),
            )
        except (PortalError, ConflictingRequestError, ImpossibleError) as error:
            # Nothing that was written is lost.
            given = {name: sent.fields.get(name, [""])[0] for name in _FIELDS}
            problem = problem_of(error)
            return await show(
                request, visitor, status=problem.status, mistake=problem.detail, given=given, listed=listed
            )
        return RedirectResponse(f"{settings.prefix}requests", status_code=303)

    @router.post("/requests/{number}/withdraw")
    async def withdraw(number: Annotated[int, Path(ge=1, lt=2**63)], sent: Form = form) -> RedirectResponse:
        await acts.withdraw(ensure_requester(sent.visitor), number, reason=sent.text("reason"))
        return RedirectResponse(f"{settings.prefix}requests", status_code=303)

    return router


def use_line(one: Use) -> str:
    """Return what the results of a request say of an entry, in a line: its use at the moment of asking."""
    opens = f"opened {one.opens} time{'' if one.opens == 1 else 's'}"
    people = f" by {one.people} {'person' if one.people == 1 else 'people'}" if one.people else ""
    built = f", {one.built_on_by} built on it" if one.built_on_by else ""
    return (
        f"Shared with the community: {one.title} ({one.name}), {opens}{people}, "
        f"{one.stars} star{'' if one.stars == 1 else 's'}{built}."
    )
