"""The community's gallery and an entry's page: found, read, compared, cited, and opened as a copy."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from romanhub.community.citing import bibtex, citation_file
from romanhub.community.errors import CommunityError
from romanhub.community.rendering import FRAME_SANDBOX, HEADERS
from romanhub.community.services.acting import moves_of
from romanhub.community.services.catalogue import Catalogue
from romanhub.community.tools import Tool
from romanhub.models.community import ENTRY_NAME, Act, Kind, State
from romanhub.models.entries import Entry, Order, Version
from romanhub.models.products import Manifest, product_name
from romanhub.portal.auth import Doorkeeper, Visitor
from romanhub.portal.cataloguing import Cataloguing
from romanhub.portal.communitysearch import ORDERS, STATUS_WORDS, Asked, choices
from romanhub.portal.communityviews import (
    FRAMED_POLICY,
    Addresses,
    Subject,
    can_be_copied,
    copy_address,
    file_name,
    stand_in,
)
from romanhub.portal.desk import Desk
from romanhub.portal.failures import problem_of
from romanhub.portal.gate import Gate
from romanhub.portal.pages.archive import Pass
from romanhub.portal.problems import PortalError, invalid
from romanhub.portal.rendering import Pages
from romanhub.portal.running import Running
from romanhub.portal.settings import HubSettings

Name = Annotated[str, Path(max_length=100, pattern=ENTRY_NAME)]
Number = Annotated[int | None, Query(ge=1, lt=2**31)]


def routes(
    settings: HubSettings,
    gate: Gate,
    doorkeeper: Doorkeeper,
    desk: Desk,
    cataloguing: Cataloguing,
    running: Running,
    pages: Pages,
) -> APIRouter:
    """The routes of finding and reading."""
    router = APIRouter(include_in_schema=False)
    person = Depends(gate.person)

    def addresses(request: Request, visitor: Visitor) -> Addresses:
        return Addresses(settings, doorkeeper, request, visitor)

    async def chosen(entry: Entry, number: int | None, visitor: Visitor) -> Version:
        """The version that an address names: the newest public one where it names none."""
        if number is None and entry.newest is not None:
            return entry.newest
        if number is None:
            raise invalid(f"The entry '{entry.name}' is not public yet.")
        return await cataloguing.ask(lambda catalogue: catalogue.version(entry.name, number, viewer=visitor.name))

    @router.get("/community")
    async def gallery(request: Request, visitor: Visitor = person) -> HTMLResponse:
        asked, wrong, found = Asked.of(request.query_params), "", None
        order = asked.order if asked.words or asked.order != Order.RELEVANCE else ""
        try:
            found = await cataloguing.ask(
                lambda catalogue: catalogue.search(
                    asked.words,
                    tags=asked.values("tag"),
                    datasets=asked.values("dataset"),
                    images=asked.values("image"),
                    kinds=asked.values("kind"),
                    statuses=asked.values("status"),
                    order=order or None,
                    page=asked.page,
                )
            )
        except (PortalError, CommunityError) as error:
            wrong = problem_of(error).detail
        return pages.page(
            request,
            "community.html",
            here="community",
            asked=asked,
            wrong=wrong,
            found=found,
            facets=choices(asked, found) if found else [],
            orders={one: text for one, text in ORDERS.items() if asked.words or one is not Order.RELEVANCE},
            order=order or (Order.RELEVANCE if asked.words else Order.NEWEST),
            words=STATUS_WORDS,
            picture=addresses(request, visitor).picture,
            stand_in=stand_in,
        )

    @router.get("/community/-/page")
    async def page(pass_: Pass) -> Response:
        """A notebook as a page, for the frame of whoever has a page with its address. It has no session."""
        what, _ = await doorkeeper.passed(pass_)
        subject = Subject.of(what)
        found = await cataloguing.ask(
            lambda catalogue: catalogue.page(
                catalogue.version(subject.entry, subject.number, viewer=subject.viewer)
            )
        )
        return HTMLResponse(found, headers=HEADERS)

    @router.get("/community/-/picture")
    async def picture(pass_: Pass) -> Response:
        what, _ = await doorkeeper.passed(pass_)
        subject = Subject.of(what)
        found = await cataloguing.ask(
            lambda catalogue: catalogue.picture(
                catalogue.version(subject.entry, subject.number, viewer=subject.viewer)
            )
        )
        # The page that shows it has an origin of its own.
        headers = {"Cache-Control": "private, max-age=3600", "Cross-Origin-Resource-Policy": "cross-origin"}
        return Response(found, media_type="image/png", headers=headers)

    @router.get("/community/{name}")
    async def entry(
        request: Request, name: Name, version: Number = None, visitor: Visitor = person
    ) -> HTMLResponse:
        found = await cataloguing.ask(lambda catalogue: catalogue.entry(name, viewer=visitor.name))
        if found.newest is None:
            # A draft has its own page, for its owner.
            return RedirectResponse(settings.path("community", name, "draft"), status_code=303)  # type: ignore[return-value]
        if found.state is State.WITHDRAWN:
            return pages.page(request, "community_tombstone.html", here="community", entry=found, status=410)
        shown = await chosen(found, version, visitor)
        if shown.published_at is None:
            raise invalid(f"Version {shown.number} of '{name}' is not public yet.")
        versions, builds, acts, starred = await cataloguing.ask(
            lambda catalogue: (
                catalogue.versions(name, viewer=visitor.name),
                catalogue.who_builds_on(name),
                catalogue.acts(name, viewer=visitor.name),
                catalogue.has_star(visitor.name, name),
            )
        )
        runs = await running.of_entry(name) if found.kind is Kind.NOTEBOOK else ()
        where, roles = addresses(request, visitor), cataloguing.roles(visitor)
        manifest, tool = await cataloguing.ask(lambda catalogue: made_of(catalogue, found, shown))
        answer = pages.page(
            request,
            "community_entry.html",
            here="community",
            entry=found,
            version=shown,
            about=shown.about,
            versions=versions,
            builds=builds,
            acts=[one for one in acts if one.act not in ("draft", Act.DISCARD)],
            moves=[
                one for one in moves_of(found, visitor.name, roles) if one.act not in (Act.PUBLISH, Act.DISCARD)
            ],
            starred=starred,
            words=STATUS_WORDS,
            runs=runs,
            tiers=desk.tiers,
            copied=can_be_copied(found),
            manifest=manifest,
            tool=tool,
            dataset=product_name(name, None if shown is found.newest else shown.number),
            pinned=product_name(name, shown.number),
            frame=where.frame(shown) if found.kind is Kind.NOTEBOOK else "",
            sandbox=FRAME_SANDBOX,
            bibtex=_bibtex(shown, where),
            cff=_cff(shown, where),
            address=where.opening(found),
        )
        answer.headers["Content-Security-Policy"] = FRAMED_POLICY
        return answer

    @router.get("/community/{name}/changes")
    async def changes(
        request: Request,
        name: Name,
        older: Annotated[int, Query(alias="from", ge=1, lt=2**31)],
        newer: Annotated[int, Query(alias="to", ge=1, lt=2**31)],
        visitor: Visitor = person,
    ) -> HTMLResponse:
        found = await cataloguing.ask(lambda catalogue: catalogue.entry(name))
        if found.kind is not Kind.NOTEBOOK:
            raise invalid("Only notebooks are compared, cell by cell.")
        before, after = await chosen(found, older, visitor), await chosen(found, newer, visitor)
        told = await cataloguing.ask(lambda catalogue: catalogue.changes(before, after))
        return pages.page(
            request,
            "community_changes.html",
            here="community",
            entry=found,
            before=before,
            after=after,
            changes=told,
        )

    @router.get("/community/{name}/citation.bib")
    async def bib(request: Request, name: Name, version: Number = None, visitor: Visitor = person) -> Response:
        found = await cataloguing.ask(lambda catalogue: catalogue.entry(name))
        text = _bibtex(await chosen(found, version, visitor), addresses(request, visitor))
        return _download(text, f"{name}.bib", "application/x-bibtex; charset=utf-8")

    @router.get("/community/{name}/CITATION.cff")
    async def cff(request: Request, name: Name, version: Number = None, visitor: Visitor = person) -> Response:
        found = await cataloguing.ask(lambda catalogue: catalogue.entry(name))
        text = _cff(await chosen(found, version, visitor), addresses(request, visitor))
        return _download(text, "CITATION.cff", "application/yaml; charset=utf-8")

    @router.get("/community/{name}/file")
    async def file(name: Name, version: Number = None, visitor: Visitor = person) -> Response:
        found = await cataloguing.ask(lambda catalogue: catalogue.entry(name))
        shown = await chosen(found, version, visitor)
        if found.kind is not Kind.NOTEBOOK:
            raise invalid("Only a notebook is one file that can be downloaded here.")
        content = await cataloguing.ask(lambda catalogue: catalogue.content(shown))
        return _download(content, file_name(shown), "application/x-ipynb+json")

    @router.get("/open/{name}")
    async def open_copy(name: Name, version: Number = None, visitor: Visitor = person) -> RedirectResponse:
        """What a paper or a mail links to: sign in, start a server if none runs, have a copy of it in the home."""
        found = await cataloguing.ask(lambda catalogue: catalogue.entry(name))
        if not can_be_copied(found):
            return RedirectResponse(settings.path("community", name), status_code=303)
        shown = await chosen(found, version, visitor)
        # The open is counted where the copy is made.
        return RedirectResponse(copy_address(settings, desk.tiers, shown), status_code=303)

    return router


def made_of(catalogue: Catalogue, entry: Entry, version: Version) -> tuple[Manifest | None, Tool | None]:
    """Return what a version of a data product is made of, or how one of a tool is installed."""
    if entry.kind is Kind.PRODUCT:
        return catalogue.products.manifest(version), None
    return None, catalogue.tools.tool(version) if entry.kind is Kind.TOOL else None


def _bibtex(version: Version, where: Addresses) -> str:
    if version.published_at is None:
        raise invalid("What is not public yet cannot be cited.")
    return bibtex(
        version.about,
        entry=version.entry,
        version=version.number,
        day=version.published_at.date(),
        address=where.public(version),
        dataset=version.is_data,
    )


def _cff(version: Version, where: Addresses) -> str:
    if version.published_at is None:
        raise invalid("What is not public yet cannot be cited.")
    return citation_file(
        version.about,
        version=version.number,
        day=version.published_at.date(),
        address=where.public(version),
        dataset=version.is_data,
    )


def _download(content: str | bytes, name: str, media_type: str) -> Response:
    # The name has no quotation marks in it: the catalogue takes none.
    return Response(
        content, media_type=media_type, headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )
