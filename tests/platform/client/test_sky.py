"""Positions as people write them, and footprints on the sphere."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("roman_datamodels", reason="the notebook's side is tested in the analysis environment")

import astropy.units as u
import numpy as np
from astropy.coordinates import Angle, SkyCoord
from hypothesis import given
from hypothesis import strategies as st
from romanhub.client.sky import Footprint, as_angle, as_position, unit_vectors, vector_of


@pytest.mark.parametrize(
    "position",
    [
        SkyCoord(270.5, 66.0, unit="deg"),
        (270.5, 66.0),
        [270.5, 66],
        np.array([270.5, 66.0]),
        (270.5 * u.deg, 66.0 * u.deg),
        (Angle("18h02m00s"), Angle("66d")),
        "270.5 66.0",
        "270.5, 66",
        "18h02m00s +66d00m00s",
        "18:02:00 +66:00:00",
        "18 02 00 +66 00 00",
        SkyCoord(270.5, 66.0, unit="deg").galactic,
    ],
)
def test_a_position_can_be_written_in_many_ways(position) -> None:
    found = as_position(position)
    assert found.frame.name == "icrs"
    assert found.separation(SkyCoord(270.5, 66.0, unit="deg")) < 1 * u.uas


@pytest.mark.parametrize(
    "position", ["M31", "somewhere", "", (1, 2, 3), 12.0, None, (10, 95), "10 95", ("a", "b")]
)
def test_what_is_no_position_is_said_to_be_none(position) -> None:
    with pytest.raises(ValueError, match=r"is not a position on the sky\. Give a SkyCoord"):
        as_position(position)


def test_many_positions_at_once_are_no_position() -> None:
    with pytest.raises(ValueError, match="takes one position; this SkyCoord holds 2"):
        as_position(SkyCoord([1, 2], [3, 4], unit="deg"))


@pytest.mark.parametrize(("angle", "degrees"), [(0.5, 0.5), (1800 * u.arcsec, 0.5), ("30 arcmin", 0.5), (0, 0)])
def test_an_angle_without_a_unit_is_in_degrees(angle, degrees) -> None:
    assert as_angle(angle, "radius").deg == pytest.approx(degrees)


@pytest.mark.parametrize("angle", [-1, "far", 3 * u.s, None, float("nan"), [1, 2]])
def test_what_is_no_angle_is_said_to_be_none(angle) -> None:
    with pytest.raises(ValueError, match="cannot be the radius"):
        as_angle(angle, "radius")


def square(ra: float, dec: float, half: float, angle: float = 0.0) -> list[tuple[float, float]]:
    """Return a square around a position whose corners lie `half` degrees along and across its axes."""
    center = SkyCoord(ra, dec, unit="deg")
    corners = [
        center.directional_offset_by((angle + turn) * u.deg, half * math.sqrt(2) * u.deg)
        for turn in (45, 135, 225, 315)
    ]
    return [(float(corner.ra.deg), float(corner.dec.deg)) for corner in corners]


def at(ra: float, dec: float) -> np.ndarray:
    return unit_vectors(ra, dec)


def test_a_footprint_across_right_ascension_zero_covers_both_sides() -> None:
    footprint = Footprint(square(0.0, 10.0, 0.1))
    assert footprint.contains(at(0.05, 10.0))
    assert footprint.contains(at(359.95, 10.0))
    assert not footprint.contains(at(0.2, 10.0))
    assert not footprint.contains(at(359.8, 10.0))
    assert not footprint.contains(at(180.0, 10.0))
    assert not footprint.contains(at(180.0, -10.0))


def test_a_footprint_over_the_pole_covers_every_right_ascension_near_it() -> None:
    footprint = Footprint(square(40.0, 90.0, 0.1))
    assert footprint.contains(at(0, 90))
    for ra in range(0, 360, 15):
        assert footprint.contains(at(ra, 89.95))
        assert not footprint.contains(at(ra, 89.8))
    assert not footprint.contains(at(0, -90))


def test_a_footprint_beside_the_pole_does_not_cover_it() -> None:
    footprint = Footprint(square(40.0, 89.7, 0.1))
    assert not footprint.contains(at(0, 90))
    assert footprint.contains(at(40, 89.7))
    assert not footprint.contains(at(220, 89.7))


def test_edges_are_great_circles_not_parallels() -> None:
    # Between two corners at the same declination the great circle rises towards the pole: at the middle of
    # 40 degrees of right ascension at declination 60 it reaches atan(tan 60 / cos 20) = 61.52 degrees.
    footprint = Footprint([(0, 50), (40, 50), (40, 60), (0, 60)])
    highest = math.degrees(math.atan(math.tan(math.radians(60)) / math.cos(math.radians(20))))
    assert footprint.contains(at(20, highest - 0.01))
    assert not footprint.contains(at(20, highest + 0.01))
    lowest = math.degrees(math.atan(math.tan(math.radians(50)) / math.cos(math.radians(20))))
    assert footprint.contains(at(20, lowest + 0.01))
    assert not footprint.contains(at(20, lowest - 0.01))


def test_a_concave_footprint_does_not_cover_its_notch() -> None:
    footprint = Footprint([(9, -1), (11, -1), (11, 1), (10, -0.5), (9, 1)])
    assert footprint.contains(at(9.2, 0.4))
    assert footprint.contains(at(10.8, 0.4))
    assert not footprint.contains(at(10, 0.4))


def test_corners_and_edges_are_covered() -> None:
    corners = square(123.0, -45.0, 0.2, angle=20)
    footprint = Footprint(corners)
    for corner in corners:
        assert footprint.contains(at(*corner))
    middle = footprint.vertices[0] + footprint.vertices[1]
    assert footprint.contains(middle / np.linalg.norm(middle))


def test_a_cone_touches_a_footprint_from_outside_at_its_distance() -> None:
    footprint = Footprint(square(200.0, 30.0, 0.1))
    center = SkyCoord(200.0, 30.0, unit="deg")
    beside = vector_of(center.directional_offset_by(90 * u.deg, 0.3 * u.deg))
    edge = math.degrees(footprint.distance_to_edge(beside))
    assert edge == pytest.approx(0.2, abs=2e-4)
    assert footprint.touches(beside, math.radians(0.201))
    assert not footprint.touches(beside, math.radians(0.199))
    assert not footprint.touches(beside, 0)
    beyond_a_corner = vector_of(center.directional_offset_by(45 * u.deg, (0.1 * math.sqrt(2) + 0.2) * u.deg))
    assert math.degrees(footprint.distance_to_edge(beyond_a_corner)) == pytest.approx(0.2, abs=1e-6)


def test_a_cone_touches_a_footprint_that_lies_in_it_and_one_that_it_lies_in() -> None:
    footprint = Footprint(square(200.0, 30.0, 0.1))
    assert footprint.touches(at(200.0, 30.0), math.radians(5))
    assert footprint.touches(at(200.0, 30.0), math.radians(0.001))


@given(
    ra=st.floats(0, 359.999),
    dec=st.floats(-90, 90),
    angle=st.floats(0, 360),
    half=st.floats(1e-3, 5),
    x=st.floats(-2, 2),
    y=st.floats(-2, 2),
)
def test_a_rotated_square_covers_what_it_covers_in_its_tangent_plane(ra, dec, angle, half, x, y) -> None:
    # In the tangent plane of its centre the square is |x| <= 1 and |y| <= 1, in units of its half side.
    if min(abs(abs(x) - 1), abs(abs(y) - 1)) < 1e-6:
        return
    center = unit_vectors(ra, dec)
    lon, lat = math.radians(ra), math.radians(dec)
    east = np.array([-math.sin(lon), math.cos(lon), 0])
    north = np.array([-math.sin(lat) * math.cos(lon), -math.sin(lat) * math.sin(lon), math.cos(lat)])
    turn = math.radians(angle)
    across = math.cos(turn) * east + math.sin(turn) * north
    along = math.cos(turn) * north - math.sin(turn) * east
    side = math.tan(math.radians(half))

    def place(px: float, py: float) -> np.ndarray:
        vector = center + side * (px * across + py * along)
        return vector / np.linalg.norm(vector)

    def degrees(vector: np.ndarray) -> tuple[float, float]:
        return math.degrees(math.atan2(vector[1], vector[0])) % 360, math.degrees(math.asin(vector[2]))

    footprint = Footprint([degrees(place(px, py)) for px, py in ((-1, -1), (1, -1), (1, 1), (-1, 1))])
    assert footprint.contains(place(x, y)) == (abs(x) < 1 and abs(y) < 1)
