"""What a search of the archive finds: images as objects that open and cut, and lists of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from html import escape
from typing import TYPE_CHECKING, Any, overload

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import QTable
from astropy.time import Time

from romanhub.asdf_blocks.dask_arrays import CHUNK_BYTES
from romanhub.client.cutout import Cutout, SizeLike
from romanhub.client.sky import Footprint, PositionLike, as_position, vector_of
from romanhub.models.archive import ExposureRecord

if TYPE_CHECKING:
    from roman_datamodels.datamodels import DataModel

    from romanhub.client.archive import Archive


class Exposure:
    """One image in the archive: a Level 2 exposure of one detector, or a Level 3 mosaic.

    It holds what the archive's index says of the image, not its pixels. It is picklable, so that a Dask
    worker can open it or cut from it.
    """

    def __init__(self, record: ExposureRecord, archive: Archive) -> None:
        self.record = record
        self._archive = archive

    @property
    def name(self) -> str:
        """The image's name in the archive."""
        return self.record.name

    @property
    def level(self) -> int:
        """2 for an exposure of one detector, 3 for a mosaic."""
        return self.record.level

    @property
    def filter(self) -> str:
        """The filter, such as F158."""
        return self.record.optical_element

    @property
    def detector(self) -> str | None:
        """The detector, such as WFI01; None for a mosaic."""
        return self.record.detector

    @property
    def start(self) -> datetime:
        """When the exposure, or the first of a mosaic's, started, in UTC."""
        return self.record.start

    @property
    def exposure_time(self) -> float:
        """The exposure time in seconds."""
        return self.record.exposure_time

    @property
    def shape(self) -> tuple[int, int]:
        """The image's (rows, columns) in pixels."""
        return self.record.shape

    @property
    def footprint(self) -> SkyCoord:
        """The image's corners on the sky, in order."""
        ra, dec = np.asarray(self.record.footprint).T
        return SkyCoord(ra, dec, unit="deg")

    def covers(self, position: PositionLike) -> bool:
        """Say whether the image's footprint covers a position."""
        return Footprint(self.record.footprint).contains(vector_of(as_position(position)))

    def open(self, *, verify: bool = True, whole: bool = False) -> DataModel:
        """Open the image as a Roman data model; see `Archive.open`."""
        return self._archive.open(self, verify=verify, whole=whole)

    def cutout(self, position: PositionLike, size: SizeLike) -> Cutout:
        """Cut a piece out of the image; see `Archive.cutout`."""
        return self._archive.cutout(self, position, size)

    def to_dask(self, array: str = "data", *, chunk_bytes: int = CHUNK_BYTES) -> Any:
        """Return an array of the image as a Dask array; see `Archive.to_dask`."""
        return self._archive.to_dask(self, array, chunk_bytes=chunk_bytes)

    def __dask_tokenize__(self) -> tuple[str, str]:
        return self.record.key, self.record.sha256

    def __repr__(self) -> str:
        return f"<{_kind(self.level)} {self.name}: {self.filter}, {_moment(self.start)}>"


class ExposureList(Sequence[Exposure]):
    """The images that a search found, in order. A slice is again such a list."""

    def __init__(self, exposures: Iterable[Exposure]) -> None:
        self._exposures = tuple(exposures)

    @overload
    def __getitem__(self, place: int) -> Exposure: ...

    @overload
    def __getitem__(self, place: slice) -> ExposureList: ...

    def __getitem__(self, place: int | slice) -> Exposure | ExposureList:
        if isinstance(place, slice):
            return ExposureList(self._exposures[place])
        return self._exposures[place]

    def __len__(self) -> int:
        return len(self._exposures)

    def __iter__(self) -> Iterator[Exposure]:
        return iter(self._exposures)

    @property
    def names(self) -> list[str]:
        """The images' names."""
        return [exposure.name for exposure in self]

    @property
    def table(self) -> QTable:
        """A table with a row for each image: name, level, filter, detector, start and exposure time."""
        starts = [exposure.start.replace(tzinfo=None).isoformat() for exposure in self]
        return QTable(
            {
                "name": np.array(self.names, str),
                "level": np.array([exposure.level for exposure in self], int),
                "filter": np.array([exposure.filter for exposure in self], str),
                "detector": np.array([exposure.detector or "" for exposure in self], str),
                "start": Time(np.array(starts, str), format="isot", scale="utc"),
                "exposure_time": np.array([exposure.exposure_time for exposure in self], float) * u.s,
            }
        )

    def __repr__(self) -> str:
        lines = "".join(f"\n  {exposure!r}" for exposure in self)
        return f"<{self._count()}{':' if lines else ''}{lines}>"

    def _repr_html_(self) -> str:
        if not self:
            return "<p>No image in the archive fulfils these conditions.</p>"
        head = "".join(
            f"<th style='text-align:left'>{escape(title)}</th>"
            for title in ("Name", "Filter", "Detector", "Start (UTC)", "Exposure time")
        )
        rows = "".join(
            "<tr>"
            + "".join(
                f"<td style='text-align:left'>{escape(cell)}</td>"
                for cell in (
                    exposure.name,
                    exposure.filter,
                    exposure.detector or "mosaic",
                    _moment(exposure.start),
                    f"{exposure.exposure_time:.1f} s",
                )
            )
            + "</tr>"
            for exposure in self
        )
        return f"<p>{escape(self._count())}</p><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"

    def _count(self) -> str:
        levels = {exposure.level for exposure in self}
        kind = _kind(levels.pop()).lower() if len(levels) == 1 else "image"
        return f"{len(self)} {kind}{'' if len(self) == 1 else 's'}"


def _kind(level: int) -> str:
    return "Mosaic" if level == 3 else "Exposure"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"
