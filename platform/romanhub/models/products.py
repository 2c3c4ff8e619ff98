"""Data products of the community: what a version is made of, and what it is called among data sets.

A product that is called `photo-z` in the catalogue is the data set `community.photo-z`, which is its newest
version, and `community.photo-z.v2` is its second one for good. Names of other data sets have no dots, so that
nobody's entry can take the place of one.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from romanhub.models.community import ENTRY_NAME
from romanhub.models.datasets import Dataset
from romanhub.models.parts import Strict

#: What the names of products begin with among data sets.
COMMUNITY = "community."

_PRODUCT = rf"community\.{ENTRY_NAME.strip('^$')}(?:\.v[1-9][0-9]{{0,8}})?"

#: A data set's name, of the platform's own or of a product.
AnyName = Annotated[str, Field(pattern=rf"^(?:[a-z][a-z0-9-]{{0,62}}|{_PRODUCT})$", max_length=130)]

#: How the tables of a product may be kept.
ProductFormat = Literal["parquet", "fits", "asdf", "hats"]

#: What is done while a product's files are copied.
CopyStep = Literal["waiting", "fetching", "reading", "keeping"]

#: The files of a product are in folders of their own; this one within them is the catalogue's.
OWN_FOLDER = "_romanhub"


class CopyProgress(BaseModel):
    """How far the copy of a product's files is."""

    # Whoever reads it may be older than who says it.
    model_config = ConfigDict(frozen=True)

    step: CopyStep = Field(
        description="What is done now: another copy is waited for, the files are fetched from scratch, their "
        "tables are read, or they are kept."
    )
    done: int = Field(description="How many bytes were fetched, and how many were kept, together.")
    of: int = Field(description="How many that will be.")


def product_name(entry: str, version: int | None = None) -> str:
    """Return what an entry is called among data sets; one version of it where that is given."""
    return f"{COMMUNITY}{entry}" if version is None else f"{COMMUNITY}{entry}.v{version}"


def entry_of(dataset: str) -> tuple[str, int | None] | None:
    """Return the entry and the version that a data set's name means; None for a name of no product.

    The version is None where the newest one is meant.
    """
    if not re.fullmatch(_PRODUCT, dataset):
        return None
    name, _, version = dataset.removeprefix(COMMUNITY).partition(".v")
    return name, int(version) if version else None


class Column(Strict):
    """A column of a table."""

    name: str = Field(min_length=1, max_length=200, description="Its name.")
    dtype: str = Field(max_length=80, description="The kind of its values, such as float32, int64 or text.")
    unit: str | None = Field(
        default=None, max_length=80, description="Its unit; empty for none, null where nobody said it."
    )
    description: str = Field(default="", max_length=500, description="What it is.")
    said: bool = Field(default=False, description="Whether its author said the unit, because the file does not.")

    @property
    def lacks_unit(self) -> bool:
        """Whether its author has to say the unit: numbers that measure something have one, or none, but say so."""
        return self.unit is None and self.dtype.startswith(("float", "complex", "double", "half"))


class ColumnTable(Strict):
    """The columns that one or more files of a product have."""

    place: str = Field(default="", max_length=200, description="Where in its file it is; empty for all of it.")
    columns: tuple[Column, ...] = Field(min_length=1, max_length=5000, description="Its columns.")


class ProductFile(Strict):
    """A file of a product."""

    path: str = Field(min_length=1, max_length=300, description="Where it is in the product.")
    size: int = Field(ge=0, description="Its size in bytes.")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="Its checksum.")
    tables: tuple[int, ...] = Field(
        default=(), description="Which of the product's tables it has, from 0; none for a README."
    )
    rows: int | None = Field(default=None, ge=0, description="How many rows its first table has.")


class Origin(Strict):
    """What a product was made of."""

    datasets: tuple[str, ...] = Field(default=(), description="Data sets, by name.")
    notebook: str | None = Field(default=None, description="The entry of the notebook that made it.")
    software: tuple[str, ...] = Field(default=(), description="Software, with versions.")


class Manifest(Strict):
    """All that there is to know of a version's files. Its checksum is what the version is called by."""

    format: ProductFormat = Field(description="How its tables are kept.")
    files: tuple[ProductFile, ...] = Field(min_length=1, description="Its files, by path.")
    tables: tuple[ColumnTable, ...] = Field(description="The tables that its files have, each once.")
    origin: Origin = Field(default=Origin(), description="What it was made of.")

    @property
    def size(self) -> int:
        """How large all of its files are together, in bytes."""
        return sum(one.size for one in self.files)

    @property
    def unitless(self) -> tuple[str, ...]:
        """The columns whose unit nobody has said."""
        found = (column.name for table in self.tables for column in table.columns if column.lacks_unit)
        return tuple(dict.fromkeys(found))


class Product(Dataset):
    """A version of a data product, as it is read by name."""

    version: int = Field(ge=1, description="Which version it is.")
    manifest: str = Field(description="The key of its manifest, in the same bucket.")
    deprecated: str | None = Field(
        default=None, description="Why there is something better, where somebody said that there is."
    )
