"""The plan of the sample archive: names, places and times, without any simulation."""

from __future__ import annotations

import re
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from romanhub.sample.plan import DETECTOR_PIXELS, PIXEL_SCALE, Position, sample_plan

coordinates = pytest.importorskip("astropy.coordinates", reason="positions are checked against astropy")

#: Roman's convention: program, execution plan, pass, segment, observation, visit; exposure; detector; filter.
NAME = re.compile(r"r\d{5}\d{2}\d{3}\d{3}\d{3}\d{3}_\d{4}_wfi(0[1-9]|1[0-8])_f\d{3}_cal")


def test_names_follow_the_convention_and_none_comes_twice() -> None:
    exposures = sample_plan(size=512, seed=1).exposures
    assert all(NAME.fullmatch(exposure.name) for exposure in exposures)
    assert len({exposure.name for exposure in exposures}) == len(exposures)


def test_two_filters_have_four_exposures_of_the_field_each_and_one_looks_elsewhere() -> None:
    plan = sample_plan(size=512, seed=1)
    reach = plan.size * PIXEL_SCALE / 2
    on_field = [each for each in plan.exposures if each.target.separation(plan.center) < reach]
    assert sorted(each.optical_element for each in on_field) == ["F106"] * 4 + ["F158"] * 4
    assert len(plan.exposures) - len(on_field) == 1


@pytest.mark.parametrize("size", [512, DETECTOR_PIXELS])
def test_the_neighbour_never_covers_the_centre_nor_enters_the_mosaic(size: int) -> None:
    plan = sample_plan(size=size, seed=1)
    neighbour = max(plan.exposures, key=lambda each: each.target.separation(plan.center))
    half_diagonal = size * PIXEL_SCALE / 2 * 2**0.5
    assert neighbour.target.separation(plan.center) > half_diagonal
    assert neighbour not in plan.mosaic_members()
    assert len(plan.mosaic_members()) == 4


def test_every_exposure_lies_within_the_scene() -> None:
    plan = sample_plan(size=DETECTOR_PIXELS, seed=1)
    corner = DETECTOR_PIXELS * PIXEL_SCALE / 2 * 2**0.5
    furthest = max(each.target.separation(plan.scene.center) for each in plan.exposures)
    assert furthest + corner < plan.scene.radius * 3600


def test_exposures_spread_over_days_and_none_starts_before_the_one_before_ended() -> None:
    starts = [exposure.start for exposure in sample_plan(size=512, seed=1).exposures]
    assert max(starts) - min(starts) > timedelta(days=5)
    assert all(later - earlier > timedelta(seconds=140) for earlier, later in pairwise(starts))


def test_each_exposure_has_noise_of_its_own() -> None:
    plan, other = sample_plan(size=512, seed=1), sample_plan(size=512, seed=2)
    seeds = [each_plan.exposure_seed(each) for each_plan in (plan, other) for each in each_plan.exposures]
    assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize("size", [0, 255, DETECTOR_PIXELS + 1])
def test_a_size_that_a_detector_does_not_have_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"256 to 4088 pixels on a side; {size} was asked for"):
        sample_plan(size=size, seed=1)


@given(
    ra=st.floats(0, 359.999),
    dec=st.floats(-85, 85),
    east=st.floats(-900, 900),
    north=st.floats(-900, 900),
)
def test_an_offset_on_the_tangent_plane_is_what_astropy_makes_of_it(
    ra: float, dec: float, east: float, north: float
) -> None:
    from astropy.wcs import WCS

    plane = WCS(naxis=2)
    plane.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    plane.wcs.crval = [ra, dec]
    plane.wcs.cdelt = [1 / 3600, 1 / 3600]
    moved = Position(ra, dec).offset(east, north)
    found = coordinates.SkyCoord(moved.ra, moved.dec, unit="deg")
    # Counted from 1, the reference pixel is pixel 0, so a pixel's number is its offset.
    expected = coordinates.SkyCoord(*plane.wcs_pix2world(east, north, 1), unit="deg")
    assert found.separation(expected).arcsec < 1e-6
    centre = coordinates.SkyCoord(ra, dec, unit="deg")
    assert Position(ra, dec).separation(moved) == pytest.approx(centre.separation(found).arcsec, abs=1e-6)
