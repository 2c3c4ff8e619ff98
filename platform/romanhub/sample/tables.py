"""The sample's catalogues for searches: sources in two filters, detections by epoch, reference stars."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from romanhub.models.archive import ExposureRecord
from romanhub.sample.catalog import APERTURE, AT_EDGE, BLENDED, FEW_EXPOSURES, Column
from romanhub.sample.photometry import BAD_PIXELS, Sky, detect, measure
from romanhub.sample.plan import PlacedStar, Position, Scene

#: A table by its columns, each one-dimensional and of one length.
Columns = dict[str, NDArray[Any]]

#: Opens an exposure as the sky that it shows.
OpenSky = Callable[[ExposureRecord], AbstractContextManager[Sky]]

#: A detection's flux is at least so many times its standard error.
FAINTEST = 5.0

_SECONDS_OF_DAY = 86400.0

#: The modified Julian date of the epoch of Unix time.
_MJD_OF_UNIX = 40587.0

#: How a radius of 0.4 arcseconds is written in the names of Roman's catalogue columns: in tenths.
_APER = f"aper{round(APERTURE * 10):02d}"

_WITHIN = f"within {APERTURE} arcseconds of the centroid, without a correction for the light beyond"


@dataclass(frozen=True)
class Reference:
    """How the simulated reference catalogue differs from the truth, after Gaia Data Release 3."""

    #: Standard error of a position, milliarcseconds: that of Gaia DR3 near magnitude 20.
    position_error: float = 0.4
    #: Sources of the images are taken for stars up to this magnitude and this width in arcseconds.
    faintest: float = 21.0
    widest: float = 0.32


def source_columns(element: str, others: Iterable[str]) -> tuple[Column, ...]:
    """Return the columns of the sources of a mosaic in `element`, measured in `others`, too."""
    band = element.lower()
    columns = [
        Column("label", "", "The source's number in this catalogue, from 1.", "int64"),
        Column("ra", "deg", "Right ascension of the centroid, ICRS.", "float64"),
        Column("dec", "deg", "Declination of the centroid, ICRS.", "float64"),
        Column(f"kron_{band}_flux", "uJy", f"Flux through {element} in the Kron aperture.", "float32"),
        Column(f"kron_{band}_flux_err", "uJy", "Its standard error.", "float32"),
        Column(f"kron_{band}_abmag", "mag", "The AB magnitude of it.", "float32"),
        Column(f"{_APER}_{band}_flux", "uJy", f"Flux through {element} {_WITHIN}.", "float32"),
        Column(f"{_APER}_{band}_flux_err", "uJy", "Its standard error.", "float32"),
    ]
    for other in others:
        name = other.lower()
        columns += [
            Column(f"{_APER}_{name}_flux", "uJy", f"Flux through {other} {_WITHIN}: weighted mean.", "float32"),
            Column(f"{_APER}_{name}_flux_err", "uJy", "Its standard error.", "float32"),
            Column(f"{name}_exposures", "", f"How many exposures through {other} it is measured in.", "int16"),
        ]
    return (
        *columns,
        Column("fwhm", "arcsec", "Full width at half maximum of a circle of equal moments.", "float32"),
        Column("ellipticity", "", "One less the ratio of minor to major axis, from moments.", "float32"),
        Column(
            "flags",
            "",
            f"Sum of {AT_EDGE}: touches the mosaic's edge; {BLENDED}: separated from a neighbour; "
            f"{FEW_EXPOSURES}: fewer exposures than the mosaic's deepest part.",
            "int16",
        ),
    )


DETECTION_COLUMNS = (
    Column("detection", "", "The detection's number in this catalogue, from 1.", "int64"),
    Column("ra", "deg", "Right ascension of the centroid, ICRS.", "float64"),
    Column("dec", "deg", "Declination of the centroid, ICRS.", "float64"),
    Column("mjd", "d", "Middle of the exposure, modified Julian date, UTC.", "float64"),
    Column("optical_element", "", "The filter of the exposure.", "str"),
    Column("flux", "uJy", f"Flux {_WITHIN}.", "float32"),
    Column("flux_err", "uJy", "Standard error of flux, from the exposure's error array.", "float32"),
    Column(
        "flags",
        "",
        f"Sum of {AT_EDGE}: the aperture touches the exposure's edge; {BAD_PIXELS}: the aperture holds pixels "
        "that must not be used.",
        "int16",
    ),
    Column("exposure", "", "The name of the exposure in which it was found.", "str"),
)

REFERENCE_COLUMNS = (
    Column("source_id", "", "The star's number in this catalogue.", "int64"),
    Column("ra", "deg", "Right ascension, ICRS, at ref_epoch.", "float64"),
    Column("dec", "deg", "Declination, ICRS, at ref_epoch.", "float64"),
    Column("ra_error", "mas", "Standard error of ra times the cosine of dec.", "float32"),
    Column("dec_error", "mas", "Standard error of dec.", "float32"),
    Column("pmra", "mas yr-1", "Proper motion in right ascension; the simulated stars have none.", "float32"),
    Column("pmdec", "mas yr-1", "Proper motion in declination; the simulated stars have none.", "float32"),
    Column("phot_g_mean_mag", "mag", "Simulated magnitude.", "float32"),
    Column("ref_epoch", "yr", "Julian year of the positions.", "float64"),
)


def multiband(
    found: Columns, element: str, exposures: Sequence[ExposureRecord], open_sky: OpenSky
) -> tuple[tuple[Column, ...], Columns]:
    """Return a mosaic's sources with their fluxes in the other filters of the exposures that cover them.

    `found` is what `romanhub.sample.catalog.find_sources` returned for the mosaic through `element`. The flux in
    another filter is the mean, weighted by inverse variance, of the apertures in its single exposures.
    """
    others = sorted({each.optical_element for each in exposures} - {element})
    columns = source_columns(element, others)
    band = element.lower()
    values: Columns = {
        "label": found["label"],
        "ra": found["ra"],
        "dec": found["dec"],
        f"kron_{band}_flux": found["flux"],
        f"kron_{band}_flux_err": found["flux_err"],
        f"kron_{band}_abmag": found["mag_ab"],
        f"{_APER}_{band}_flux": found["aperture_flux"],
        f"{_APER}_{band}_flux_err": found["aperture_flux_err"],
        "fwhm": found["fwhm"],
        "ellipticity": found["ellipticity"],
        "flags": found["flags"],
    }
    for other in others:
        total, weights = np.zeros(len(found["ra"])), np.zeros(len(found["ra"]))
        count = np.zeros(len(found["ra"]), dtype=np.int16)
        for record in (each for each in exposures if each.optical_element == other):
            with open_sky(record) as sky:
                flux, error, good = _forced(sky, found["ra"], found["dec"])
            total[good] += flux[good] / error[good] ** 2
            weights[good] += 1 / error[good] ** 2
            count[good] += 1
        with np.errstate(divide="ignore", invalid="ignore"):
            values[f"{_APER}_{other.lower()}_flux"] = np.where(count, total / weights, np.nan)
            values[f"{_APER}_{other.lower()}_flux_err"] = np.where(count, weights**-0.5, np.nan)
        values[f"{other.lower()}_exposures"] = count
    return columns, _typed(columns, values)


def _forced(
    sky: Sky, ra: NDArray[Any], dec: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Measure positions in an exposure; the third array says where the aperture lies on it, on good pixels."""
    x, y = (np.asarray(one, dtype=float) for one in sky.wcs.invert(ra, dec, with_bounding_box=False))
    rows, columns = sky.data.shape
    inside = (x > 0) & (y > 0) & (x < columns - 1) & (y < rows - 1)
    flux, error = np.zeros(len(x)), np.zeros(len(x))
    flags = np.full(len(x), AT_EDGE, dtype=np.int16)
    flux[inside], error[inside], flags[inside] = measure(sky, x[inside], y[inside])
    return flux, error, (flags == 0) & (error > 0)


def detections(exposures: Sequence[ExposureRecord], open_sky: OpenSky) -> Columns:
    """Return every source found in every exposure, in order of time, with when, through what and how bright."""
    parts: dict[str, list[NDArray[Any]]] = {column.name: [] for column in DETECTION_COLUMNS}
    for record in sorted(exposures, key=lambda each: (each.start, each.name)):
        with open_sky(record) as sky:
            x, y = detect(sky)
            if not len(x):
                continue
            flux, error, flags = measure(sky, x, y)
            ra, dec = sky.wcs(x, y, with_bounding_box=False)
        good = (error > 0) & (flux > FAINTEST * error) & np.isfinite(ra)
        middle = (record.start.timestamp() + record.exposure_time / 2) / _SECONDS_OF_DAY + _MJD_OF_UNIX
        one: Columns = {
            "ra": np.asarray(ra) % 360,
            "dec": np.asarray(dec),
            "mjd": np.full(len(x), middle),
            "optical_element": np.full(len(x), record.optical_element, dtype=object),
            "flux": flux,
            "flux_err": error,
            "flags": flags,
            "exposure": np.full(len(x), record.name, dtype=object),
        }
        for name, values in one.items():
            parts[name].append(values[good])
    columns = {name: np.concatenate(values) for name, values in parts.items() if values}
    columns["detection"] = np.arange(1, len(columns["ra"]) + 1)
    return _typed(DETECTION_COLUMNS, columns)


def reference_stars(
    found: Columns,
    placed: Sequence[PlacedStar],
    scene: Scene,
    covered: Callable[[Position], bool],
    *,
    seed: int,
    like: Reference = Reference(),
) -> Columns:
    """Return a simulated reference catalogue of the scene's stars, with the columns of Gaia's that matter.

    Where the images are (`covered`), its stars are those of the images: the placed ones at their true positions,
    and the mosaic's compact sources, `found`. Beyond them stars are drawn after the scene's counts, so that
    nothing in an image lacks its star and no star its image. Positions have errors like Gaia's.
    """
    rng = np.random.default_rng(seed)
    here = [scene.center.offset(star.east, star.north) for star in placed]
    stars = [(place, star.magnitude) for place, star in zip(here, placed, strict=True)]
    compact = (found["fwhm"] < like.widest) & (found["mag_ab"] < like.faintest) & (found["flags"] == 0)
    for ra, dec, magnitude in zip(*(found[name][compact] for name in ("ra", "dec", "mag_ab")), strict=True):
        place = Position(float(ra), float(dec))
        if all(place.separation(other) > 1.0 for other in here):
            stars.append((place, float(magnitude)))
    # Brighter than `faintest` there are fewer by the slope of the counts.
    rarer = 10 ** (scene.star_count_slope * (like.faintest - scene.faintest_star))
    number = round(scene.stars_per_square_arcminute * np.pi * (scene.radius * 60) ** 2 * rarer)
    for distance, angle, chance in rng.random((number, 3)):
        reach, turn = scene.radius * 3600 * np.sqrt(distance), 2 * np.pi * angle
        place = scene.center.offset(float(reach * np.cos(turn)), float(reach * np.sin(turn)))
        if not covered(place):
            stars.append((place, like.faintest + float(np.log10(1 - chance)) / scene.star_count_slope))
    error = like.position_error / 3.6e6
    shifts = rng.normal(0, error, (len(stars), 2))
    dec = np.array([place.dec for place, _ in stars]) + shifts[:, 1]
    ra = np.array([place.ra for place, _ in stars]) + shifts[:, 0] / np.cos(np.radians(dec))
    count = len(stars)
    return _typed(
        REFERENCE_COLUMNS,
        {
            "source_id": np.arange(1, count + 1),
            "ra": ra % 360,
            "dec": dec,
            "ra_error": np.full(count, like.position_error),
            "dec_error": np.full(count, like.position_error),
            "pmra": np.zeros(count),
            "pmdec": np.zeros(count),
            "phot_g_mean_mag": np.array([magnitude for _, magnitude in stars]),
            "ref_epoch": np.full(count, 2016.0),
        },
    )


def _typed(columns: Iterable[Column], values: Columns) -> Columns:
    return {
        column.name: values[column.name].astype(object if column.dtype == "str" else column.dtype)
        for column in columns
    }
