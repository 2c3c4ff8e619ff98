"""Git repositories that people register, as the catalogue hands them out."""

from __future__ import annotations

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class Repository(BaseModel):
    """A Git repository that somebody registered: its notebooks become drafts of theirs, whenever it changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: int = Field(description="Its number.")
    url: str = Field(description="Its address.")
    branch: str = Field(description="The branch that is read; empty for its own choice.")
    folder: str = Field(description="The folder that is read; empty for all of it.")
    owner: str = Field(description="Who registered it.")
    prefix: str = Field(description="What the names of its entries begin with.")
    at_once: bool = Field(description="Whether new versions of what is public already go public by themselves.")
    commit: str | None = Field(description="The commit that was read last.")
    read_at: AwareDatetime | None = Field(description="When it was looked at last.")
    problem: str | None = Field(description="What its owner has to put right, of the whole or of some notebooks.")


class RepositoryRead(Repository):
    """A repository just after it was read."""

    drafts: tuple[str, ...] = Field(description="The entries that have a draft of it now.")
    published: tuple[str, ...] = Field(description="The entries of which a new version went public by itself.")
