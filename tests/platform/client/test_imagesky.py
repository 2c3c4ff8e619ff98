"""Positions to pixels over whole images: as right as the transform that the image comes with."""

from __future__ import annotations

import pickle

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.modeling.models import Mapping, Pix2Sky_TAN, Polynomial2D, RotateNative2Celestial, Scale, Shift
from gwcs import WCS, coordinate_frames
from roman_datamodels import datamodels
from romanhub.client.imagesky import ImageSky, PieceSky
from romanhub.sample import small_archive

#: A detector's pixels along a side, and its half side.
SIDE, HALF = 4088, 2044


@pytest.fixture(scope="module", params=["level2", "level3"])
def image(request):
    """The world coordinates of an exposure or a mosaic of the sample, and its (rows, columns)."""
    with datamodels.open(sorted((small_archive() / request.param).glob("*.asdf"))[0]) as model:
        return model.meta.wcs, model.data.shape


def anywhere(shape, count: int):
    """Pixels anywhere in an image, its very corners among them."""
    rng = np.random.default_rng(3)
    rows, columns = shape
    x = np.r_[-0.5, columns - 0.5, -0.5, columns - 0.5, rng.uniform(-0.5, columns - 0.5, count)]
    y = np.r_[-0.5, -0.5, rows - 0.5, rows - 0.5, rng.uniform(-0.5, rows - 0.5, count)]
    return x, y


def test_every_pixel_is_found_again_and_as_gwcs_own_inverse_finds_it(image) -> None:
    wcs, shape = image
    x, y = anywhere(shape, 5000)
    place = wcs(x, y, with_bounding_box=False)
    found = ImageSky(wcs, shape).pixels(*place)
    np.testing.assert_allclose(found, [x, y], rtol=0, atol=1e-6)
    # The inverse that comes with the files is a polynomial of its own, right to some thousandths of a pixel.
    np.testing.assert_allclose(found, wcs.invert(*place, with_bounding_box=False), rtol=0, atol=0.01)


def test_a_whole_detector_with_far_more_distortion_than_romans_and_without_an_inverse() -> None:
    # Across the half side, 22 pixels' worth of distortion; and a scale of 0.11 arcseconds.
    bent = Polynomial2D(3, c1_0=1, c2_0=4e-6, c1_1=-3e-6, c0_3=2e-10) & Polynomial2D(
        3, c0_1=1, c0_2=-4e-6, c2_1=1e-10
    )
    forward = (
        Shift(-HALF) & Shift(-HALF)
        | Mapping((0, 1, 0, 1))
        | bent
        | Scale(0.11 / 3600) & Scale(0.11 / 3600)
        | Pix2Sky_TAN()
        | RotateNative2Celestial(359.99, -88.9, 180)
    )
    sky_frame = coordinate_frames.CelestialFrame(
        reference_frame=SkyCoord(0, 0, unit="deg").frame, unit=(u.deg, u.deg)
    )
    wcs = WCS([(coordinate_frames.Frame2D(name="detector"), forward), (sky_frame, None)])
    x, y = anywhere((SIDE, SIDE), 5000)
    found = ImageSky(wcs, (SIDE, SIDE)).pixels(*wcs(x, y))
    np.testing.assert_allclose(found, [x, y], rtol=0, atol=1e-5)


def test_positions_off_the_image_are_not_in_it(image) -> None:
    wcs, shape = image
    sky = ImageSky(wcs, shape)
    ra, dec = wcs(shape[1] / 2, shape[0] / 2, with_bounding_box=False)
    # Its antipode has the same place on the tangent plane.
    far = sky.pixels([ra + 180, ra, ra + 90], [-dec, dec - 1, dec])
    assert np.isnan(far).all()
    x, _ = sky.pixels(ra, dec)
    assert float(x) == pytest.approx(shape[1] / 2, abs=1e-6)


def test_a_piece_has_world_coordinates_of_its_own(image) -> None:
    wcs, shape = image
    sky = ImageSky(wcs, shape)
    piece, other = PieceSky(sky, -3, 7, (20, 30)), PieceSky(sky, 0, 0, (20, 30))
    x, y = np.meshgrid(np.arange(30.0), np.arange(20.0))
    np.testing.assert_allclose(piece.wcs(x, y), wcs(x - 3, y + 7, with_bounding_box=False), rtol=0, atol=1e-12)
    np.testing.assert_allclose(piece.pixels(*piece.wcs(x, y)), [x, y], rtol=0, atol=1e-6)
    assert piece.wcs.pixel_shape == (30, 20)
    again = pickle.loads(pickle.dumps(piece))
    np.testing.assert_allclose(again.wcs(3, 4), piece.wcs(3, 4), rtol=0, atol=1e-12)
    # Whoever changes a piece's changes no other's, and not the image's.
    before, far = wcs(1, 1, with_bounding_box=False), other.wcs(1, 1)
    for step in piece.wcs.pipeline:
        for model in step.transform.traverse_postorder() if hasattr(step.transform, "traverse_postorder") else ():
            for name in getattr(model, "param_names", ()):
                setattr(model, name, getattr(model, name).value + 1)
    np.testing.assert_array_equal(wcs(1, 1, with_bounding_box=False), before)
    np.testing.assert_array_equal(PieceSky(sky, 0, 0, (20, 30)).wcs(1, 1), far)


def test_the_scale_is_the_mean_side_of_a_pixel(image) -> None:
    wcs, shape = image
    sky = ImageSky(wcs, shape)
    x, y = 100.0, 200.0
    here, right, up = (
        SkyCoord(*wcs(*at, with_bounding_box=False), unit="deg") for at in ((x, y), (x + 1, y), (x, y + 1))
    )
    expected = np.sqrt(here.separation(right).arcsec * here.separation(up).arcsec)
    assert sky.scale(x, y).to_value(u.arcsec) == pytest.approx(expected, rel=1e-4)
