"""The detector's distortion and the point-spread function, made from what the packages carry.

The reference files that the calibration pipeline uses come from a service on the network. Here the
distortion comes from the science instrument aperture file (SIAF) in pysiaf and the point-spread
function from the pupil and aberration tables in romanisim, so that a simulation needs no network.
"""

from __future__ import annotations

import functools
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from romanhub.sample.plan import DETECTOR_PIXELS, PIXEL_SCALE

#: Pointing jitter, arcseconds rms, as romanisim's parameters give it.
JITTER = 0.014

#: The stored profile has this many samples along a pixel.
OVERSAMPLING = 4

#: The side of the stored profile, in pixels: light further out than half of it is left out.
STAMP_PIXELS = 60

#: How far inside the detector's edge the four profiles are taken, in pixels. romanisim's interpolation
#: between the corners wants them at one distance from the edge.
_INSET = 49

#: The side, in pixels, of the cells over which a galaxy's profile is taken to be one and the same.
_CELL = 256


def work_offline() -> None:
    """Keep astropy and the pipeline's steps from asking the network for tables and parameters."""
    from astropy.utils import iers

    iers.conf.auto_download = False
    iers.conf.auto_max_age = None
    os.environ["STPIPE_DISABLE_CRDS_STEPPARS"] = "true"


def _fit_degree_five(
    x: NDArray[np.float64], y: NDArray[np.float64], value: NDArray[np.float64], reach: float
) -> Any:
    """Fit a polynomial of degree five in (x, y) / reach to `value`, all flat arrays of one length."""
    from astropy.modeling.models import Polynomial2D

    powers = [(i, j) for i in range(6) for j in range(6 - i)]
    design = np.stack([(x / reach) ** i * (y / reach) ** j for i, j in powers], axis=1)
    solution, *_ = np.linalg.lstsq(design, value, rcond=None)
    names = {f"c{i}_{j}": c / reach ** (i + j) for (i, j), c in zip(powers, solution, strict=True)}
    return Polynomial2D(degree=5, **{name: float(value) for name, value in names.items()})


@functools.cache
def distortion(detector: str) -> Any:
    """Return the transform from a detector's pixels to the telescope's V2 and V3, with its inverse.

    Pixels are counted from zero at the centre of the corner pixel, V2 and V3 are arcseconds. The SIAF
    gives the transform as polynomials of degree five about the detector's centre; both directions are
    fitted to it over the detector, since the SIAF's own inverse returns to 1.5 thousandths of a pixel
    only.
    """
    import pysiaf
    from astropy.modeling.models import Identity, Mapping, Shift

    aperture = pysiaf.Siaf("Roman")[f"{detector}_FULL"]
    middle = (DETECTOR_PIXELS - 1) / 2
    half = DETECTOR_PIXELS / 2 + 8
    axis = np.linspace(-half, half, 61)
    x, y = (grid.ravel() for grid in np.meshgrid(axis, axis))
    v2, v3 = aperture.sci_to_tel(x + aperture.XSciRef, y + aperture.YSciRef)
    v2, v3 = v2 - aperture.V2Ref, v3 - aperture.V3Ref
    angle = float(max(np.abs(v2).max(), np.abs(v3).max()))

    spread = Mapping((0, 1, 0, 1))
    to_center = Shift(-middle) & Shift(-middle)
    to_reference = Shift(float(aperture.V2Ref)) & Shift(float(aperture.V3Ref))
    forward = (
        to_center
        | spread
        | (_fit_degree_five(x, y, v2, half) & _fit_degree_five(x, y, v3, half))
        | to_reference
        | Identity(2)
    )
    forward.inverse = (
        to_reference.inverse
        | spread
        | (_fit_degree_five(v2, v3, x, angle) & _fit_degree_five(v2, v3, y, angle))
        | to_center.inverse
    )
    forward.name = f"{detector.lower()}_distortion"
    return forward


def point_spread(detector: str, optical_element: str, wcs: Any) -> Any:
    """Return the point-spread function over a detector, as romanisim's variable profile.

    `wcs` is the image's coordinate system as galsim sees it, which turns the pupil on the sky. The
    profiles at the four corners are drawn once, oversampled, and stored as images: drawing each source
    with the optical model itself takes a hundred times as long.
    """
    import galsim
    from romanisim.models.bandpass import getBandpasses, roman2galsim_bandpass
    from romanisim.models.psf_utils import getPSF
    from romanisim.psf import VariablePSF

    class Profile(VariablePSF):  # type: ignore[misc]
        """One profile for each cell of a grid over the detector, so that galsim can keep its transform."""

        def at_position(self, x: float, y: float) -> Any:
            """Return the profile at the middle of the cell that holds the pixel (x, y)."""
            return self.in_cell(int(x // _CELL), int(y // _CELL))

        @functools.cache  # noqa: B019 (the profile is dropped with its exposure)
        def in_cell(self, column: int, row: int) -> Any:
            """Return the profile at the middle of a cell, an image interpolated between the corners'."""
            low, high = _INSET, DETECTOR_PIXELS - _INSET
            right = np.clip(((column + 0.5) * _CELL - low) / (high - low), 0, 1)
            up = np.clip(((row + 0.5) * _CELL - low) / (high - low), 0, 1)
            weights = {
                "ll": (1 - right) * (1 - up),
                "lr": right * (1 - up),
                "ul": (1 - right) * up,
                "ur": right * up,
            }
            mean = sum(weight * stamps[corner] for corner, weight in weights.items())
            return galsim.InterpolatedImage(galsim.Image(mean, scale=scale), flux=1.0)

    name = roman2galsim_bandpass[optical_element]
    bandpass = getBandpasses(AB_zeropoint=True)[name]
    low, high = _INSET, DETECTOR_PIXELS - _INSET
    corners = {"ll": [low, low], "lr": [high, low], "ul": [low, high], "ur": [high, high]}
    scale = PIXEL_SCALE / OVERSAMPLING
    side = STAMP_PIXELS * OVERSAMPLING + 1
    stamps: dict[str, NDArray[np.float64]] = {}
    for corner, place in corners.items():
        optics = getPSF(
            int(detector[3:]),
            None,
            SCA_pos=galsim.PositionD(*place),
            pupil_bin=8,
            wcs=wcs,
            wavelength=bandpass,
        )
        seen = galsim.Convolve(optics, galsim.Gaussian(sigma=JITTER))
        drawn = seen.drawImage(nx=side, ny=side, scale=scale, method="no_pixel", dtype=np.float64)
        stamps[corner] = drawn.array / drawn.array.sum()
    return Profile(
        corners,
        {
            corner: galsim.InterpolatedImage(galsim.Image(stamp, scale=scale), flux=1.0)
            for corner, stamp in stamps.items()
        },
    )
