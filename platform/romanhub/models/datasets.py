"""What data there is, by name: where it is, what it is, who may read it, and how to cite it.

`romanhub.services.datasetsfile` reads the file and says on which line a mistake is.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from romanhub.models.parts import Bucket, Name, Prefix, Strict, Text

#: How the files of a data set are laid out.
Format = Literal["asdf", "parquet", "hats", "fits", "zarr"]


class Public(Strict):
    """Everybody who signs in may read it."""

    kind: Literal["public"] = Field(default="public", description="Everybody who signs in may read it.")

    def open_to(self, groups: Collection[str], at: datetime) -> bool:
        """Return True: it is open to everybody at all times."""
        return True

    def in_words(self) -> str:
        """Return who may read it, for a table."""
        return "everybody"


class Groups(Strict):
    """Members of some groups of the hub may read it."""

    kind: Literal["groups"] = Field(description="Members of the groups may read it, and nobody else.")
    groups: tuple[Text, ...] = Field(min_length=1, description="Hub groups, any of which opens it.")

    def open_to(self, groups: Collection[str], at: datetime) -> bool:
        """Return whether a member of these groups may read it."""
        return not set(self.groups).isdisjoint(groups)

    def in_words(self) -> str:
        """Return who may read it, for a table."""
        return f"members of {' or '.join(self.groups)}"


class Embargo(Strict):
    """Nobody but some groups may read it until a moment; from then on everybody may."""

    kind: Literal["embargo"] = Field(
        description="Until a moment the groups may read it and nobody else; from then on everybody may."
    )
    until: AwareDatetime = Field(
        description="When it becomes public, with its time zone, such as 2027-10-01T00:00:00Z."
    )
    groups: tuple[Text, ...] = Field(default=(), description="Hub groups that may read it before.")

    def open_to(self, groups: Collection[str], at: datetime) -> bool:
        """Return whether a member of these groups may read it at a moment."""
        return at >= self.until or not set(self.groups).isdisjoint(groups)

    def in_words(self) -> str:
        """Return who may read it, for a table."""
        before = f", before then members of {' or '.join(self.groups)}" if self.groups else ""
        return f"everybody from {self.until:%Y-%m-%d %H:%M %Z}{before}"


Access = Annotated[Public | Groups | Embargo, Field(discriminator="kind")]


class Citation(Strict):
    """How to cite a data set."""

    text: Text = Field(description="The sentence or the reference to put into a paper.")
    doi: str | None = Field(
        default=None, pattern=r"^10\.\d{4,9}/\S+$", description="Its DOI, such as 10.1051/0004-6361/202243940."
    )
    bibcode: str | None = Field(
        default=None, pattern=r"^\d{4}\S{15}$", description="Its bibcode, such as 2023A&A...674A...1G."
    )


class Place(Strict):
    """Where a data set is: the beginning of its objects' keys in a bucket."""

    bucket: Bucket = Field(description="The bucket that holds it.")
    prefix: Prefix = Field(description="What its objects' keys begin with; it ends in a slash.")
    region: Text = Field(description="The region of the bucket, such as us-east-1.")


class Dataset(Place):
    """One data set."""

    title: Text = Field(description="Its name as people read it.")
    description: Text = Field(description="A sentence or two that say what it holds.")
    mission: Text = Field(description="The mission or the survey that it is of, such as Roman.")
    format: Format = Field(description="How its files are laid out.")
    level: Annotated[int, Field(ge=1, le=4, strict=True)] | None = Field(
        default=None, description="Roman's processing level, 1 to 4; none for another mission's data."
    )
    index: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9!_.()'=+@:/-]+$",
        description="The key, in the same bucket, of the index that lists its files; whoever may read the data "
        "set may read it.",
    )
    access: Access = Field(default=Public(), description="Who may read it; without it everybody who signs in.")
    citation: Citation = Field(description="How to cite it.")

    def open_to(self, groups: Collection[str], at: datetime) -> bool:
        """Return whether somebody in these hub groups may read it at a moment."""
        return self.access.open_to(groups, at)


class Datasets(Strict):
    """The whole file of data sets."""

    datasets: dict[Name, Dataset] = Field(min_length=1, description="The data sets, by name.")

    @model_validator(mode="after")
    def _check_nesting(self) -> Self:
        # Whoever may read a prefix may read all that is within it.
        for name, one in self.datasets.items():
            for inner, other in self.datasets.items():
                within = one.bucket == other.bucket and other.prefix.startswith(one.prefix)
                if inner != name and within and one.access != other.access:
                    raise ValueError(
                        f"The data set {inner} is within {name} ({one.prefix}), which others may read. Give it a "
                        "prefix of its own, or both the same access."
                    )
        return self

    def readable(self, groups: Collection[str], at: datetime) -> dict[str, Dataset]:
        """Return the data sets that somebody in these hub groups may read at a moment, by name."""
        return {name: one for name, one in self.datasets.items() if one.open_to(groups, at)}
