"""What the archive's index says of each file: a name, where on the sky, when, in which filter."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

#: The object that holds the index, at the top of the archive's bucket.
INDEX_KEY = "index.json"

#: What follows an image's key in the key of its file's index (`romanhub.asdf_blocks.sidecar`), where it has one.
FILE_INDEX_ENDING = ".idx.json.z"

#: The two kinds of image that the archive holds: calibrated exposures of one detector, and mosaics.
Level = Literal[2, 3]

Vertex = tuple[
    Annotated[float, Field(ge=0, lt=360)],
    Annotated[float, Field(ge=-90, le=90)],
]


class ExposureRecord(BaseModel):
    """One image in the archive: a Level 2 exposure of one detector, or a Level 3 mosaic."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(
        pattern=r"^[a-z0-9_\-]+$",
        description="The file's name in the archive, without its ending, as a scientist says it.",
    )
    level: Level = Field(description="Processing level: 2 for an exposure, 3 for a mosaic.")
    key: str = Field(description="The object's key in the archive's bucket.")
    optical_element: str = Field(description="The filter, in Roman's spelling, such as F158.")
    detector: str | None = Field(description="The detector, such as WFI01; none for a mosaic.")
    start: AwareDatetime = Field(description="When the exposure started, or the first of a mosaic's.")
    exposure_time: float = Field(gt=0, description="Exposure time in seconds.")
    footprint: tuple[Vertex, ...] = Field(
        min_length=3,
        description="The image's corners on the sky, in order, as (right ascension, declination) "
        "in degrees, ICRS.",
    )
    shape: tuple[int, int] = Field(description="The image's shape (rows, columns) in pixels.")
    size: int = Field(gt=0, description="The object's size in bytes.")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="The object's SHA-256 checksum.")


class CatalogRecord(BaseModel):
    """One source catalogue in the archive, a Parquet file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9_\-]+$", description="The catalogue's name in the archive.")
    key: str = Field(description="The object's key in the archive's bucket.")
    image: str = Field(description="The name of the image that the sources were found in.")
    rows: int = Field(ge=0, description="How many sources it lists.")
    size: int = Field(gt=0, description="The object's size in bytes.")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="The object's SHA-256 checksum.")


class HatsFile(BaseModel):
    """One file of a catalogue in the HATS layout."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str = Field(description="The object's key in the archive's bucket.")
    size: int = Field(ge=0, description="The object's size in bytes.")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="The object's SHA-256 checksum.")


class HatsRecord(BaseModel):
    """One catalogue in the HATS layout: Parquet files by place on the sky, with a margin cache."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9_\-]+$", description="The name of the data set that it is.")
    key: str = Field(pattern=r"/$", description="What its objects' keys begin with; it ends in a slash.")
    rows: int = Field(ge=0, description="How many rows it has.")
    files: tuple[HatsFile, ...] = Field(min_length=1, description="Its objects.")


class ArchiveIndex(BaseModel):
    """Everything that the archive holds, as its index lists it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    made: datetime = Field(description="When the index was written.")
    made_by: str = Field(description="The command line that made the archive.")
    exposures: tuple[ExposureRecord, ...] = Field(description="Level 2 exposures and Level 3 mosaics.")
    catalogs: tuple[CatalogRecord, ...] = Field(description="Source catalogues.")
    hats: tuple[HatsRecord, ...] = Field(default=(), description="Catalogues in the HATS layout.")
