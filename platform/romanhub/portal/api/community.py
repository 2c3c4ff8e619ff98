"""The community's catalogue: searching, reading, drafts, and acts for those whose token may do them."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import Field

from romanhub.community import citing
from romanhub.community.rendering import HEADERS
from romanhub.models.community import ENTRY_NAME, LARGEST_NOTEBOOK, Act, Sidecar
from romanhub.models.entries import Card, Done, Draft, Entry, Facets, Found, Order, Use, Version
from romanhub.portal.api.paging import link_next
from romanhub.portal.auth import Visitor
from romanhub.portal.bodies import body_of, read_body
from romanhub.portal.cataloguing import Cataloguing
from romanhub.portal.gate import Gate
from romanhub.portal.inputs import Input, Reason
from romanhub.portal.models import Answer
from romanhub.portal.problems import described, invalid

_Name = Annotated[str, Path(pattern=ENTRY_NAME, max_length=100, description="The entry's name.")]
_Act = Annotated[Act, Path(description="What is to be done.")]
_Number = Annotated[int, Path(ge=1, lt=2**31, description="The version's number.")]
#: What is sent for a draft is no larger, in bytes: a notebook in base64, and what is said of it.
LARGEST_DRAFT = LARGEST_NOTEBOOK * 4 // 3 + 200_000

_Many = Annotated[list[str], Query(max_length=20, description="Such entries alone; may be given several times.")]


class EntryModel(Answer):
    """An entry, and what the caller may do with it."""

    entry: Entry
    starred: bool = Field(description="Whether the caller gave it a star.")


class EntriesModel(Answer):
    """Entries."""

    entries: tuple[Entry, ...]


class VersionsModel(Answer):
    """The public versions of an entry, newest first."""

    versions: tuple[Version, ...]


class ActsModel(Answer):
    """What was done to an entry, oldest first."""

    acts: tuple[Done, ...]


class CardsModel(Answer):
    """Entries, as a list shows them."""

    cards: tuple[Card, ...]


class FoundModel(Answer):
    """One page of what a search found."""

    cards: tuple[Card, ...]
    facets: Facets
    total: int = Field(description="How many entries were found.")
    page: int = Field(description="Which page this is.")
    pages: int = Field(description="How many there are.")


class UsesModel(Answer):
    """How the caller's entries are used."""

    entries: tuple[Use, ...]


class CitationModel(Answer):
    """How to cite a version."""

    bibtex: str = Field(description="For a bibliography.")
    cff: str = Field(description="A file CITATION.cff.")


class CountedModel(Answer):
    """Whether an open was counted."""

    counted: bool


class DraftInput(Input):
    """A notebook that is to become a draft."""

    file: Annotated[str, Field(description="The notebook's file in base64, which keeps it byte for byte.")]
    sidecar: Annotated[dict[str, Any], Field(description="What the author says of it; it may lack fields.")]
    file_name: Annotated[str | None, Field(max_length=130, description="What the file is called.")] = None


class ActInput(Input):
    """Why an act is done; some need a reason, which readers see."""

    reason: Reason | None = None


def routes(gate: Gate, cataloguing: Cataloguing) -> APIRouter:
    """The routes of the community's catalogue."""
    router = APIRouter(tags=["community"], prefix="/v1/community")
    # Defaults rather than annotations: FastAPI cannot look up an annotation that is local to a function.
    anybody, person, publisher = Depends(gate.anybody), Depends(gate.person), Depends(gate.publisher)

    @router.get("/entries")
    async def search_entries(
        request: Request,
        response: Response,
        words: Annotated[str, Query(max_length=500, description="Words that it has, all of them.")] = "",
        tag: _Many = [],  # noqa: B006  -- FastAPI copies it
        dataset: _Many = [],  # noqa: B006
        image: _Many = [],  # noqa: B006
        kind: _Many = [],  # noqa: B006
        status: _Many = [],  # noqa: B006
        order: Annotated[
            Order | None, Query(description="By relevance where words are given, else newest.")
        ] = None,
        page: Annotated[int, Query(ge=1, le=100_000, description="Which page.")] = 1,
        _visitor: Visitor = anybody,
    ) -> FoundModel:
        """Search the catalogue: by words, and by tag, data set, image, kind and status."""
        found: Found = await cataloguing.ask(
            lambda catalogue: catalogue.search(
                words,
                tags=tag,
                datasets=dataset,
                images=image,
                kinds=kind,
                statuses=status,
                order=order,
                page=page,
            )
        )
        link_next(request, response, page=found.page + 1 if found.page < found.pages else None)
        return FoundModel(
            cards=found.cards, facets=found.facets, total=found.total, page=found.page, pages=found.pages
        )

    @router.get("/mine")
    async def own_entries(visitor: Visitor = person) -> EntriesModel:
        """The caller's own entries, drafts too."""
        return EntriesModel(entries=await cataloguing.ask(lambda catalogue: catalogue.entries_of(visitor.name)))

    @router.get("/use")
    async def own_use(visitor: Visitor = person) -> UsesModel:
        """How the caller's public entries are used."""
        return UsesModel(entries=await cataloguing.ask(lambda catalogue: catalogue.use_of(visitor.name)))

    @router.get("/schema")
    async def sidecar_schema(_visitor: Visitor = anybody) -> dict[str, Any]:
        """What an author says of an entry, as a JSON schema."""
        return Sidecar.model_json_schema()

    @router.get("/entries/{name}", responses=described(404))
    async def read_entry(name: _Name, visitor: Visitor = anybody) -> EntryModel:
        """One entry. A draft is for whoever made it alone; of a withdrawn one the tombstone is left."""
        return await cataloguing.ask(
            lambda catalogue: EntryModel(
                entry=catalogue.entry(name, viewer=visitor.name), starred=catalogue.has_star(visitor.name, name)
            )
        )

    @router.get("/entries/{name}/versions", responses=described(404))
    async def list_versions(name: _Name, visitor: Visitor = anybody) -> VersionsModel:
        """The public versions of an entry, newest first."""
        return VersionsModel(
            versions=await cataloguing.ask(lambda catalogue: catalogue.versions(name, viewer=visitor.name))
        )

    @router.get("/entries/{name}/acts", responses=described(404))
    async def list_acts(name: _Name, visitor: Visitor = anybody) -> ActsModel:
        """What was done to an entry, and by whom, oldest first."""
        return ActsModel(acts=await cataloguing.ask(lambda catalogue: catalogue.acts(name, viewer=visitor.name)))

    @router.get("/entries/{name}/built-on-by", responses=described(404))
    async def built_on_by(name: _Name, _visitor: Visitor = anybody) -> CardsModel:
        """The public entries that build on one."""
        return CardsModel(cards=await cataloguing.ask(lambda catalogue: catalogue.who_builds_on(name)))

    @router.get("/entries/{name}/versions/{number}/file", responses=described(404), response_class=Response)
    async def read_file(name: _Name, number: _Number, visitor: Visitor = anybody) -> Response:
        """A version's file, byte for byte, as something to save."""
        content = await cataloguing.ask(
            lambda catalogue: catalogue.content(catalogue.version(name, number, viewer=visitor.name))
        )
        # It is never shown by a browser: what is in it was written by anybody.
        disposition = {"Content-Disposition": f'attachment; filename="{name}-{number}"'}
        return Response(content, media_type="application/octet-stream", headers=HEADERS | disposition)

    @router.get("/entries/{name}/versions/{number}/citation", responses=described(404))
    async def cite(request: Request, name: _Name, number: _Number, _visitor: Visitor = anybody) -> CitationModel:
        """How to cite a public version."""
        version = await cataloguing.ask(lambda catalogue: catalogue.version(name, number))
        if version.published_at is None:
            raise invalid("A draft cannot be cited: publish it first.")
        address = f"{request.base_url}".rstrip("/") + request.url.path.partition("api/")[0] + f"community/{name}"
        day = version.published_at.date()
        return CitationModel(
            bibtex=citing.bibtex(
                version.about, entry=name, version=number, day=day, address=address, dataset=version.is_data
            ),
            cff=citing.citation_file(
                version.about, version=number, day=day, address=address, dataset=version.is_data
            ),
        )

    @router.put("/entries/{name}/draft", responses=described(404, 409, 413), openapi_extra=body_of(DraftInput))
    async def send_draft(request: Request, name: _Name, visitor: Visitor = person) -> Draft:
        """Keep a notebook as a draft, instead of the one before. Nobody else sees it until it is published."""
        given = await read_body(request, DraftInput, at_most=LARGEST_DRAFT)
        content = _content(given)
        details = {"file": given.file_name} if given.file_name else {}
        return await cataloguing.ask(
            lambda catalogue: catalogue.draft(visitor.name, name, content, given.sidecar, details)
        )

    @router.post("/entries/{name}/acts/{act}", responses=described(404, 409))
    async def do_act(name: _Name, act: _Act, given: ActInput, visitor: Visitor = publisher) -> Entry:
        """Do one of the acts: publish, discard, review, unreview, deprecate, restore, withdraw."""
        roles = cataloguing.roles(visitor)
        return await cataloguing.ask(
            lambda catalogue: catalogue.act(visitor.name, roles, name, act, given.reason or "")
        )

    @router.put("/entries/{name}/star", responses=described(404))
    async def give_star(name: _Name, visitor: Visitor = publisher) -> EntryModel:
        """Give an entry a star; one that has it already keeps it."""
        entry = await cataloguing.ask(lambda catalogue: catalogue.star(visitor.name, name))
        return EntryModel(entry=entry, starred=True)

    @router.delete("/entries/{name}/star", responses=described(404))
    async def take_star(name: _Name, visitor: Visitor = publisher) -> EntryModel:
        """Take a star back."""
        entry = await cataloguing.ask(lambda catalogue: catalogue.unstar(visitor.name, name))
        return EntryModel(entry=entry, starred=False)

    @router.post("/entries/{name}/versions/{number}/opens", responses=described(404))
    async def count_open(name: _Name, number: _Number, visitor: Visitor = person) -> CountedModel:
        """Count that the caller opened a copy of a version: once a day, and never an author's own."""
        return CountedModel(
            counted=await cataloguing.ask(lambda catalogue: catalogue.opened(visitor.name, name, number))
        )

    return router


def _content(given: DraftInput) -> bytes:
    try:
        return base64.b64decode(given.file, validate=True)
    except (binascii.Error, ValueError):
        raise invalid("`file` is not base64.") from None
