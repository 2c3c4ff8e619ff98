"""Find the mosaic's sources and write them as a table that says what its columns are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: A source is this many neighbouring pixels ...
MIN_PIXELS = 7

#: ... that stand this many times the background's scatter above it, in the smoothed image.
THRESHOLD = 2.2

#: Full width at half maximum of the smoothing before detection, pixels: near that of a star.
SMOOTHING = 2.0

#: Radius of the fixed aperture, arcseconds.
APERTURE = 0.4

#: The bits of the column `flags`.
AT_EDGE = 1
BLENDED = 2
FEW_EXPOSURES = 4


@dataclass(frozen=True)
class Column:
    """A column of the catalogue: its name, its unit in astropy's spelling, and what it means."""

    name: str
    unit: str
    description: str
    dtype: str


COLUMNS = (
    Column("label", "", "The source's number in this catalogue, from 1.", "int32"),
    Column("ra", "deg", "Right ascension of the centroid, ICRS.", "float64"),
    Column("dec", "deg", "Declination of the centroid, ICRS.", "float64"),
    Column("x", "pix", "Column of the centroid in the mosaic, from 0 at a pixel's centre.", "float32"),
    Column("y", "pix", "Row of the centroid in the mosaic, from 0 at a pixel's centre.", "float32"),
    Column("flux", "uJy", "Flux in the Kron aperture.", "float32"),
    Column("flux_err", "uJy", "Standard error of flux, from the mosaic's error array.", "float32"),
    Column("mag_ab", "mag", "AB magnitude of flux; not-a-number if flux is not positive.", "float32"),
    Column("mag_ab_err", "mag", "Standard error of mag_ab.", "float32"),
    Column("aperture_flux", "uJy", f"Flux within {APERTURE} arcseconds of the centroid.", "float32"),
    Column("aperture_flux_err", "uJy", "Standard error of aperture_flux.", "float32"),
    Column("fwhm", "arcsec", "Full width at half maximum of a circle of equal moments.", "float32"),
    Column("ellipticity", "", "One less the ratio of minor to major axis, from moments.", "float32"),
    Column("position_angle", "deg", "Of the major axis, from north towards east.", "float32"),
    Column("exposures", "", "How many exposures reach the pixel at the centroid.", "int16"),
    Column(
        "flags",
        "",
        f"Sum of {AT_EDGE}: touches the mosaic's edge; {BLENDED}: separated from a neighbour; "
        f"{FEW_EXPOSURES}: fewer exposures than the mosaic's deepest part.",
        "int16",
    ),
)


def pixel_area(wcs: Any, shape: tuple[int, int]) -> float:
    """Return the area of the pixel at the image's centre, steradians. `shape` is (rows, columns)."""
    y, x = ((side - 1) / 2 for side in shape)
    ra, dec = wcs((x, x + 1, x), (y, y, y + 1), with_bounding_box=False)
    ra, dec = np.radians(ra), np.radians(dec)
    points = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)
    return float(np.linalg.norm(np.cross(points[1] - points[0], points[2] - points[0])))


def _layers(context: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return how many exposures reach each pixel, from the planes of bits (planes, rows, columns)."""
    layers: NDArray[np.int64] = np.bitwise_count(context).sum(axis=0, dtype=np.int64)
    return layers


def find_sources(mosaic: Any) -> dict[str, NDArray[Any]]:
    """Return the catalogue of a MosaicModel's sources: an array for each of COLUMNS, brightest first.

    Sources are found on the smoothed image with a threshold above the local background, overlapping
    ones are separated, and each is measured on the image itself with photutils.
    """
    from astropy import units as u
    from astropy.convolution import convolve
    from photutils.background import Background2D, MedianBackground
    from photutils.segmentation import (
        SourceCatalog,
        SourceFinder,
        make_2dgaussian_kernel,
    )

    data = np.asarray(mosaic.data, dtype=np.float64)
    mask = ~np.isfinite(data)
    layers = _layers(np.asarray(mosaic.context))
    background = Background2D(data, (64, 64), filter_size=(5, 5), mask=mask, bkg_estimator=MedianBackground())
    data = np.where(mask, 0.0, data - background.background)
    error = np.where(mask, 0.0, np.asarray(mosaic.err, dtype=np.float64))
    smoothed = convolve(data, make_2dgaussian_kernel(SMOOTHING, size=5), mask=mask, preserve_nan=False)
    smoothed = np.where(mask, 0.0, smoothed)
    # Where fewer exposures reach, the noise is higher, so the threshold follows the error array.
    usual = float(np.median(error[~mask]))
    threshold = THRESHOLD * background.background_rms_median * np.where(mask, np.inf, error / usual)
    plain = SourceFinder(n_pixels=MIN_PIXELS, deblend=False, progress_bar=False)(smoothed, threshold, mask=mask)
    if plain is None:
        return {column.name: np.zeros(0, dtype=column.dtype) for column in COLUMNS}
    segments = SourceFinder(n_pixels=MIN_PIXELS, progress_bar=False)(smoothed, threshold, mask=mask)
    found = SourceCatalog(data, segments, convolved_data=smoothed, error=error, mask=mask, wcs=mosaic.meta.wcs)

    scale = pixel_area(mosaic.meta.wcs, data.shape)
    microjansky = scale * 1e12  # MJy/sr times steradians is MJy
    arcsecond = np.degrees(np.sqrt(scale)) * 3600
    x, y = found.centroid_win.T
    ra, dec = mosaic.meta.wcs(x, y, with_bounding_box=False)
    flux, flux_err = found.kron_flux * microjansky, found.kron_fluxerr * microjansky
    aperture, aperture_err = found.circular_photometry(APERTURE / arcsecond)
    with np.errstate(divide="ignore", invalid="ignore"):
        magnitude = np.where(flux > 0, -2.5 * np.log10(flux) + u.uJy.to(u.ABmag), np.nan)
        magnitude_err = 2.5 / np.log(10) * flux_err / np.where(flux > 0, flux, np.nan)
    depth = layers[
        np.clip(np.rint(y).astype(int), 0, data.shape[0] - 1),
        np.clip(np.rint(x).astype(int), 0, data.shape[1] - 1),
    ]
    flags = np.zeros(len(x), dtype=np.int16)
    flags[_touching(np.asarray(segments.data), np.asarray(found.label), layers == 0)] |= AT_EDGE
    flags[_separated(np.asarray(segments.data), np.asarray(plain.data), np.asarray(found.label))] |= BLENDED
    flags[depth < layers.max()] |= FEW_EXPOSURES
    # The mosaic's rows run north and its columns west, so an angle from the columns' axis is turned.
    angle = (np.asarray(found.orientation.to_value(u.deg)) - 90.0) % 180.0
    values = {
        "ra": ra % 360,
        "dec": dec,
        "x": x,
        "y": y,
        "flux": flux,
        "flux_err": flux_err,
        "mag_ab": magnitude,
        "mag_ab_err": magnitude_err,
        "aperture_flux": aperture * microjansky,
        "aperture_flux_err": aperture_err * microjansky,
        "fwhm": np.asarray(found.fwhm.value) * arcsecond,
        "ellipticity": np.asarray(getattr(found.ellipticity, "value", found.ellipticity)),
        "position_angle": angle,
        "exposures": depth,
        "flags": flags,
    }
    real = np.isfinite(ra) & np.isfinite(flux)
    order = np.argsort(-flux[real], kind="stable")
    result = {name: np.asarray(value)[real][order] for name, value in values.items()}
    result["label"] = np.arange(1, len(order) + 1)
    return {column.name: result[column.name].astype(column.dtype) for column in COLUMNS}


def _touching(
    segments: NDArray[np.integer[Any]], labels: NDArray[np.integer[Any]], outside: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Say of each label whether its segment reaches the image's edge or a pixel beside `outside`."""
    from scipy.ndimage import binary_dilation

    rim = binary_dilation(outside, iterations=2, border_value=1)
    return np.isin(labels, np.unique(segments[rim]))


def _separated(
    segments: NDArray[np.integer[Any]],
    plain: NDArray[np.integer[Any]],
    labels: NDArray[np.integer[Any]],
) -> NDArray[np.bool_]:
    """Say of each label whether its segment is one of several that were found as one."""
    pairs = np.unique(np.stack([plain[segments > 0], segments[segments > 0]]), axis=1)
    wholes, counts = np.unique(pairs[0], return_counts=True)
    several = wholes[counts > 1]
    return np.isin(labels, pairs[1][np.isin(pairs[0], several)])


def write_catalog(columns: dict[str, NDArray[Any]], path: Path, *, image: str, element: str) -> None:
    """Write the catalogue to a Parquet file.

    Each column carries its `unit` and `description`, and the table the `image` it was made from and
    its `optical_element`, as Parquet metadata.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [
            pa.field(
                column.name,
                pa.from_numpy_dtype(np.dtype(column.dtype)),
                nullable=False,
                metadata={"unit": column.unit, "description": column.description},
            )
            for column in COLUMNS
        ],
        metadata={"image": image, "optical_element": element},
    )
    arrays = [pa.array(columns[column.name]) for column in COLUMNS]
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), path, compression="zstd")
