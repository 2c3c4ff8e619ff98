"""The search of the archive: a form, what it finds as a table and on the sky, and previews."""

from __future__ import annotations

import secrets
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, Response

from romanhub.portal.archivedoors import ArchiveDoors
from romanhub.portal.auth import Doorkeeper, Visitor
from romanhub.portal.gate import Gate
from romanhub.portal.imagesearch import Found, SearchUnavailableError
from romanhub.portal.previews import NoPreviewError, Subject
from romanhub.portal.problems import PortalError
from romanhub.portal.rendering import Pages
from romanhub.portal.searching import FILTERS, SHOWN, ConditionError, Conditions, Form, understood
from romanhub.portal.settings import HubSettings

#: This page alone runs scripts: its own, named by a word that changes each time, and what that one imports. The
#: viewer compiles WebAssembly, works in a thread of its own and sets styles. Nothing may be fetched from anywhere,
#: and the page is in a sandbox, an origin of its own, like every other.
_POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}' 'strict-dynamic' 'wasm-unsafe-eval'; worker-src blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src data: blob:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; sandbox allow-scripts allow-forms allow-downloads "
    "allow-top-navigation allow-popups allow-popups-to-escape-sandbox"
)

#: What opens a preview.
Pass = Annotated[str, Query(alias="pass", max_length=4000)]


def routes(
    settings: HubSettings,
    gate: Gate,
    doorkeeper: Doorkeeper,
    doors: ArchiveDoors,
    pages: Pages,
) -> APIRouter:
    """The routes of the search page; a platform without a search service has the page say so."""
    router = APIRouter(include_in_schema=False)
    search, previews = doors.search, doors.previews
    person = Depends(gate.person)

    @router.get("/archive")
    async def archive(request: Request, _visitor: Visitor = person) -> HTMLResponse:
        form = Form.of(request.query_params)
        nonce = secrets.token_urlsafe(16)
        found, wrong, conditions = None, "", None
        if search is None:
            wrong = "This platform has no archive to search."
        elif form.asked:
            try:
                conditions = understood(form)
                found = await search.images(doorkeeper.token(request), conditions.parameters())
            except ConditionError as refusal:
                wrong = str(refusal)
            except SearchUnavailableError:
                wrong = "The archive's search does not answer. Try again in a minute."
            except PortalError as refusal:
                wrong = str(refusal)
        answer = pages.page(
            request,
            "archive.html",
            here="archive",
            form=form,
            filters=FILTERS,
            most=SHOWN,
            found=found,
            wrong=wrong,
            previews=_previews(found, doorkeeper, request) if previews else {},
            notebook=_notebook(settings, conditions) if found is not None else "",
            nonce=nonce,
        )
        answer.headers["Content-Security-Policy"] = _POLICY.format(nonce=nonce)
        return answer

    @router.get("/archive/preview")
    async def preview(pass_: Pass) -> Response:
        """A preview, for whoever has its address, which only a page of somebody who may read the image has.

        The pass is in the query, which the log of requests leaves out.
        """
        if previews is None:
            raise PortalError(HTTPStatus.NOT_FOUND, "There is no such preview.")
        what, token = await doorkeeper.passed(pass_)
        try:
            picture = await previews.of(Subject.model_validate_json(what), token)
        except NoPreviewError as error:
            raise PortalError(HTTPStatus.NOT_FOUND, str(error)) from error
        # The page that shows it has an origin of its own.
        headers = {"Cache-Control": "private, max-age=3600", "Cross-Origin-Resource-Policy": "cross-origin"}
        return Response(picture, media_type="image/png", headers=headers)

    return router


def _previews(found: Found | None, doorkeeper: Doorkeeper, request: Request) -> dict[str, str]:
    """Return what opens each image's preview, by the image's name."""
    subjects = {
        image.name: Subject(dataset=image.dataset, key=image.key, sha256=image.sha256, size=image.size)
        for image in (found.images if found else ())
    }
    return {name: doorkeeper.pass_for(request, one.model_dump_json()) for name, one in subjects.items()}


def _notebook(settings: HubSettings, conditions: Conditions | None) -> str:
    """Return the address that makes a notebook with the search in the server of whoever follows it."""
    query = conditions.notebook() if conditions else ""
    return f"{settings.page('user-redirect/romanhub/notebook')}?{query}"
