"""The geometry for many rows at once, against the one for a single footprint, and against plain sampling."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from romanhub.client.sky import Footprint, separation, unit_vectors
from romanhub.discovery import cells, geometry
from romanhub.discovery.ranges import touches_range

from tests.platform.discovery.world import polygon

RA = st.one_of(st.floats(0, 359.999), st.sampled_from([0.0, 359.9999, 180.0]))
DEC = st.one_of(st.floats(-90, 90), st.sampled_from([90.0, -90.0, 89.999, -89.999, 0.0]))
REACH = st.floats(0.01, 20)
CORNERS = st.integers(3, 6)
TURN = st.floats(0, 6.28)


def flat(corners: tuple[tuple[float, float], ...]) -> tuple[float, ...]:
    return tuple(number for corner in corners for number in corner)


few = settings(max_examples=60, deadline=None)


@few
@given(RA, DEC, REACH, CORNERS, TURN, RA, DEC, st.floats(0, 1.5), st.floats(0, 30))
@example(0.0, 90.0, 5.0, 4, 0.0, 90.0, 88.0, 0.5, 1.0)
def test_a_polygon_touches_what_a_single_footprint_touches(
    ra: float,
    dec: float,
    reach: float,
    corners: int,
    turn: float,
    to_ra: float,
    to_dec: float,
    away: float,
    radius: float,
) -> None:
    shape = polygon(ra, dec, reach, corners, turn)
    # Near the polygon, so that the answer is not always no.
    mixed = unit_vectors(ra, dec) + away * math.radians(2 * reach) * unit_vectors(to_ra, to_dec)
    assume(np.linalg.norm(mixed) > 1e-6)
    x, y, z = mixed / np.linalg.norm(mixed)
    point = (math.degrees(math.atan2(y, x)) % 360, math.degrees(math.asin(max(-1, min(1, z)))))
    footprint = Footprint(shape)
    vector = unit_vectors(*point)
    # What is nearer to the edge than either arithmetic can tell is left out.
    assume(abs(footprint.distance_to_edge(vector) - math.radians(radius)) > 1e-8)
    assume(footprint.distance_to_edge(vector) > 1e-8)
    assert geometry.intersects(np.array([flat(shape)]), np.array([point]))[0] == footprint.contains(vector)
    circle = np.array([(*point, radius)])
    assert geometry.intersects(np.array([flat(shape)]), circle)[0] == footprint.touches(
        vector, math.radians(radius)
    )


def in_convex(polygon: Footprint, points: np.ndarray, slack: float = 0.0) -> np.ndarray:
    """Which points lie on the inner side of every edge of a convex polygon, within some slack in radians."""
    normals = np.cross(polygon.vertices, np.roll(polygon.vertices, -1, axis=0))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    normals *= np.sign(normals @ polygon.center)[:, np.newaxis]
    return (points @ normals.T >= -math.sin(slack)).all(axis=1)


def spread(polygon: Footprint, dice: np.random.Generator, count: int) -> np.ndarray:
    """Points all over a convex polygon, its edges among them."""
    weights = dice.dirichlet(np.full(len(polygon.vertices), 0.4), count)
    points = np.concatenate([polygon.vertices, weights @ polygon.vertices])
    return points / np.linalg.norm(points, axis=1, keepdims=True)


@few
@given(
    RA, DEC, st.floats(0.1, 5), CORNERS, TURN, st.floats(-8, 8), st.floats(-8, 8), st.floats(0.1, 5), CORNERS, TURN
)
def test_polygons_intersect_where_a_point_is_in_both(
    ra: float,
    dec: float,
    reach: float,
    k: int,
    turn: float,
    east: float,
    north: float,
    other: float,
    m: int,
    spin: float,
) -> None:
    assume(abs(dec + north) <= 90)
    a = polygon(ra, dec, reach, k, turn)
    b = polygon((ra + east) % 360, dec + north, other, m, spin)
    first, second = Footprint(a), Footprint(b)
    dice = np.random.default_rng(1)
    found = bool(geometry.intersects(np.array([flat(a)]), np.array([flat(b)]))[0])
    points, others = spread(first, dice, 4000), spread(second, dice, 4000)
    # What the samples may miss is thinner than a hundredth of the polygons.
    slack = math.radians(min(reach, other)) / 10
    if in_convex(second, points, -1e-8).any() or in_convex(first, others, -1e-8).any():
        assert found
    elif not (in_convex(second, points, slack).any() or in_convex(first, others, slack).any()):
        assert not found
    # One within the other: the same as all corners inside, because both are convex.
    inside = in_convex(second, first.vertices, -1e-8).all()
    if inside or not in_convex(second, first.vertices, 1e-8).all():
        assert bool(geometry.within(np.array([flat(a)]), np.array([flat(b)]))[0]) == inside


@few
@given(RA, DEC, REACH, CORNERS, TURN, RA, st.floats(0, 360), DEC, st.floats(0, 60))
@example(0.0, 90.0, 3.0, 4, 0.1, 0.0, 360.0, 88.0, 1.0)
@example(350.0, 0.0, 15.0, 4, 0.1, 355.0, 10.0, -1.0, 2.0)
@example(0.0, 90.0, 3.0, 4, 0.1, 20.0, 5.0, 80.0, 10.0)
def test_a_polygon_touches_a_range_where_a_point_is_in_both(
    ra: float, dec: float, reach: float, k: int, turn: float, lon1: float, width: float, lat1: float, height: float
) -> None:
    shape = polygon(ra, dec, reach, k, turn)
    lat2 = min(90.0, lat1 + height)
    footprint = Footprint(shape)
    dice = np.random.default_rng(1)
    lons = lon1 + width * dice.random(4000)
    # Even on the sphere, and the outline as well.
    low, high = np.sin(np.radians([lat1, lat2]))
    lats = np.degrees(np.arcsin(np.clip(low + (high - low) * dice.random(4000), -1, 1)))
    lons[:500], lons[500:1000], lats[1000:1500], lats[1500:2000] = lon1, lon1 + width, lat1, lat2
    ranged = unit_vectors(lons, lats)
    points = spread(footprint, dice, 4000)
    ras, decs = geometry.positions(points)

    def in_range(slack: float) -> np.ndarray:
        along = slack / np.maximum(np.cos(np.radians(decs)), 1e-9)
        beyond = (ras - lon1 + along) % 360 <= width + 2 * along
        return (beyond | (along > 180)) & (decs >= lat1 - slack) & (decs <= lat2 + slack)

    found = bool(touches_range(np.array([flat(shape)]), lon1, lon1 + width, lat1, lat2)[0])
    slack = reach / 10
    if in_convex(footprint, ranged, -1e-8).any() or (in_range(0.0) & (np.abs(decs) < 89.9999)).any():
        assert found
    elif not (in_convex(footprint, ranged, math.radians(slack)).any() or in_range(slack).any()):
        assert not found


@few
@given(RA, DEC, st.floats(1e-6, 59), st.integers(0, 2**32 - 1))
def test_the_cells_of_a_cone_miss_nothing(ra: float, dec: float, radius: float, seed: int) -> None:
    dice = np.random.default_rng(seed)
    center = unit_vectors(ra, dec)
    points = center + math.radians(radius) * dice.normal(size=(500, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    held = points[separation(points, center) <= math.radians(radius)]
    assume(len(held))
    lon, lat = geometry.positions(held)
    numbers = cells.cell_numbers(lon, lat, cells.SOURCE_ORDER)
    ranges = cells.cone_ranges(ra, dec, radius, cells.SOURCE_ORDER)
    assert ranges is not None
    assert len(ranges) <= 24
    starts, stops = np.array(ranges).T
    places = np.searchsorted(starts, numbers, side="right") - 1
    assert (places >= 0).all() and (numbers <= stops[places]).all()


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((10.0, 20.0, 1.0), 2 * math.pi * (1 - math.cos(math.radians(1))) * math.degrees(1) ** 2),
        # An octant of the sphere.
        ((0.0, 0.0, 90.0, 0.0, 0.0, 90.0), 4 * math.pi / 8 * math.degrees(1) ** 2),
        # The standard small-angle area of a square degree on the equator, by integrating cos(dec): great circles
        # bulge towards the pole by less than the tolerance.
        ((10.0, -0.5, 11.0, -0.5, 11.0, 0.5, 10.0, 0.5), 1.0),
    ],
)
def test_areas(shape: tuple[float, ...], expected: float) -> None:
    assert geometry.area(np.array([shape]))[0] == pytest.approx(expected, rel=1e-4)


def test_a_box_is_crossed_by_its_arms_at_right_angles() -> None:
    corners = np.array(geometry.box(40.0, 60.0, 10.0, 4.0)).reshape(-1, 2)
    vectors = unit_vectors(corners[:, 0], corners[:, 1])
    # The middle of the upper side is 2 degrees north of the centre, on its meridian.
    top = vectors[2] + vectors[3]
    lon, lat = geometry.positions(top / np.linalg.norm(top))
    assert (float(lon), float(lat)) == pytest.approx((40.0, 62.0))
    side = vectors[1] + vectors[2]
    across = separation(side / np.linalg.norm(side), unit_vectors(40.0, 60.0))
    assert math.degrees(across) == pytest.approx(5.0)


@pytest.mark.parametrize(
    "shape",
    [(0.0, 91.0), (0.0, 0.0, -1.0), (0.0, 0.0, 1.0, 1.0), (math.nan, 0.0), (0.0, 0.0, 120.0, 0.0, 240.0, 0.0)],
)
def test_what_is_no_shape_is_refused(shape: tuple[float, ...]) -> None:
    with pytest.raises(geometry.ShapeError):
        geometry.check(shape)
