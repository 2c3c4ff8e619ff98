"""From positions on the sky to an image's pixels, quickly: what that takes is computed once for an image."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
from astropy.modeling.models import Shift
from numpy.typing import NDArray

from romanhub.client.sky import Vectors, separation, unit_vectors

if TYPE_CHECKING:
    from gwcs import WCS

#: The degree of the polynomial from a tangent plane to pixels, along each axis. On a whole detector with Roman's
#: distortion, itself of degree 5, it leaves 0.001 pixels, which the first step takes away.
DEGREE = 5

#: The pixels that it is fitted to are so many along each side, and reach so far beyond the edges, as a share of
#: the side.
NODES, BEYOND = 9, 0.02

#: A place is right when a further step would move it by less than this, in pixels.
CLOSE = 1e-5

#: How many steps are tried. The first leaves the error of the polynomial's error, so a second is rare.
STEPS = 12


class ImageSky:
    """The world coordinates of one image, for many questions of where a position is in it.

    gwcs' own inverse builds its transform anew for each question, which takes longer than reading a cutout's
    pixels. Here a polynomial fitted to the forward transform says about where a position is, and the forward
    transform itself by how much that is wrong. So the answer is as right as the forward transform, also for one
    that has no inverse, or an approximate one. Everything is computed when it is first asked for.

    :param wcs: from pixels (x, y) to right ascension and declination in degrees, smooth over the image; or that
        pickled.
    :param shape: the image's (rows, columns).
    """

    def __init__(self, wcs: WCS | bytes, shape: tuple[int, int]) -> None:
        self._given = wcs
        self._shape = (int(shape[0]), int(shape[1]))

    def __reduce__(self) -> Any:
        return ImageSky, (self._packed, self._shape)

    def pixels(self, ra: Any, dec: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the pixels (x, y) at positions in degrees, in arrays of their shape; NaN far off the image.

        Within the image and a fiftieth of its side beyond, they are right to `CLOSE` pixels of the forward
        transform.
        """
        fit = self._fit
        wanted = unit_vectors(ra, dec)
        shape = wanted.shape[:-1]
        wanted = wanted.reshape(-1, 3)
        found = np.full((2, len(wanted)), np.nan)
        # The far side of the sky has a place on the tangent plane, too.
        near = np.flatnonzero(separation(wanted, fit.center) <= fit.reach)
        here = goal = fit.pixels(wanted[near])
        for _ in range(STEPS if len(near) else 0):
            step = goal - fit.pixels(self._vectors(*here))
            here = here + step
            # A step leaves of an error as much as the polynomial's slope is wrong, far less than a thousandth.
            if np.all(np.hypot(*step) < 1e3 * CLOSE):
                found[:, near] = here
                break
        return found[0].reshape(shape), found[1].reshape(shape)

    def scale(self, x: float, y: float) -> u.Quantity:
        """Return the mean side of the pixel at a place in the image, as an angle."""
        sides = self._vectors(x + np.array([-0.5, 0.5, 0, 0]), y + np.array([0, 0, -0.5, 0.5]))
        across, along = separation(sides[0], sides[1]), separation(sides[2], sides[3])
        return float(np.sqrt(across * along)) * u.rad

    def shifted(self, left: int, top: int, shape: tuple[int, int]) -> WCS:
        """Return the world coordinates of the piece of `shape` that starts at column `left`, row `top`.

        They are a copy: whoever changes them changes neither the image's nor another piece's.
        """
        moved = _unpacked(self._packed)
        moved.bounding_box = None
        moved.insert_transform(moved.input_frame, Shift(left) & Shift(top), after=True)
        rows, columns = shape
        moved.bounding_box = ((-0.5, columns - 0.5), (-0.5, rows - 0.5))
        moved.pixel_shape = (columns, rows)
        return moved

    @cached_property
    def _packed(self) -> bytes:
        # Packing and unpacking takes a third of the time of copy.deepcopy, and what is packed is kept.
        return (
            self._given if isinstance(self._given, bytes) else pickle.dumps(self._given, pickle.HIGHEST_PROTOCOL)
        )

    @cached_property
    def _forward(self) -> Any:
        wcs = _unpacked(self._given) if isinstance(self._given, bytes) else self._given
        return wcs.forward_transform

    @cached_property
    def _fit(self) -> _Fit:
        rows, columns = self._shape
        # Chebyshev's nodes keep the polynomial from swinging near the edges.
        nodes = np.cos(np.pi * (np.arange(NODES) + 0.5) / NODES) * (0.5 + BEYOND)
        x, y = np.meshgrid((columns - 1) / 2 + columns * nodes, (rows - 1) / 2 + rows * nodes)
        return _Fit.of(x.ravel(), y.ravel(), self._vectors(x.ravel(), y.ravel()))

    def _vectors(self, x: Any, y: Any) -> Vectors:
        return unit_vectors(*self._forward(x, y, with_bounding_box=False))


@dataclass(frozen=True)
class _Fit:
    """Polynomials from the plane that touches the sky in the middle of the image to pixels.

    `axes` are unit vectors to the east and to the north there, `size` is the larger side of what is fitted on the
    plane, and `reach` how far from the middle positions are looked for, in radians.
    """

    center: Vectors
    axes: Vectors
    size: float
    reach: float
    coefficients: NDArray[np.float64]

    @classmethod
    def of(cls, x: NDArray[np.float64], y: NDArray[np.float64], vectors: Vectors) -> _Fit:
        """Return the fit of pixels, shape (n,), to unit vectors, shape (n, 3)."""
        middle = vectors.mean(axis=0)
        center: Vectors = middle / np.linalg.norm(middle)
        east = np.cross(np.eye(3)[int(np.argmin(np.abs(center)))], center)
        east /= np.linalg.norm(east)
        axes = np.stack([east, np.cross(center, east)])
        size = float(np.abs(vectors @ axes.T / (vectors @ center)[:, np.newaxis]).max())
        reach = float(separation(vectors, center).max()) * (1 + BEYOND)
        terms = cls(center, axes, size, reach, np.empty(0))._terms(vectors)
        coefficients, *_ = np.linalg.lstsq(terms, np.stack([x, y], axis=-1), rcond=None)
        return cls(center, axes, size, reach, coefficients)

    def pixels(self, vectors: Vectors) -> NDArray[np.float64]:
        """Return about which pixels (x, y) unit vectors are in, shape (2, n)."""
        if not len(vectors):
            return np.empty((2, 0))
        found: NDArray[np.float64] = (self._terms(vectors) @ self.coefficients).T
        return found

    def _terms(self, vectors: Vectors) -> Any:
        plane = vectors @ self.axes.T / (vectors @ self.center)[:, np.newaxis] / self.size
        return np.polynomial.chebyshev.chebvander2d(plane[:, 0], plane[:, 1], [DEGREE, DEGREE])


class PieceSky:
    """Where a piece of an image is on the sky.

    :param sky: the image's world coordinates.
    :param left: the image's column that is the piece's first.
    :param top: the image's row that is the piece's first.
    :param shape: the piece's (rows, columns).
    """

    def __init__(self, sky: ImageSky, left: int, top: int, shape: tuple[int, int]) -> None:
        self._sky, self._left, self._top, self._shape = sky, left, top, shape

    def __reduce__(self) -> Any:
        return PieceSky, (self._sky, self._left, self._top, self._shape)

    @cached_property
    def wcs(self) -> WCS:
        """The piece's world coordinates; its own, so that they may be changed."""
        return self._sky.shifted(self._left, self._top, self._shape)

    def pixels(self, ra: Any, dec: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the piece's pixels (x, y) at positions in degrees; see `ImageSky.pixels`."""
        x, y = self._sky.pixels(ra, dec)
        return x - self._left, y - self._top


def _unpacked(packed: bytes) -> WCS:
    return pickle.loads(packed)  # noqa: S301  -- what an ImageSky has packed
