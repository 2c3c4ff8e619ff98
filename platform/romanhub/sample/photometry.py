"""Find and measure sources in single exposures, in the same aperture as in the mosaic's catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from romanhub.sample.catalog import APERTURE, AT_EDGE, pixel_area

#: A detection is a peak, after the background's neighbourhood is taken off, of so many times the background's
#: scatter. Single exposures are searched down to less faint sources than the mosaic, so that few detections are
#: noise.
THRESHOLD = 4.0

#: Full width at half maximum of what is looked for, pixels: near that of a star.
WIDTH = 2.0

#: The bit of the flags for an aperture in which a pixel must not be used.
BAD_PIXELS = 8

#: The data quality bit of a pixel that must not be used (`roman_datamodels.dqflags.pixel.DO_NOT_USE`).
_DO_NOT_USE = 1

_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sky:
    """An exposure as surface brightness above its background: (rows, columns) arrays in MJy/sr."""

    data: _Floats
    error: _Floats
    bad: NDArray[np.bool_]
    scatter: float
    wcs: Any

    @property
    def area(self) -> float:
        """The solid angle of its central pixel, in steradians."""
        rows, columns = self.data.shape
        return pixel_area(self.wcs, (rows, columns))


def sky_of(model: Any) -> Sky:
    """Return an ImageModel, which is in DN/s, as surface brightness above its background."""
    from photutils.background import Background2D, MedianBackground

    conversion = float(model.meta.photometry.conversion_megajanskys)
    data = np.asarray(model.data, dtype=np.float64) * conversion
    error = np.asarray(model.err, dtype=np.float64) * conversion
    bad = ~np.isfinite(data) | ~np.isfinite(error) | ((np.asarray(model.dq) & _DO_NOT_USE) != 0)
    background = Background2D(data, (64, 64), filter_size=(5, 5), mask=bad, bkg_estimator=MedianBackground())
    return Sky(
        data=np.where(bad, 0.0, data - background.background),
        error=np.where(bad, 0.0, error),
        bad=bad,
        scatter=float(background.background_rms_median),
        wcs=model.meta.wcs,
    )


def measure(sky: Sky, x: _Floats, y: _Floats) -> tuple[_Floats, _Floats, NDArray[np.int16]]:
    """Return flux and its standard error, uJy, and flags, within APERTURE of each place of the image.

    Places are columns `x` and rows `y`, from 0 at a pixel's centre. Bad pixels count as nothing and are flagged.
    """
    from photutils.aperture import CircularAperture, aperture_photometry

    radius = np.radians(APERTURE / 3600) / np.sqrt(sky.area)
    apertures = CircularAperture(np.stack([x, y], axis=1), radius)
    table = aperture_photometry(sky.data, apertures, error=sky.error)
    bad = aperture_photometry(sky.bad.astype(float), apertures)["aperture_sum"]
    rows, columns = sky.data.shape
    edge = (x < radius) | (y < radius) | (x > columns - 1 - radius) | (y > rows - 1 - radius)
    flags = np.where(edge, AT_EDGE, 0) | np.where(np.asarray(bad) > 0, BAD_PIXELS, 0)
    microjansky = sky.area * 1e12  # MJy/sr times steradians is MJy
    return (
        np.asarray(table["aperture_sum"], dtype=np.float64) * microjansky,
        np.asarray(table["aperture_sum_err"], dtype=np.float64) * microjansky,
        flags.astype(np.int16),
    )


def detect(sky: Sky) -> tuple[_Floats, _Floats]:
    """Return the columns and rows of the sources that stand out of one exposure's noise.

    Peaks are found as DAOFIND does (Stetson 1987), which tells close neighbours apart. Peaks of any shape are
    kept, so that galaxies are found too.
    """
    from photutils.detection import DAOStarFinder

    finder = DAOStarFinder(
        threshold=THRESHOLD * sky.scatter,
        fwhm=WIDTH,
        sharpness_range=None,
        roundness_range=None,
        min_separation=WIDTH,
    )
    found = finder(sky.data, mask=sky.bad)
    if found is None:
        return np.zeros(0), np.zeros(0)
    x, y = (np.asarray(found[name], dtype=np.float64) for name in ("x_centroid", "y_centroid"))
    real = np.isfinite(x) & np.isfinite(y)
    return x[real], y[real]
