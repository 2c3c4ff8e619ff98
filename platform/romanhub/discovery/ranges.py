"""SIA's RANGE: what lies between two meridians and two parallels, and which polygons touch it, exactly."""

from __future__ import annotations

import numpy as np

from romanhub.discovery.geometry import (
    EDGE,
    Array,
    ShapeError,
    Truth,
    corners,
    covers,
    edges_cross,
    positions,
    vectors,
)


def touches_range(shapes: Array, lon1: float, lon2: float, lat1: float, lat2: float) -> Truth:
    """Say which polygons, shape (n, 2 k), have a point in common with a range of coordinates, in degrees.

    Where `lon1` is more than `lon2`, the range crosses the meridian of right ascension 0.

    Raises ShapeError for latitudes out of order or beyond the poles.
    """
    if not -90 <= lat1 <= lat2 <= 90:
        raise ShapeError("The latitudes of a RANGE have to be in order, and between -90 and 90 degrees.")
    width = 360.0 if lon2 - lon1 >= 360 else (lon2 - lon1) % 360
    polygons = corners(shapes)
    found: Truth = np.any(_holds(polygons, lon1, width, lat1, lat2), axis=1)
    ends = [(lon1, lat1), (lon1, lat2), (lon1 + width, lat1), (lon1 + width, lat2)]
    for ra, dec in ends:
        point = np.broadcast_to(vectors(np.array(ra), np.array(dec)), (len(shapes), 3))
        found |= covers(polygons, point)
    if width < 360:
        # A meridian is a great circle; in two arcs, because one from pole to pole has no direction.
        middle = (lat1 + lat2) / 2
        for ra in (lon1, lon1 + width):
            for low, high in ((lat1, middle), (middle, lat2)):
                arc = vectors(np.array([ra, ra]), np.array([low, high]))
                found |= edges_cross(polygons, np.broadcast_to(arc, (len(shapes), 2, 3)))
    for dec in (lat1, lat2):
        if abs(dec) < 90:
            found |= _cross_parallel(polygons, dec, lon1, width)
    return found


def _holds(points: Array, lon1: float, width: float, lat1: float, lat2: float) -> Truth:
    ra, dec = positions(points)
    edge = np.degrees(EDGE)
    along = (ra - lon1 + edge) % 360 <= width + 2 * edge
    at_pole = np.abs(dec) >= 90 - edge
    held: Truth = (along | at_pole) & (dec >= lat1 - edge) & (dec <= lat2 + edge)
    return held


def _cross_parallel(polygons: Array, dec: float, lon1: float, width: float) -> Truth:
    """Say which polygons have an edge that meets the parallel within the longitudes."""
    start, stop = polygons, np.roll(polygons, -1, axis=1)
    length = np.arctan2(np.linalg.norm(np.cross(start, stop), axis=-1), np.sum(start * stop, axis=-1))
    with np.errstate(divide="ignore", invalid="ignore"):
        onward = (stop - start * np.cos(length)[..., np.newaxis]) / np.sin(length)[..., np.newaxis]
        # Along an edge z = a cos t + b sin t; it meets the parallel where that is sin(dec).
        a, b = start[..., 2], onward[..., 2]
        half = np.arccos(np.sin(np.radians(dec)) / np.hypot(a, b))
    middle = np.arctan2(b, a)
    met = np.zeros(len(polygons), bool)
    for t in (middle - half, middle + half):
        place = t % (2 * np.pi)
        on_edge = np.isfinite(t) & (place <= length)
        t0 = np.where(on_edge, place, 0)[..., np.newaxis]
        meeting = start * np.cos(t0) + np.where(on_edge[..., np.newaxis], onward, 0) * np.sin(t0)
        ra, _ = positions(meeting)
        edge = np.degrees(EDGE)
        met |= (on_edge & ((ra - lon1 + edge) % 360 <= width + 2 * edge)).any(axis=1)
    return met
