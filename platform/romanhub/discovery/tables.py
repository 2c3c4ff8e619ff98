"""What a table of the service is, as its readers see it and as it lies in the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

#: The types of columns, in VOTable's words; "text" is char with arraysize *, and "list" double with arraysize *.
Kind = Literal["boolean", "short", "int", "long", "float", "double", "text", "list", "timestamp"]

#: How the store writes each type.
SQL_TYPES: dict[Kind, str] = {
    "boolean": "BOOLEAN",
    "short": "SMALLINT",
    "int": "INTEGER",
    "long": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "text": "VARCHAR",
    "list": "DOUBLE[]",
    "timestamp": "TIMESTAMP",
}

#: The store's columns that a query cannot name: the number that rows are sorted by, and a footprint's numbers.
CELL, SHAPE = "_cell", "_shape"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Column(_Model):
    """One column."""

    name: str = Field(description="Its name in queries.")
    kind: Kind = Field(description="Its type.")
    description: str = Field(default="", description="What it says, in a sentence.")
    unit: str = Field(default="", description="Its unit, in the VO's spelling.")
    ucd: str = Field(default="", description="Its UCD1+.")
    utype: str = Field(default="", description="Its place in a data model.")
    xtype: str = Field(default="", description="What its value is, where the type does not say it (DALI 1.1).")
    source: str = Field(default="", description="The column of the store, where it has another name there.")
    principal: bool = Field(default=True, description="Whether it is among those that one looks at first.")
    std: bool = Field(default=False, description="Whether a standard defines it.")
    indexed: bool = Field(default=False, description="Whether a search by it is quick.")

    @property
    def stored(self) -> str:
        """The column's name in the store."""
        return self.source or self.name


class Entry(_Model):
    """One table."""

    db: str = Field(description="The schema that it is in.")
    name: str = Field(description="Its name in the schema.")
    description: str = Field(description="What it holds, in a sentence.")
    stored: str = Field(description="The table of the store that it shows.")
    columns: tuple[Column, ...] = Field(description="Its columns, in order.")
    dataset: str | None = Field(
        default=None, description="The data set that all of its rows are of; none where a row says it itself."
    )
    ra: str | None = Field(default=None, description="Its column of right ascensions, ICRS, degrees.")
    dec: str | None = Field(default=None, description="Its column of declinations, ICRS, degrees.")
    region: str | None = Field(default=None, description="Its column of footprints.")
    cells: Literal["none", "sources", "images"] = Field(default="none", description="How its rows are sorted.")
    classes: tuple[int, ...] = Field(default=(), description="The classes of its images' sizes.")
    rows: int = Field(default=0, description="How many rows it has.")
    utype: str = Field(default="", description="The data model that it is.")

    @property
    def full(self) -> str:
        """Its name with its schema, as queries say it."""
        return f"{self.db}.{self.name}"

    def column(self, name: str) -> Column | None:
        """Return a column by its name, in whatever case."""
        return next((column for column in self.columns if column.name.lower() == name.lower()), None)


class Contents(_Model):
    """What a store holds; kept in the store itself."""

    made: str = Field(description="When the store was built, ISO 8601, UTC.")
    fingerprint: str = Field(description="What it was built from, as a digest.")
    tables: tuple[Entry, ...] = Field(description="Its tables.")

    def names(self) -> Mapping[str, Entry]:
        """Return the tables by their full names, in lower case."""
        return {table.full.lower(): table for table in self.tables}


#: What is said of each schema.
SCHEMAS = {
    "ivoa": "Tables that standards of the IVOA define.",
    "roman": "The archive's images in plain words.",
    "catalogs": "Catalogues of sources, one of each data set.",
    "tap_schema": "What tables and columns there are (TAP 1.1, section 4).",
    "tap_upload": "What came along with a query.",
}
