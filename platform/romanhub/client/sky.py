"""Positions as people write them, and what part of the sky a footprint covers.

Footprints are polygons whose edges are great circles, so a footprint may hold a pole or cross the
meridian of right ascension 0 like any other. Vectors are unit vectors on the sphere; angles are radians
unless a name says otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import astropy.units as u
import numpy as np
from astropy.coordinates import Angle, SkyCoord
from numpy.typing import NDArray

Vectors: TypeAlias = NDArray[np.float64]

#: What a function that asks for a position takes.
PositionLike: TypeAlias = "SkyCoord | tuple[float, float] | Sequence[float] | str"

#: What a function that asks for an angle takes: degrees where no unit is given.
AngleLike: TypeAlias = "u.Quantity | Angle | str | float"

#: A point this close to a footprint's edge counts as inside: 1e-9 rad is 0.2 milliarcseconds, far below a
#: pixel and far above the error of the arithmetic.
EDGE = 1e-9

_POSITION_HELP = (
    "Give a SkyCoord, a pair of degrees such as (270.0, 66.0), or a text such as '270.0 66.0' or "
    "'18h00m00s +66d00m00s'."
)


def as_position(position: Any) -> SkyCoord:
    """Return one position on the sky, ICRS.

    :param position: a SkyCoord of one position in any frame, a pair (right ascension, declination) of
        degrees or of astropy angles, or a text with the two: decimal degrees, or hours and degrees in
        sexagesimal form.
    :raises ValueError: for anything else. Names of sources are not looked up.
    """
    if isinstance(position, SkyCoord):
        if not position.isscalar:
            raise ValueError(
                f"A search takes one position; this SkyCoord holds {position.size}. Search in a loop."
            )
        # A SkyCoord may hold a distance or x, y and z; a direction is all that is wanted.
        direction = position.icrs.spherical
        return SkyCoord(direction.lon, direction.lat)
    try:
        if isinstance(position, str):
            parts = position.replace(",", " ").split()
            sexagesimal = len(parts) > 2 or any(mark in position for mark in ":hms")
            return SkyCoord(" ".join(parts), unit=(u.hourangle if sexagesimal else u.deg, u.deg))
        ra, dec = position
        return SkyCoord(Angle(ra, u.deg), Angle(dec, u.deg))
    except (ValueError, TypeError, u.UnitsError):
        raise ValueError(f"{position!r} is not a position on the sky. {_POSITION_HELP}") from None


def as_angle(angle: Any, what: str) -> Angle:
    """Return an angle of zero or more; a bare number is in degrees. `what` names it in errors.

    :raises ValueError: for a negative angle or something that is not an angle.
    """
    try:
        found = Angle(angle, u.deg) if isinstance(angle, (int, float)) else Angle(angle)
    except (ValueError, TypeError, u.UnitsError):
        found = None
    if found is None or not found.isscalar or not found.deg >= 0:
        raise ValueError(
            f"{angle!r} cannot be the {what}. Give a number of degrees or an angle with a unit, "
            "such as 0.1 or 30 * u.arcsec."
        )
    return found


def unit_vectors(ra: Any, dec: Any) -> Vectors:
    """Return unit vectors, shape (…, 3), of right ascensions and declinations in degrees, shape (…)."""
    lon, lat = np.radians(np.asarray(ra, float)), np.radians(np.asarray(dec, float))
    vectors: Vectors = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)
    return vectors


def separation(a: Vectors, b: Vectors) -> NDArray[np.float64]:
    """Return the angles between unit vectors, shape (…, 3) each, exact for small and large angles."""
    angle: NDArray[np.float64] = np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), np.sum(a * b, axis=-1))
    return angle


class Footprint:
    """A polygon on the sky, smaller than a hemisphere, with great circles for edges.

    :param vertices: the corners in order, as (right ascension, declination) in degrees; the last is
        joined to the first. The polygon may be concave but must not cross itself.
    """

    def __init__(self, vertices: Sequence[tuple[float, float]]) -> None:
        ra, dec = np.asarray(vertices, float).T
        self.vertices = unit_vectors(ra, dec)
        middle = self.vertices.sum(axis=0)
        self.center: Vectors = middle / np.linalg.norm(middle)
        #: The angle from the centre to the farthest corner, which no point of the polygon exceeds.
        self.reach = float(separation(self.vertices, self.center).max())

    def contains(self, point: Vectors) -> bool:
        """Say whether the polygon covers a unit vector; its edges count as covered.

        On the gnomonic (tangent plane) projection about the polygon's centre great circles are straight
        lines, so the test is the even-odd rule there, and it is exact.
        """
        if float(separation(point, self.center)) > self.reach + EDGE:
            return False
        if self.distance_to_edge(point) <= EDGE:
            return True
        x, y = self.project(self.vertices)
        [px], [py] = self.project(point[np.newaxis])
        next_x, next_y = np.roll(x, -1), np.roll(y, -1)
        crosses = (y > py) != (next_y > py)
        with np.errstate(divide="ignore", invalid="ignore"):
            at = x + (py - y) / (next_y - y) * (next_x - x)
        return bool(np.count_nonzero(crosses & (px < at)) % 2)

    def touches(self, point: Vectors, radius: float) -> bool:
        """Say whether the polygon and the cone of `radius` around a unit vector have a point in common."""
        if float(separation(point, self.center)) > self.reach + radius + EDGE:
            return False
        return self.contains(point) or self.distance_to_edge(point) <= radius + EDGE

    def distance_to_edge(self, point: Vectors) -> float:
        """Return the angle from a unit vector to the nearest point of the polygon's edges."""
        start, stop = self.vertices, np.roll(self.vertices, -1, axis=0)
        normal = np.cross(start, stop)
        length = np.linalg.norm(normal, axis=-1)
        # The nearest point of an edge is the foot of the perpendicular where that falls between the
        # edge's ends, and the nearer end elsewhere.
        between = (np.cross(normal, start) @ point >= 0) & (np.cross(stop, normal) @ point >= 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            across = np.abs(np.arcsin(np.clip(normal @ point / length, -1, 1)))
        ends = np.minimum(separation(start, point), separation(stop, point))
        return float(np.where(between & (length > 0), across, ends).min())

    def project(self, points: Vectors) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the gnomonic projection about the centre of points in its hemisphere, shape (n, 3)."""
        axis = np.eye(3)[int(np.argmin(np.abs(self.center)))]
        east = np.cross(self.center, axis)
        east /= np.linalg.norm(east)
        north = np.cross(self.center, east)
        depth = points @ self.center
        return points @ east / depth, points @ north / depth


def vector_of(position: SkyCoord) -> Vectors:
    """Return the unit vector of one position, shape (3,)."""
    return unit_vectors(position.ra.deg, position.dec.deg)


def radians(angle: Angle) -> float:
    """Return an angle as a plain number of radians."""
    return math.radians(float(angle.deg))
