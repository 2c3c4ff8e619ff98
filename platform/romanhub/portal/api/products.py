"""Data products and tools of the community's catalogue: drafts of them, and what their versions are."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import StreamingResponse
from pydantic import Field

from romanhub.community.services.catalogue import Catalogue
from romanhub.models.community import ENTRY_NAME
from romanhub.models.entries import Draft
from romanhub.models.products import Manifest, product_name
from romanhub.portal.auth import Doorkeeper, Visitor
from romanhub.portal.bodies import body_of, read_body
from romanhub.portal.cataloguing import Cataloguing
from romanhub.portal.following import followed, wants_to_follow
from romanhub.portal.gate import Gate
from romanhub.portal.inputs import Input
from romanhub.portal.models import Answer
from romanhub.portal.problems import described, invalid
from romanhub.portal.producing import Producing

#: What is sent is no larger, in bytes.
LARGEST = 1_000_000

_Name = Annotated[str, Path(pattern=ENTRY_NAME, max_length=100, description="The entry's name.")]
_Number = Annotated[int, Path(ge=1, lt=2**31, description="The version's number.")]
_Sidecar = Annotated[dict[str, Any], Field(description="What the author says of it; it may lack fields.")]


class ProductInput(Input):
    """Files of the caller's scratch that are to become a draft of a data product."""

    scratch: Annotated[
        str,
        Field(max_length=200, description="The scratch space: its name, or a project's and its name with a /."),
    ]
    folder: Annotated[str, Field(max_length=300, description="The folder of it; empty for all of it.")] = ""
    sidecar: _Sidecar
    checksums: Annotated[
        dict[str, str] | None,
        Field(max_length=10_000, description="The SHA-256 that files are to have, by their paths in the folder."),
    ] = None


class ToolInput(Input):
    """A tool that is to become a draft."""

    sidecar: _Sidecar


class ProductModel(Answer):
    """What a version of a data product is."""

    dataset: str = Field(description="What it is called among data sets, for good.")
    manifest: Manifest


class ToolModel(Answer):
    """What a version of a tool is."""

    requirement: str = Field(description="What pip installs.")
    install: str = Field(description="The line that installs it in a notebook.")
    hashed: str = Field(
        description="The same for a file of requirements, with hashes; empty where none are known."
    )
    entry_point: str = Field(description="Where it begins.")


def routes(gate: Gate, doorkeeper: Doorkeeper, cataloguing: Cataloguing, producing: Producing) -> APIRouter:
    """The routes of data products and tools."""
    router = APIRouter(tags=["community"], prefix="/v1/community/entries/{name}")
    # Defaults rather than annotations: FastAPI cannot look up an annotation that is local to a function.
    anybody, person = Depends(gate.anybody), Depends(gate.person)

    @router.put(
        "/product",
        response_model=Draft,
        responses=described(404, 409, 413),
        openapi_extra=body_of(ProductInput),
    )
    async def send_product(request: Request, name: _Name, visitor: Visitor = person) -> Draft | StreamingResponse:
        """Copy files of the caller's scratch as a draft of a data product, instead of the one before.

        It takes as long as the copy. What breaks off is gone on with by sending the same again. Who accepts
        application/x-ndjson is told how far it is: each line is an object with `progress`, and the last one has
        the draft as `result`, or the `problem`.
        """
        given = await read_body(request, ProductInput, at_most=LARGEST)
        copy = partial(
            producing.draft,
            visitor.name,
            doorkeeper.token(request),
            name,
            scratch=given.scratch,
            folder=given.folder,
            sidecar=given.sidecar,
            checksums=given.checksums,
        )
        return followed(lambda told: copy(told=told)) if wants_to_follow(request) else await copy()

    @router.put("/tool", responses=described(404, 409, 413), openapi_extra=body_of(ToolInput))
    async def send_tool(request: Request, name: _Name, visitor: Visitor = person) -> Draft:
        """Keep a tool as a draft, instead of the one before. Nothing of it is installed."""
        given = await read_body(request, ToolInput, at_most=LARGEST)
        return await cataloguing.ask(lambda catalogue: catalogue.tools.draft(visitor.name, name, given.sidecar))

    @router.get("/versions/{number}/manifest", responses=described(404))
    async def read_manifest(name: _Name, number: _Number, visitor: Visitor = anybody) -> ProductModel:
        """The files of a version of a data product, with checksums, and its columns with units."""
        manifest = await cataloguing.ask(
            lambda catalogue: catalogue.products.manifest(catalogue.version(name, number, viewer=visitor.name))
        )
        return ProductModel(dataset=product_name(name, number), manifest=manifest)

    @router.get("/versions/{number}/tool", responses=described(404))
    async def read_tool(name: _Name, number: _Number, visitor: Visitor = anybody) -> ToolModel:
        """How a version of a tool is installed."""

        def tool(catalogue: Catalogue) -> ToolModel:
            found = catalogue.tools.tool(catalogue.version(name, number, viewer=visitor.name))
            if found is None:
                raise invalid(f"The draft of '{name}' names nothing to install yet.")
            return ToolModel(
                requirement=found.requirement,
                install=found.install,
                hashed=found.hashed,
                entry_point=found.entry_point,
            )

        return await cataloguing.ask(tool)

    return router
