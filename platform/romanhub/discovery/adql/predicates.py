"""Conditions on the sky, as the database can answer them quickly and exactly.

Each condition is the exact one and, where the rows are sorted by place, the ranges of cells that it cannot be
true outside of. The database skips whole groups of rows by the ranges, and tests what is left. As the ranges
follow from the condition, the two together mean the condition, wherever in a query it stands.
"""

from __future__ import annotations

import math

from romanhub.discovery import cells, geometry
from romanhub.discovery.adql.shapes import Shape
from romanhub.discovery.tables import CELL, Entry


def distance(a: Shape, b: Shape) -> str:
    """Return the angle between two points in degrees, as the database computes it (the haversine formula)."""
    return f"degrees(2 * asin(least(1, sqrt({_haversine(a, b)}))))"


def _haversine(a: Shape, b: Shape) -> str:
    (ra1, dec1), (ra2, dec2) = a.texts[:2], b.texts[:2]
    return (
        f"pow(sin(radians(({dec1}) - ({dec2})) / 2), 2) + cos(radians({dec1})) * cos(radians({dec2})) * "
        f"pow(sin(radians(({ra1}) - ({ra2})) / 2), 2)"
    )


def near(a: Shape, b: Shape, radius: str, known_radius: float | None, *, strictly: bool = False) -> str:
    """Return the condition that two points are within (`strictly`: nearer than) a radius in degrees."""
    comparison = "<" if strictly else "<="
    if known_radius is not None:
        # The edge counts as inside, with what double precision may have lost.
        reach = math.radians(known_radius) / 2 + (0 if strictly else geometry.EDGE / 2)
        exact = "true" if reach >= math.pi / 2 else f"{_haversine(a, b)} {comparison} {math.sin(reach) ** 2!r}"
        if known_radius < 0:
            return "false"
    else:
        exact = f"{distance(a, b)} {comparison} ({radius}) + {0.0 if strictly else math.degrees(geometry.EDGE)!r}"
    conditions = [f"({exact})"]
    for one, other in ((a, b), (b, a)):
        if one.entry is not None and other.numbers is not None and known_radius is not None:
            conditions.insert(0, _ranges(one.alias, one.entry, (*other.numbers[:2], known_radius), reaching=False))
    if a.numbers is None and b.numbers is None:
        # Two tables: a band of declinations, which the database can join by.
        (_, dec1), (_, dec2) = a.texts[:2], b.texts[:2]
        band = f"({radius}) + 1e-6"
        conditions.insert(0, f"({dec1}) BETWEEN ({dec2}) - ({band}) AND ({dec2}) + ({band})")
    return _both(conditions)


def contains(inner: Shape, outer: Shape) -> str:
    """Return the condition that one shape lies within another."""
    if inner.kind == "point" and outer.kind == "circle":
        return near(inner, _center(outer), outer.texts[2], outer.numbers[2] if outer.numbers else None)
    if inner.kind == "point" and outer.kind == "point":
        return near(inner, outer, "0", 0.0)
    return _tested("sky_within", inner, outer)


def intersects(a: Shape, b: Shape) -> str:
    """Return the condition that two shapes have a point in common."""
    if a.kind == "point" and b.kind in ("point", "circle"):
        return contains(a, b)
    if b.kind == "point" and a.kind == "circle":
        return contains(b, a)
    return _tested("sky_intersects", a, b)


def in_range(alias: str, entry: Entry, limits: tuple[float, float, float, float]) -> str:
    """Return the condition that footprints touch a range of coordinates (lon1, lon2, lat1, lat2), degrees."""
    lon1, lon2, lat1, lat2 = limits
    width = 360.0 if lon2 - lon1 >= 360 else (lon2 - lon1) % 360
    exact = f'sky_touches_range("{alias}"."_shape", [{lon1!r}, {lon2!r}, {lat1!r}, {lat2!r}])'
    # Around the range's middle: as far as its corners, or, where it goes half around the sky, as its sides.
    middle = geometry.vectors(*_arrays(lon1 + width / 2, (lat1 + lat2) / 2))
    reach = 180.0
    if width <= 90:
        ends = geometry.vectors(*_arrays([lon1, lon1, lon1 + width / 2] * 2, [lat1] * 3 + [lat2] * 3))
        middles = geometry.vectors(*_arrays([lon1], [(lat1 + lat2) / 2]))
        reach = float(
            math.degrees(max(geometry.separation(ends, middle).max(), geometry.separation(middles, middle).max()))
        )
    ranges = _ranges(alias, entry, (lon1 + width / 2, (lat1 + lat2) / 2, reach), reaching=True)
    return _both([ranges, f"(CASE WHEN {ranges} THEN {exact} ELSE false END)"])


def _arrays(ra: object, dec: object) -> tuple[geometry.Array, geometry.Array]:
    import numpy as np

    return np.asarray(ra, float), np.asarray(dec, float)


def _tested(function: str, a: Shape, b: Shape) -> str:
    """Return the condition by one of the functions on shapes, called for rows within the ranges alone."""
    exact = f"coalesce({function}({a.sql}, {b.sql}), false)"
    ranges = []
    for one, other in ((a, b), (b, a)):
        if one.entry is not None and other.numbers is not None:
            circle = geometry.bounds(other.numbers)
            ranges.append(_ranges(one.alias, one.entry, circle, reaching=one.kind == "region"))
    ranges = [each for each in ranges if each != "true"]
    if not ranges:
        return f"({exact})"
    prefilter = _both(ranges)
    return f"({prefilter} AND CASE WHEN {prefilter} THEN {exact} ELSE false END)"


def _center(circle: Shape) -> Shape:
    return Shape(circle.texts[:2], circle.numbers[:2] if circle.numbers else None)


def _ranges(alias: str, entry: Entry, circle: tuple[float, ...], *, reaching: bool) -> str:
    """Return the condition that a row's cell is one of those that a circle (degrees) covers."""
    ra, dec, radius = circle
    # As far as rows whose exact test allows for the edge.
    radius += math.degrees(geometry.EDGE) * 2
    if entry.cells == "images":
        found = cells.image_ranges(ra, dec, radius, entry.classes, reaching=reaching)
    elif entry.cells == "sources" and not reaching:
        found = cells.cone_ranges(ra, dec, radius, cells.SOURCE_ORDER)
    else:
        found = None
    if found is None:
        return "true"
    if not found:
        return "false"
    column = f'"{alias}"."{CELL}"'
    return "(" + " OR ".join(f"{column} BETWEEN {start} AND {stop}" for start, stop in found) + ")"


def _both(conditions: list[str]) -> str:
    kept = [one for one in conditions if one != "true"]
    return "(" + " AND ".join(kept) + ")" if kept else "true"
