"""Shapes on the sky, exactly, for many rows at once.

A shape is a row of numbers in degrees, ICRS: a point (ra, dec), a circle (ra, dec, radius) or a polygon (ra, dec,
ra, dec, …), whose edges are great circles and which must fit into a hemisphere. Here many shapes with the same
number of numbers are one array of shape (n, numbers), so that a search is a few operations on arrays however many
images it looks at. Vectors are unit vectors; angles are radians unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Truth: TypeAlias = NDArray[np.bool_]

#: A point this close to an edge counts as inside: 1e-9 rad is 0.2 milliarcseconds, far below a pixel and far above
#: the error of the arithmetic.
EDGE = 1e-9


class ShapeError(ValueError):
    """Numbers that are no shape on the sky; the message says what is wrong with them."""


def vectors(ra: Array, dec: Array) -> Array:
    """Return unit vectors, shape (…, 3), of positions in degrees, shape (…)."""
    lon, lat = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def positions(points: Array) -> tuple[Array, Array]:
    """Return right ascension (0 to 360) and declination in degrees of vectors, shape (…, 3)."""
    x, y, z = np.moveaxis(points, -1, 0)
    return np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))


def separation(a: Array, b: Array) -> Array:
    """Return the angles between unit vectors, shape (…, 3) each; exact for small and large angles."""
    found: Array = np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), np.sum(a * b, axis=-1))
    return found


def corners(shapes: Array) -> Array:
    """Return the corners, shape (n, k, 3), of polygons, shape (n, 2 k)."""
    pairs = shapes.reshape(len(shapes), -1, 2)
    return vectors(pairs[..., 0], pairs[..., 1])


def enclosing(polygons: Array) -> tuple[Array, Array]:
    """Return centres, shape (n, 3), and radii, shape (n,), of circles around polygons, shape (n, k, 3)."""
    middle = polygons.sum(axis=1)
    center = middle / np.linalg.norm(middle, axis=-1, keepdims=True)
    return center, separation(polygons, center[:, np.newaxis]).max(axis=1)


def bounds(shape: tuple[float, ...]) -> tuple[float, float, float]:
    """Return a circle (ra, dec, radius), degrees, around one shape."""
    if len(shape) < 6:
        return shape[0], shape[1], shape[2] if len(shape) == 3 else 0.0
    center, reach = enclosing(corners(np.array([shape])))
    ra, dec = positions(center)
    return float(ra[0]), float(dec[0]), float(np.degrees(reach[0]))


def check(shape: tuple[float, ...]) -> None:
    """Raise ShapeError unless the numbers are a point, a circle or a polygon that fits into a hemisphere."""
    if not all(np.isfinite(shape)):
        raise ShapeError("A position or an angle is not a finite number.")
    declinations = shape[1:2] if len(shape) == 3 else shape[1::2]
    if any(abs(dec) > 90 for dec in declinations):
        raise ShapeError(f"The declination {max(declinations, key=abs)} is not between -90 and 90 degrees.")
    if len(shape) == 3 and not 0 <= shape[2] <= 180:
        raise ShapeError(f"The radius {shape[2]} is not between 0 and 180 degrees.")
    if len(shape) in (0, 1, 4, 5) or (len(shape) > 3 and len(shape) % 2):
        raise ShapeError("A polygon needs three corners or more, each with a right ascension and a declination.")
    if len(shape) >= 6:
        polygon = corners(np.array([shape]))
        if np.linalg.norm(polygon.sum(axis=1)) < 1e-9 or enclosing(polygon)[1][0] >= np.pi / 2:
            raise ShapeError("A polygon has to fit into a hemisphere. Split a larger one.")


def box(ra: float, dec: float, width: float, height: float) -> tuple[float, ...]:
    """Return ADQL's BOX as a polygon: the great circles that cross the ends of its arms at right angles.

    Raises ShapeError for sides that are not between 0 and 180 degrees.
    """
    if not (0 < width < 180 and 0 < height < 180):
        raise ShapeError("The sides of a box have to be more than 0 and less than 180 degrees.")
    center = vectors(np.array(ra), np.array(dec))
    lon = np.radians(ra)
    east = np.array([-np.sin(lon), np.cos(lon), 0.0])
    north = np.cross(center, east)
    u, v = np.tan(np.radians(width / 2)), np.tan(np.radians(height / 2))
    found = np.array([center + i * u * east + j * v * north for i, j in ((-1, -1), (1, -1), (1, 1), (-1, 1))])
    lons, lats = positions(found)
    return tuple(float(number) for pair in zip(lons, lats, strict=True) for number in pair)


def from_edges(polygons: Array, points: Array) -> Array:
    """Return the angles, shape (n,), from points, shape (n, 3), to the nearest edges of polygons, (n, k, 3)."""
    start, stop = polygons, np.roll(polygons, -1, axis=1)
    normal = np.cross(start, stop)
    length = np.linalg.norm(normal, axis=-1)
    point = points[:, np.newaxis]
    # The nearest point of an edge is the foot of the perpendicular where that falls between its ends, and the
    # nearer end elsewhere.
    between = (np.sum(np.cross(normal, start) * point, axis=-1) >= 0) & (
        np.sum(np.cross(stop, normal) * point, axis=-1) >= 0
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        across = np.abs(np.arcsin(np.clip(np.sum(normal * point, axis=-1) / length, -1, 1)))
    ends = np.minimum(separation(start, point), separation(stop, point))
    nearest: Array = np.where(between & (length > 0), across, ends).min(axis=1)
    return nearest


def covers(polygons: Array, points: Array) -> Truth:
    """Say which polygons, shape (n, k, 3), cover their point, shape (n, 3); an edge counts as covered.

    In the gnomonic projection about a polygon's centre great circles are straight lines, so the test is the
    even-odd rule there, and it is exact.
    """
    center, reach = enclosing(polygons)
    near = separation(points, center) <= reach + EDGE
    axis = np.eye(3)[np.abs(center).argmin(axis=1)]
    east = np.cross(center, axis)
    east /= np.linalg.norm(east, axis=-1, keepdims=True)
    north = np.cross(center, east)

    def flat(vector: Array, unit: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            projected: Array = np.sum(vector * unit, axis=-1) / np.sum(
                vector * (center[:, np.newaxis] if vector.ndim == 3 else center), axis=-1
            )
        return projected

    x, y = flat(polygons, east[:, np.newaxis]), flat(polygons, north[:, np.newaxis])
    px, py = flat(points, east)[:, np.newaxis], flat(points, north)[:, np.newaxis]
    next_x, next_y = np.roll(x, -1, axis=1), np.roll(y, -1, axis=1)
    crosses = (y > py) != (next_y > py)
    with np.errstate(divide="ignore", invalid="ignore"):
        at = x + (py - y) / (next_y - y) * (next_x - x)
    inside = np.count_nonzero(crosses & (px < at), axis=1) % 2 == 1
    found: Truth = near & (inside | (from_edges(polygons, points) <= EDGE))
    return found


def edges_cross(a: Array, b: Array) -> Truth:
    """Say which polygons, shapes (n, k, 3) and (n, m, 3), have an edge of one crossing an edge of the other."""
    start_a, stop_a = a[:, :, np.newaxis], np.roll(a, -1, axis=1)[:, :, np.newaxis]
    start_b, stop_b = b[:, np.newaxis], np.roll(b, -1, axis=1)[:, np.newaxis]
    normal_a, normal_b = np.cross(start_a, stop_a), np.cross(start_b, stop_b)
    # The two great circles meet in this direction and in the opposite one: within both arcs or not.
    meet = np.cross(normal_a, normal_b)
    sides = np.stack(
        [
            np.sum(np.cross(normal_a, start_a) * meet, axis=-1),
            np.sum(np.cross(stop_a, normal_a) * meet, axis=-1),
            np.sum(np.cross(normal_b, start_b) * meet, axis=-1),
            np.sum(np.cross(stop_b, normal_b) * meet, axis=-1),
        ]
    )
    met: Any = np.logical_or((sides > 0).all(axis=0), (sides < 0).all(axis=0))
    crossing: Truth = np.any(met, axis=(1, 2))
    return crossing


def _each(polygons: Array, points: Array, test: Callable[[Array, Array], Truth]) -> Truth:
    """Test polygons, shape (n, k, 3), against several points each, (n, m, 3); the answer has shape (n, m)."""
    return np.stack([test(polygons, points[:, place]) for place in range(points.shape[1])], axis=1)


def _point(shapes: Array) -> Array:
    return vectors(shapes[:, 0], shapes[:, 1])


def _radius(shapes: Array) -> Array:
    return np.radians(shapes[:, 2]) if shapes.shape[1] == 3 else np.zeros(len(shapes))


def intersects(a: Array, b: Array) -> Truth:
    """Say which shapes, (n, numbers) each, have a point in common with their counterpart."""
    if a.shape[1] < 6 and b.shape[1] < 6:
        near: Truth = separation(_point(a), _point(b)) <= _radius(a) + _radius(b) + EDGE
        return near
    if a.shape[1] < 6:
        a, b = b, a
    polygons = corners(a)
    if b.shape[1] < 6:
        point, radius = _point(b), _radius(b)
        touches: Truth = covers(polygons, point) | (from_edges(polygons, point) <= radius + EDGE)
        return touches
    others = corners(b)
    found: Truth = (
        _each(polygons, others, covers).any(axis=1)
        | _each(others, polygons, covers).any(axis=1)
        | edges_cross(polygons, others)
    )
    return found


def within(a: Array, b: Array) -> Truth:
    """Say which shapes `a` lie wholly within their counterpart `b`, shape (n, numbers) each."""
    if b.shape[1] == 2:
        return np.zeros(len(a), bool) if a.shape[1] != 2 else intersects(a, b)
    if b.shape[1] == 3:
        center, radius = _point(b), _radius(b)
        if a.shape[1] < 6:
            inner: Truth = separation(_point(a), center) + _radius(a) <= radius + EDGE
            return inner
        polygons = corners(a)
        held = (separation(polygons, center[:, np.newaxis]) <= radius[:, np.newaxis] + EDGE).all(axis=1)
        # Beyond a quarter of the sky a circle is not convex: what it lacks is a circle, and has to be avoided.
        outside = np.concatenate([b[:, :1] + 180.0, -b[:, 1:2], np.maximum(180.0 - b[:, 2:] - 1e-7, 0)], axis=1)
        hemisphere = radius <= np.pi / 2
        avoided: Truth = held & (hemisphere | ~intersects(a, outside))
        return avoided
    outer = corners(b)
    if a.shape[1] < 6:
        point = _point(a)
        fits: Truth = (_radius(a) == 0) | (from_edges(outer, point) >= _radius(a) - EDGE)
        return covers(outer, point) & fits
    polygons = corners(a)
    whole: Truth = np.all(_each(outer, polygons, covers), axis=1) & ~edges_cross(outer, polygons)
    return whole


def area(shapes: Array) -> Array:
    """Return the area of shapes, (n, numbers), in square degrees."""
    square_degree = np.degrees(1) ** 2
    if shapes.shape[1] < 6:
        solid: Array = 2 * np.pi * (1 - np.cos(_radius(shapes))) * square_degree
        return solid
    polygons = corners(shapes)
    # The spherical excess, as the sum over triangles that share the centre (L'Huilier's in vectors: Van Oosterom
    # and Strackee 1983), with signs, so that concave polygons come out right.
    center = enclosing(polygons)[0][:, np.newaxis]
    start, stop = polygons, np.roll(polygons, -1, axis=1)
    volume = np.sum(center * np.cross(start, stop), axis=-1)
    below = 1 + np.sum(center * start, axis=-1) + np.sum(start * stop, axis=-1) + np.sum(stop * center, axis=-1)
    found: Array = np.abs(2 * np.arctan2(volume, below).sum(axis=1)) * square_degree
    return found
