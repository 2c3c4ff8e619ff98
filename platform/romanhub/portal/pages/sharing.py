"""Sharing with the community: drafts, what they lack, the preview, and the acts of authors and curators."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from romanhub.community.errors import CommunityError, WrongSidecarError
from romanhub.community.licences import OFFERED
from romanhub.community.rendering import FRAME_SANDBOX
from romanhub.community.services.catalogue import Catalogue
from romanhub.community.services.products import lacking
from romanhub.community.services.sidecars import name_of, read_sidecar
from romanhub.models.community import Act, Kind
from romanhub.models.entries import Entry, Version
from romanhub.models.products import product_name
from romanhub.portal.auth import Doorkeeper, NotAllowedError, Visitor
from romanhub.portal.cataloguing import Cataloguing
from romanhub.portal.communityforms import as_text, sidecar_in
from romanhub.portal.communitysearch import STATUS_WORDS
from romanhub.portal.communityviews import FRAMED_POLICY, Addresses
from romanhub.portal.desk import Desk
from romanhub.portal.failures import problem_of
from romanhub.portal.forms import Form
from romanhub.portal.gate import Gate, ensure_publisher
from romanhub.portal.pages.community import Name, made_of
from romanhub.portal.problems import PortalError, invalid
from romanhub.portal.producing import Producing
from romanhub.portal.rendering import Pages
from romanhub.portal.settings import HubSettings

_Act = Annotated[Act, Path()]


def routes(
    settings: HubSettings,
    gate: Gate,
    doorkeeper: Doorkeeper,
    desk: Desk,
    cataloguing: Cataloguing,
    producing: Producing,
    pages: Pages,
) -> APIRouter:
    """The routes of sharing."""
    router = APIRouter(include_in_schema=False)
    person, form, notebook_form = Depends(gate.person), Depends(gate.form), Depends(gate.notebook_form)

    def to(*parts: str) -> RedirectResponse:
        return RedirectResponse(settings.path(*parts), status_code=303)

    async def mine(
        request: Request, visitor: Visitor, *, mistake: str = "", name: str = "", status: int = 200
    ) -> HTMLResponse:
        found, use = await cataloguing.ask(
            lambda catalogue: (catalogue.entries_of(visitor.name), catalogue.use_of(visitor.name))
        )
        return pages.page(
            request,
            "community_mine.html",
            here="community",
            status=status,
            drafts=[one for one in found if one.pending is not None],
            use=use,
            words=STATUS_WORDS,
            mistake=mistake,
            name=name,
            products=producing.configured,
        )

    async def show_draft(
        request: Request,
        visitor: Visitor,
        entry: Entry,
        *,
        said: Mapping[str, str] | None = None,
        wrong: Mapping[str, str] | None = None,
        mistake: str = "",
        status: int = 200,
    ) -> HTMLResponse:
        version = _pending(entry)
        _, missing = read_sidecar(version.sidecar, entry.kind)
        missing |= lacking(version.details.get("unitless", []))
        manifest, tool = await cataloguing.ask(lambda catalogue: made_of(catalogue, entry, version))
        said = dict(said or as_text(version.sidecar))
        if not wrong:
            # What has to be said is begun, one line a column.
            begun = [line.partition(":")[0].strip() for line in said["columns"].splitlines()]
            lines = [f"{name}: " for name in version.details.get("unitless", []) if name not in begun]
            said["columns"] = "\n".join([*filter(None, [said["columns"]]), *lines])
        # Only a page that a browser asked for with its session can have a frame; one that answers a form has none.
        framed = entry.kind is Kind.NOTEBOOK and request.method == "GET"
        answer = pages.page(
            request,
            "community_draft.html",
            here="community",
            status=status,
            entry=entry,
            version=version,
            said=said,
            wrong=wrong or {},
            missing=missing,
            mistake=mistake,
            about=version.about if not missing else None,
            manifest=manifest,
            tool=tool,
            dataset=product_name(entry.name),
            pinned=product_name(entry.name, version.number),
            licences=OFFERED,
            tiers=desk.tiers,
            frame=Addresses(settings, doorkeeper, request, visitor).frame(version) if framed else "",
            sandbox=FRAME_SANDBOX,
        )
        answer.headers["Content-Security-Policy"] = FRAMED_POLICY
        return answer

    async def own(visitor: Visitor, name: str) -> Entry:
        return await cataloguing.ask(lambda catalogue: catalogue.entry(name, viewer=visitor.name))

    @router.get("/community/-/mine")
    async def my_entries(request: Request, visitor: Visitor = person) -> HTMLResponse:
        return await mine(request, visitor)

    @router.post("/community/-/mine", response_model=None)
    async def upload(request: Request, sent: Form = notebook_form) -> HTMLResponse | RedirectResponse:
        visitor = _publisher(sent)
        file = sent.fields.get("notebook", [""])[0]
        called = sent.fields.get("notebook.name", [""])[0].replace("\\", "/").rpartition("/")[2]
        name = sent.text("name", longest=120) or name_of(called.removesuffix(".ipynb"))
        if not file:
            return await mine(request, visitor, mistake="Choose a notebook's file first.", name=name, status=422)

        def draft(catalogue: Catalogue) -> None:
            last = _last(catalogue, visitor.name, name)
            catalogue.draft(visitor.name, name, file.encode(), last, {"file": called} if called else {})

        try:
            await cataloguing.ask(draft)
        except (PortalError, CommunityError) as error:
            problem = problem_of(error)
            return await mine(request, visitor, mistake=problem.detail, name=name, status=problem.status)
        return to("community", name, "draft")

    @router.post("/community/-/product", response_model=None)
    async def product(request: Request, sent: Form = form) -> HTMLResponse | RedirectResponse:
        visitor = _publisher(sent)
        scratch, folder = sent.text("scratch") or "work", sent.text("folder", longest=300)
        name = sent.text("name", longest=120) or name_of(folder.rstrip("/").rpartition("/")[2])
        token = doorkeeper.token_of(sent.text("ticket", longest=10_000))
        try:
            last = await cataloguing.ask(lambda catalogue: _last(catalogue, visitor.name, name))
            await producing.draft(visitor.name, token, name, scratch=scratch, folder=folder, sidecar=last)
        except (PortalError, CommunityError) as error:
            problem = problem_of(error)
            return await mine(request, visitor, mistake=problem.detail, name=name, status=problem.status)
        return to("community", name, "draft")

    @router.post("/community/-/tool", response_model=None)
    async def tool(request: Request, sent: Form = form) -> HTMLResponse | RedirectResponse:
        visitor = _publisher(sent)
        said = {field: sent.text(field) for field in ("requirement", "entry_point")}
        name = sent.text("name", longest=120) or name_of(re.split(r"[^A-Za-z0-9_.-]", said["requirement"])[0])

        def draft(catalogue: Catalogue) -> None:
            before = {key: value for key, value in _last(catalogue, visitor.name, name).items() if key != "hashes"}
            catalogue.tools.draft(visitor.name, name, before | said)

        try:
            await cataloguing.ask(draft)
        except (PortalError, CommunityError) as error:
            problem = problem_of(error)
            return await mine(request, visitor, mistake=problem.detail, name=name, status=problem.status)
        return to("community", name, "draft")

    @router.get("/community/{name}/draft", response_model=None)
    async def draft_page(
        request: Request, name: Name, visitor: Visitor = person
    ) -> HTMLResponse | RedirectResponse:
        entry = await own(visitor, name)
        return to("community", name) if entry.pending is None else await show_draft(request, visitor, entry)

    @router.post("/community/{name}/draft", response_model=None)
    async def save(request: Request, name: Name, sent: Form = form) -> HTMLResponse | RedirectResponse:
        visitor = _publisher(sent)
        entry = await own(visitor, name)
        version, said = _pending(entry), sidecar_in(sent)

        def keep(catalogue: Catalogue) -> None:
            if entry.kind is Kind.PRODUCT:
                catalogue.products.say(visitor.name, name, said)
            elif entry.kind is Kind.TOOL:
                catalogue.tools.draft(visitor.name, name, said)
            else:
                about = ("cells", "picture", "source")
                kept = {key: value for key, value in version.details.items() if key not in about}
                catalogue.draft(visitor.name, name, catalogue.content(version), said, kept)
            if sent.text("then") == "publish":
                catalogue.publish(visitor.name, name)

        try:
            await cataloguing.ask(keep)
        except WrongSidecarError as error:
            given = {field: sent.fields.get(field, [""])[0] for field in as_text({})}
            return await show_draft(request, visitor, entry, said=given, wrong=error.fields, status=422)
        except (PortalError, CommunityError) as error:
            # What could be kept is kept, and shown with what is in the way.
            now, problem = await own(visitor, name), problem_of(error)
            return await show_draft(
                request, visitor, now, said=as_text(said), mistake=problem.detail, status=problem.status
            )
        return to("community", name) if sent.text("then") == "publish" else to("community", name, "draft")

    @router.post("/community/{name}/acts/{act}")
    async def act(name: Name, act: _Act, sent: Form = form) -> RedirectResponse:
        visitor = _publisher(sent)
        reason = sent.text("reason", longest=4000)
        after = await cataloguing.ask(
            lambda catalogue: catalogue.act(visitor.name, cataloguing.roles(visitor), name, act, reason)
        )
        gone = act is Act.DISCARD and after.newest is None
        return to("community", "-", "mine") if gone else to("community", name)

    @router.post("/community/{name}/star")
    async def star(name: Name, sent: Form = form) -> RedirectResponse:
        visitor, given = _publisher(sent), sent.text("give") != "no"
        await cataloguing.ask(
            lambda catalogue: (catalogue.star if given else catalogue.unstar)(visitor.name, name)
        )
        return to("community", name)

    return router


def _last(catalogue: Catalogue, person: str, name: str) -> dict[str, Any]:
    """Return what a new version says: what the last one said, until its author says otherwise."""
    before = next((one for one in catalogue.entries_of(person) if one.name == name), None)
    last = (before.pending or before.newest) if before else None
    return last.sidecar if last else {}


def _pending(entry: Entry) -> Version:
    if entry.pending is None:
        raise invalid(f"The entry '{entry.name}' has no draft any more: it was published or thrown away.")
    return entry.pending


def _publisher(sent: Form) -> Visitor:
    """Return a person who may change what readers see; a service shares nothing. Raises NotAllowedError."""
    if sent.visitor.kind != "user":
        raise NotAllowedError(
            f"{sent.visitor.name} is a service of the hub, and only people share with the community."
        )
    return ensure_publisher(sent.visitor)
