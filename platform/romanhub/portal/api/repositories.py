"""Git repositories that people register: their notebooks become drafts, whenever they change."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from pydantic import Field

from romanhub.models.repositories import Repository, RepositoryRead
from romanhub.portal.auth import Visitor
from romanhub.portal.gate import Gate
from romanhub.portal.inputs import Input
from romanhub.portal.models import Answer
from romanhub.portal.problems import described
from romanhub.portal.registering import Registering

_Number = Annotated[int, Path(ge=1, lt=2**31, description="The repository's number.")]


class RepositoryInput(Input):
    """A repository that is to be read."""

    url: str = Field(min_length=1, max_length=500, description="Its address: https://…")
    branch: str = Field(default="", max_length=200, description="The branch; empty for its own choice.")
    folder: str = Field(default="", max_length=500, description="The folder; empty for all of it.")
    prefix: str = Field(default="", max_length=60, description="What the names of its entries begin with.")


class RepositoriesModel(Answer):
    """The caller's repositories."""

    repositories: tuple[Repository, ...]


def routes(gate: Gate, registering: Registering) -> APIRouter:
    """The routes of repositories. By a token nothing goes public: that is said on the portal's page."""
    router = APIRouter(tags=["community"], prefix="/v1/community/repositories")
    person = Depends(gate.person)

    @router.get("", responses=described(404))
    async def own_repositories(visitor: Visitor = person) -> RepositoriesModel:
        """The caller's repositories, with what is wrong with them."""
        return RepositoriesModel(repositories=await registering.ask(lambda all_: all_.of(visitor.name)))

    @router.post("", status_code=201, responses=described(404, 409))
    async def register_repository(given: RepositoryInput, visitor: Visitor = person) -> RepositoryRead:
        """Register a public Git repository, and read it. Its notebooks that have a sidecar become drafts."""
        return await registering.ask(
            lambda all_: all_.register(
                visitor.name, given.url, branch=given.branch, folder=given.folder, prefix=given.prefix
            )
        )

    @router.post("/{number}/reads", responses=described(404, 409))
    async def read_repository(number: _Number, visitor: Visitor = person) -> RepositoryRead:
        """Read a repository now."""
        return await registering.ask(lambda all_: all_.read(visitor.name, number))

    @router.delete("/{number}", status_code=204, responses=described(404))
    async def forget_repository(number: _Number, visitor: Visitor = person) -> None:
        """Read a repository no more. Its entries stay."""
        await registering.ask(lambda all_: all_.remove(visitor.name, number))

    return router
