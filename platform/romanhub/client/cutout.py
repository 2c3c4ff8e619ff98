"""A small piece of an image, cut out around a position, with its own world coordinates."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from numpy.typing import NDArray

from romanhub.asdf_blocks import LazyArray, read_together
from romanhub.client.errors import NotCoveredError
from romanhub.client.imagesky import ImageSky, PieceSky
from romanhub.models.archive import ExposureRecord

if TYPE_CHECKING:
    from gwcs import WCS

#: The data quality bit of a pixel that must not be used: DO_NOT_USE of the Roman data models
#: (`roman_datamodels.dqflags.pixel`), written here so that a worker need not import them for it.
DO_NOT_USE = np.uint32(1)

#: A cutout may be so many times as wide as the image: enough for any stack, and not for a slip of the pen.
LARGEST = 4

#: A corner of an image's footprint is on its edge, and rounding may have it outside by less than this, in pixels.
EDGE = 1e-3

#: Uncertainties, and data quality bits where there are any.
QualityArrays = tuple[NDArray[np.float32], NDArray[np.uint32] | None]

#: What a cutout's size may be: pixels along both sides, (rows, columns) in pixels, or angles.
SizeLike = Any


class Quality:
    """What is known of a cutout's pixels beside their values: read once, when it is first used.

    :param read: returns the uncertainties, and the data quality bits where there are any.
    """

    def __init__(self, read: Callable[[], QualityArrays]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._arrays: QualityArrays | None = None

    @property
    def arrays(self) -> QualityArrays:
        """The uncertainties and the data quality bits."""
        with self._lock:
            if self._arrays is None:
                self._arrays = self._read()
            return self._arrays

    def __reduce__(self) -> Any:
        return Quality, (_Kept(self.arrays),)


@dataclass(frozen=True)
class _Kept:
    """Arrays that have been read."""

    arrays: QualityArrays

    def __call__(self) -> QualityArrays:
        return self.arrays


@dataclass(frozen=True, eq=False)
class Cutout:
    """A piece of one image.

    `data` and `err` have the shape (rows, columns) and the unit `unit`; where the piece reaches beyond
    the image they are NaN. `dq` holds the data quality bits of a Level 2 exposure and is None for a
    mosaic. Both are read when one of them is first used; `data` is there already. `corner` is the image's (row,
    column) of the cutout's first pixel. For an exposure, `conversion_megajanskys` is what 1 DN/s is in MJy/sr. A
    cutout is picklable, and what is pickled is whole.
    """

    name: str
    filter: str
    detector: str | None
    start: datetime
    exposure_time: float
    data: NDArray[np.float32]
    sky: PieceSky = field(repr=False)
    corner: tuple[int, int]
    unit: u.UnitBase
    conversion_megajanskys: float | None
    quality: Quality = field(repr=False)

    @property
    def wcs(self) -> WCS:
        """The world coordinates, which map the cutout's own pixels (x, y) to the sky and back."""
        return self.sky.wcs

    @property
    def err(self) -> NDArray[np.float32]:
        """The pixels' uncertainties, in the unit of `data`."""
        return self.quality.arrays[0]

    @property
    def dq(self) -> NDArray[np.uint32] | None:
        """The pixels' data quality bits; None for a mosaic."""
        return self.quality.arrays[1]

    @property
    def shape(self) -> tuple[int, int]:
        """The cutout's (rows, columns)."""
        rows, columns = self.data.shape
        return rows, columns

    @property
    def bad(self) -> NDArray[np.bool_]:
        """Where the pixels must not be used: outside the image, not finite, or flagged DO_NOT_USE."""
        bad: NDArray[np.bool_] = ~(np.isfinite(self.data) & np.isfinite(self.err))
        if self.dq is not None:
            bad |= (self.dq & DO_NOT_USE) != 0
        return bad

    def __repr__(self) -> str:
        rows, columns = self.shape
        return f"<Cutout of {self.name}: {rows} x {columns} pixels, {self.filter}>"


def cut(
    model: Any,
    record: ExposureRecord,
    position: SkyCoord,
    size: SizeLike,
    *,
    sky: ImageSky | None = None,
    whole: bool = False,
) -> Cutout:
    """Cut a piece out of a Roman data model.

    :param model: an ImageModel or a MosaicModel.
    :param record: what the archive's index says of it.
    :param position: what the piece is centred on, to the nearest pixel.
    :param size: a number of pixels, or an astropy angle, for both sides; or a pair (rows, columns).
    :param sky: the image's world coordinates where they were used before; they keep what was computed.
    :param whole: whether uncertainties and data quality are read at once with the pixels, since they will be used.
    :raises NotCoveredError: where the image does not cover the position.
    :raises ValueError: for a size that cannot be understood or is far larger than the image.
    """
    rows, columns = model.data.shape
    sky = sky or ImageSky(model.meta.wcs, (rows, columns))
    x, y = (float(value) for value in sky.pixels(position.ra.deg, position.dec.deg))
    edge = 0.5 + EDGE
    if not (-edge <= x <= columns - 1 + edge and -edge <= y <= rows - 1 + edge):
        raise NotCoveredError(
            f"The image {record.name} does not cover the position {position.to_string('decimal')}. "
            "`archive.exposures(position=…)` finds the images that do."
        )
    height, width = as_pixels(size, lambda: sky.scale(x, y))
    if max(height, width) > LARGEST * max(rows, columns):
        raise ValueError(
            f"A cutout of {height} x {width} pixels is far larger than the image, which has {rows} x {columns}. "
            "`archive.open` gives you the whole image."
        )
    top, left = round(y) - height // 2, round(x) - width // 2
    window = _Window(top, left, height, width, (rows, columns))
    dq = getattr(model, "dq", None)
    others = [model.err] if dq is None else [model.err, dq]

    def known(pieces: list[Any]) -> QualityArrays:
        err = window.fill(pieces[0], np.float32, np.nan)
        return err, None if dq is None else window.fill(pieces[1], np.uint32, DO_NOT_USE)

    pixels, *rest = _read([model.data, *(others if whole else [])], window.inside)
    return Cutout(
        name=record.name,
        filter=record.optical_element,
        detector=record.detector,
        start=record.start,
        exposure_time=record.exposure_time,
        data=window.fill(pixels, np.float32, np.nan),
        sky=PieceSky(sky, left, top, (height, width)),
        corner=(top, left),
        unit=_unit(model, record),
        conversion_megajanskys=_conversion(model),
        quality=Quality(_Kept(known(rest)) if whole else lambda: known(_read(others, window.inside))),
    )


@dataclass(frozen=True)
class _Window:
    """A rectangle of pixels that may reach beyond the image's edges."""

    top: int
    left: int
    height: int
    width: int
    image: tuple[int, int]

    @property
    def inside(self) -> tuple[slice, slice]:
        """The part of the image that the rectangle covers."""
        rows, columns = self.image
        return (
            slice(max(self.top, 0), min(self.top + self.height, rows)),
            slice(max(self.left, 0), min(self.left + self.width, columns)),
        )

    def fill(self, pixels: Any, dtype: type[np.generic], outside: Any) -> NDArray[Any]:
        """Return the rectangle with the pixels that are inside the image, and `outside` beyond it."""
        piece = np.full((self.height, self.width), outside, dtype)
        rows, columns = self.inside
        piece[
            rows.start - self.top : rows.stop - self.top, columns.start - self.left : columns.stop - self.left
        ] = pixels
        return piece


def _read(arrays: list[Any], part: tuple[slice, slice]) -> list[Any]:
    """Return the same part of each array, in one round of requests where they lie in the storage."""
    if all(isinstance(array, LazyArray) for array in arrays):
        return read_together(arrays, part, keep=False)
    return [np.asarray(array[part]) for array in arrays]


def as_pixels(size: SizeLike, scale: Callable[[], u.Quantity]) -> tuple[int, int]:
    """Return a size as (rows, columns) in pixels whose side is the angle `scale()`; raises ValueError."""
    try:
        alone = isinstance(size, (int, float, str)) or getattr(size, "ndim", 1) == 0
        pair = (size, size) if alone else tuple(size)
        if len(pair) != 2:
            raise TypeError
        sides = [
            round(float((side / scale()).to_value(u.one))) if isinstance(side, u.Quantity) else side
            for side in pair
        ]
        rows, columns = (int(side) for side in sides if float(side).is_integer())
    except (TypeError, ValueError, u.UnitsError):
        rows = columns = 0
    if rows < 1 or columns < 1:
        raise ValueError(
            f"{size!r} cannot be a cutout's size. Give whole pixels such as 64 or (48, 64), rows first, "
            "or an angle such as 5 * u.arcsec."
        )
    return rows, columns


def _unit(model: Any, record: ExposureRecord) -> u.UnitBase:
    """Return the unit of an image: that of the Roman data models for its level and its calibration."""
    calibrated = model.meta.get("cal_step", {}).get("flux") == "COMPLETE"
    return u.MJy / u.sr if record.level == 3 or calibrated else u.DN / u.s


def _conversion(model: Any) -> float | None:
    """Return what 1 DN/s of an exposure is in MJy/sr, where the image says so."""
    value = model.meta.get("photometry", {}).get("conversion_megajanskys")
    return None if value is None else float(value)
