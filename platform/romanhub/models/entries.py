"""Entries of the community's catalogue as its services hand them out: cards, versions, what a search found."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from romanhub.models.community import Author, Kind, Sidecar, State


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Proof(StrEnum):
    """What the last regular run of an entry showed."""

    NEVER = "never"
    PASSED = "passed"
    FAILED = "failed"
    STALE = "stale"


class Order(StrEnum):
    """In which order a search is answered."""

    RELEVANCE = "relevance"
    NEWEST = "newest"
    STARS = "stars"
    OPENS = "opens"


class Version(_Part):
    """One version of an entry. Once it is public nothing of it changes."""

    entry: str = Field(description="The entry's name.")
    number: int = Field(description="Its number, from 1.")
    digest: str = Field(description="The SHA-256 of its file; of a tool or a product, of its manifest.")
    size: int = Field(description="The size of that file in bytes; of a product, of all its files.")
    sidecar: dict[str, Any] = Field(description="What its author says of it; a draft's may lack fields.")
    details: dict[str, Any] = Field(description="What its kind needs: a picture's digest, a manifest, a package.")
    made_by: str = Field(description="Who made it.")
    made_at: AwareDatetime = Field(description="When.")
    published_at: AwareDatetime | None = Field(description="When it became public; None for a draft.")

    @property
    def about(self) -> Sidecar:
        """What its author says of it, complete; raises ValidationError for a draft that lacks something."""
        return Sidecar.model_validate(self.sidecar)

    @property
    def is_data(self) -> bool:
        """Whether it is of a data product."""
        return "folder" in self.details

    @property
    def picture(self) -> str | None:
        """The digest of its card's picture, a PNG file; None where it has none."""
        found = self.details.get("picture")
        return found if isinstance(found, str) else None


class Entry(_Part):
    """An entry as it stands now."""

    name: str = Field(description="What it is called in addresses and commands.")
    kind: Kind = Field(description="What it is.")
    owner: str = Field(description="The hub's user name of whoever made it.")
    state: State = Field(description="Where it stands.")
    reason: str | None = Field(description="Why it stands there, where somebody said so: deprecated, withdrawn.")
    newest: Version | None = Field(
        description="The newest public version, the tombstone's too; None before the first."
    )
    pending: Version | None = Field(description="The version that is not public yet; None where there is none.")
    proof: Proof = Field(description="What its last regular run showed.")
    proved_at: AwareDatetime | None = Field(description="Since when that is so.")
    stars: int = Field(description="How many people gave it a star.")
    opens: int = Field(description="How often it was opened; a person counts once a day.")
    created_at: AwareDatetime = Field(description="When it was first sent.")
    changed_at: AwareDatetime = Field(description="When it last changed.")


class Draft(_Part):
    """What came of sending a version that is not public yet."""

    entry: Entry = Field(description="The entry, with the draft as `pending`.")
    version: Version = Field(description="The draft.")
    missing: dict[str, str] = Field(
        description="The fields that it lacks before it can be shown, and what each says."
    )


class Card(_Part):
    """An entry in a list."""

    name: str = Field(description="What it is called in addresses and commands.")
    kind: Kind = Field(description="What it is.")
    title: str = Field(description="Its title.")
    abstract: str = Field(description="What it does and for whom.")
    authors: tuple[Author, ...] = Field(description="Who made it.")
    tags: tuple[str, ...] = Field(description="What people would look for.")
    datasets: tuple[str, ...] = Field(description="The data sets that it reads.")
    image: str | None = Field(description="The environment that it ran in.")
    state: State = Field(description="Where it stands.")
    proof: Proof = Field(description="What its last regular run showed.")
    version: int = Field(description="The number of its newest public version.")
    published_at: AwareDatetime = Field(description="When that became public.")
    picture: str | None = Field(description="The digest of its picture, a PNG file; None where it has none.")
    stars: int = Field(description="How many people gave it a star.")
    opens: int = Field(description="How often it was opened; a person counts once a day.")


class Count(_Part):
    """One value of a facet, and how many of the entries that were found have it."""

    value: str = Field(description="The value.")
    entries: int = Field(description="How many entries have it.")


class Facets(_Part):
    """By what a search can be narrowed. The most frequent values come first."""

    tags: tuple[Count, ...] = Field(description="Tags.")
    datasets: tuple[Count, ...] = Field(description="Data sets.")
    images: tuple[Count, ...] = Field(description="Environments.")
    kinds: tuple[Count, ...] = Field(description="Kinds.")
    statuses: tuple[Count, ...] = Field(
        description="States (public, reviewed, deprecated), and what the last run showed (passed, failed, stale, "
        "never)."
    )


class Found(_Part):
    """One page of what a search found."""

    cards: tuple[Card, ...] = Field(description="The entries of this page.")
    facets: Facets = Field(description="How the entries that were found, on all pages, are spread.")
    total: int = Field(description="How many were found.")
    page: int = Field(description="Which page this is, from 1.")
    pages: int = Field(description="How many there are; 1 where nothing was found.")


class Done(_Part):
    """One act on an entry, as the catalogue wrote it down."""

    at: AwareDatetime = Field(description="When.")
    actor: str = Field(description="Who.")
    act: str = Field(description="What was done: `draft`, or an act of the table of moves.")
    version: int | None = Field(description="The version that it was about, where it was about one.")
    reason: str | None = Field(description="Why, where somebody said so.")


class Use(_Part):
    """How an entry of somebody's is used."""

    name: str = Field(description="The entry.")
    title: str = Field(description="Its title.")
    kind: Kind = Field(description="What it is.")
    state: State = Field(description="Where it stands.")
    proof: Proof = Field(description="What its last regular run showed.")
    stars: int = Field(description="How many people gave it a star.")
    opens: int = Field(description="How often it was opened; a person counts once a day.")
    people: int = Field(description="How many people opened it.")
    recent: int = Field(description="How often it was opened within the last 30 days.")
    built_on_by: int = Field(description="How many public entries build on it.")
