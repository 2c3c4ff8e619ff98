"""Cutouts of many images around one position, on one grid of the sky, as one Dask array."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS

from romanhub.client.cutout import Cutout, SizeLike, as_pixels, cut
from romanhub.client.errors import NotCoveredError

if TYPE_CHECKING:
    from romanhub.client.exposures import Exposure

#: The grid's pixel: that of the Wide Field Instrument's detectors, which is 0.11 arcseconds.
PIXEL = 0.11 * u.arcsec

#: How many pixels beyond the grid's half diagonal are cut out, for the interpolation at its edge.
MARGIN = 2


@dataclass(frozen=True, eq=False)
class Stack:
    """Layers of one grid: north up, east left, pixels of 0.11 arcseconds, a tangent plane at the position.

    `data` is a Dask array of shape (images, rows, columns) and type float32, in MJy/sr, with a chunk for each
    image; NaN where an image has no good pixel. Each value is interpolated linearly between the four nearest
    pixels of the image, so neighbouring values share some of their noise. `names` are the images', in the order
    of the layers.
    """

    data: Any
    wcs: WCS
    names: tuple[str, ...]
    unit: u.UnitBase = u.MJy / u.sr

    @property
    def shape(self) -> tuple[int, int, int]:
        """The number of (images, rows, columns)."""
        images, rows, columns = self.data.shape
        return images, rows, columns

    def mean(self) -> Any:
        """Return the mean of the layers as a Dask array of shape (rows, columns), without their empty pixels."""
        import dask.array as da

        # By sum and count, chunk by chunk: no worker has to hold all layers.
        good = da.isfinite(self.data)
        count = good.sum(axis=0)
        return da.where(
            count > 0, da.where(good, self.data, 0).sum(axis=0, dtype=float) / da.maximum(count, 1), np.nan
        )

    def median(self, *, rows: int = 64) -> Any:
        """Return the median of the layers as a Dask array of shape (rows, columns), without their empty pixels.

        :param rows: how many rows of the grid one worker takes at a time, of all layers.
        """
        together = self.data.rechunk({0: -1, 1: rows})
        return together.map_blocks(_median, drop_axis=0, dtype=np.float32)

    def count(self) -> Any:
        """Return how many layers have a good pixel at each place, as a Dask array of shape (rows, columns)."""
        import dask.array as da

        return da.isfinite(self.data).sum(axis=0)

    def __repr__(self) -> str:
        images, rows, columns = self.shape
        return f"<Stack of {images} images: {rows} x {columns} pixels>"


def make_stack(exposures: Sequence[Exposure], position: SkyCoord, size: SizeLike) -> Stack:
    """Return the stack of the exposures; see `Archive.stack`."""
    import dask.array as da
    from dask import delayed
    from dask.base import tokenize

    if not exposures:
        raise ValueError(
            "A stack needs at least one image. `archive.exposures(position)` finds those that cover one."
        )
    shape = as_pixels(size, lambda: PIXEL)
    grid = grid_around(position, shape)
    center = (float(position.ra.deg), float(position.dec.deg))
    layer = delayed(read_layer, pure=True)
    layers = [
        da.from_delayed(
            layer(exposure, center, shape, dask_key_name=f"layer-{tokenize(exposure, center, shape)}"),
            (1, *shape),
            np.float32,
        )
        for exposure in exposures
    ]
    return Stack(da.concatenate(layers), grid, tuple(exposure.name for exposure in exposures))


def grid_around(position: SkyCoord, shape: tuple[int, int]) -> WCS:
    """Return the grid of a stack: a tangent plane whose middle is the position."""
    grid = WCS(naxis=2)
    grid.wcs.ctype = "RA---TAN", "DEC--TAN"
    grid.wcs.crval = position.ra.deg, position.dec.deg
    grid.wcs.crpix = (shape[1] + 1) / 2, (shape[0] + 1) / 2
    grid.wcs.cdelt = -PIXEL.to_value(u.deg), PIXEL.to_value(u.deg)
    return grid


def read_layer(exposure: Exposure, center: tuple[float, float], shape: tuple[int, int]) -> Any:
    """Return one image on the grid around a position, shape (1, rows, columns), in MJy/sr; a worker runs this."""
    position = SkyCoord(*center, unit="deg")
    side = int(np.ceil(np.hypot(*shape))) + 2 * MARGIN
    try:
        with exposure.open() as model:
            piece = cut(model, exposure.record, position, side, whole=True)
    except NotCoveredError:
        return np.full((1, *shape), np.nan, np.float32)
    return on_grid(piece, grid_around(position, shape), shape)[np.newaxis]


def on_grid(piece: Cutout, grid: WCS, shape: tuple[int, int]) -> Any:
    """Return a cutout interpolated onto a grid, in MJy/sr; NaN where any of the four nearest pixels is bad."""
    from scipy.ndimage import map_coordinates

    column, row = np.meshgrid(np.arange(shape[1]), np.arange(shape[0]))
    x, y = piece.sky.pixels(*grid.pixel_to_world_values(column, row))
    scale = piece.conversion_megajanskys if piece.unit == u.DN / u.s else 1.0
    bright = np.where(piece.bad, np.nan, piece.data * np.float32(np.nan if scale is None else scale))
    return map_coordinates(bright, [y, x], order=1, cval=np.nan, output=np.float32)


def _median(block: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of places where no layer has a good pixel, which NaN says
        return np.nanmedian(block, axis=0)
