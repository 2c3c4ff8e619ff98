"""Parts of the sky as people give them: a polygon, or a multi-order coverage map (MOC)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from astropy.coordinates import SkyCoord
from numpy.typing import NDArray

from romanhub.client.sky import Footprint, as_position, separation, unit_vectors

if TYPE_CHECKING:
    from mocpy import MOC

#: What a function that asks for a region takes: the corners of a polygon, or a MOC.
RegionLike: TypeAlias = Any

#: The cells that cover a region are this fine at most: order 14 is 13 arcseconds.
_FINEST_CELLS = 14

_HELP = (
    "Give the corners of a polygon in order, such as [(269.9, 65.9), (270.1, 65.9), (270.0, 66.1)], a SkyCoord of "
    "the corners, or a MOC of mocpy."
)


@dataclass(frozen=True)
class Region:
    """A part of the sky: either a polygon with great circles for edges, or a MOC.

    `corners` are the polygon's, as (right ascension, declination) in degrees; None for a MOC.
    """

    moc: MOC
    corners: tuple[tuple[float, float], ...] | None

    def contains(self, ra: Any, dec: Any) -> NDArray[np.bool_]:
        """Say of each position, shape (n,) in degrees, whether the region covers it."""
        ra, dec = np.asarray(ra, float), np.asarray(dec, float)
        if self.corners is None:
            inside: NDArray[np.bool_] = self.moc.contains_skycoords(SkyCoord(ra, dec, unit="deg"))
            return inside
        return _inside(Footprint(self.corners), ra, dec)


def as_region(region: RegionLike) -> Region:
    """Return a region of the sky.

    :param region: the corners of a polygon in order, three or more, each in any form that a position may have; a
        SkyCoord of the corners; or a mocpy MOC. A polygon is smaller than a hemisphere and does not cross itself.
    :raises ValueError: for anything else.
    """
    from mocpy import MOC

    if isinstance(region, MOC):
        if region.empty():
            raise ValueError("The region is empty, so nothing can be in it.")
        return Region(region, None)
    try:
        positions = [as_position(corner) for corner in region]
    except TypeError:
        positions = []
    if len(positions) < 3:
        raise ValueError(f"{region!r} is not a region of the sky. {_HELP}")
    corners = tuple((float(one.ra.deg), float(one.dec.deg)) for one in positions)
    footprint = Footprint(corners)
    # Some cells across the polygon are enough to leave out what is far from it.
    order = int(np.clip(np.ceil(np.log2(1 / footprint.reach)) + 3, 3, _FINEST_CELLS))
    moc = MOC.from_polygon_skycoord(SkyCoord([*positions]), max_depth=order)
    return Region(moc, corners)


def _inside(footprint: Footprint, ra: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say of positions, shape (n,) in degrees, whether the polygon covers them: `Footprint.contains` for many.

    The even-odd rule on the tangent plane, on which great circles are straight.
    """
    points = unit_vectors(ra, dec).reshape(-1, 3)
    inside = separation(points, footprint.center) <= footprint.reach
    x, y = footprint.project(footprint.vertices)
    with np.errstate(divide="ignore", invalid="ignore"):
        px, py = footprint.project(points)
        odd = np.zeros(len(points), dtype=bool)
        for here_x, here_y, next_x, next_y in zip(x, y, np.roll(x, -1), np.roll(y, -1), strict=True):
            crosses = (here_y > py) != (next_y > py)
            odd ^= crosses & (px < here_x + (py - here_y) / (next_y - here_y) * (next_x - here_x))
    return inside & odd
