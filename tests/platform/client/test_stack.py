"""Dask arrays and stacks of the archive's images, over a real S3 server."""

from __future__ import annotations

import dataclasses

import pytest

pytest.importorskip("roman_datamodels", reason="the notebook's side is tested in the analysis environment")

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from romanhub.client.archive import Archive
from romanhub.client.errors import NotInArchiveError
from romanhub.client.stack import on_grid
from romanhub.client.usage import usage


@pytest.fixture(scope="module")
def center(stored) -> SkyCoord:
    corners = Archive(stored.access).exposures(level=3)[0].footprint
    return SkyCoord(corners.cartesian.mean()).transform_to("icrs")


def test_an_images_array_as_a_dask_array(archive) -> None:
    exposure = archive.exposures()[0]
    data = exposure.to_dask()
    assert (data.shape, data.dtype) == (exposure.shape, np.float32)
    with exposure.open() as model:
        np.testing.assert_array_equal(data.compute(scheduler="threads"), model.data)
        np.testing.assert_array_equal(exposure.to_dask("dq")[5:8, 9:99].compute(), model.dq[5:8, 9:99])
    assert archive.to_dask(exposure.name).name == data.name
    with pytest.raises(NotInArchiveError, match=r"has no array 'flux'\. It has .*data, .*dq"):
        exposure.to_dask("flux")


def test_a_stack_has_a_layer_for_each_image_and_nothing_is_read_before_it_is_computed(archive, center) -> None:
    exposures = archive.exposures(filter="F158")[-3:]
    before = sum(amount.bytes for amount in usage.total().values())
    stack = archive.stack(exposures, center, (40, 60))
    assert sum(amount.bytes for amount in usage.total().values()) == before
    assert stack.shape == (len(exposures), 40, 60)
    assert stack.data.numblocks == (len(exposures), 1, 1)
    assert stack.data.dtype == np.float32
    assert stack.names == tuple(exposures.names)
    assert stack.data.name == archive.stack(exposures.names, center, (40, 60)).data.name
    assert "exposures" not in repr(stack)
    layers = stack.data.compute(scheduler="threads")
    covers = [exposure.covers(center) for exposure in exposures]
    assert 1 < sum(covers) < len(exposures)
    for layer, covered in zip(layers, covers, strict=True):
        assert np.isfinite(layer).any() == covered
    np.testing.assert_allclose(stack.mean().compute(), np.nanmean(layers, axis=0), rtol=1e-5)
    np.testing.assert_allclose(stack.median(rows=7).compute(), np.nanmedian(layers, axis=0), rtol=1e-6)
    np.testing.assert_array_equal(stack.count().compute(), np.isfinite(layers).sum(axis=0))


def test_the_layers_of_a_stack_show_the_same_sky(archive, center) -> None:
    # The exposures are dithered and two are turned; only on one grid do they agree with each other.
    layers = archive.stack(archive.exposures(center, filter="F158"), center, 200).data.compute()
    bright = np.nan_to_num(layers - np.nanmedian(layers, axis=(1, 2), keepdims=True))
    assert len(layers) >= 3
    for layer in bright[1:]:
        shared = np.corrcoef(layer.ravel(), bright[0].ravel())[0, 1]
        turned = np.corrcoef(layer[::-1].ravel(), bright[0].ravel())[0, 1]
        assert shared > 0.5 > turned


def test_a_sources_place_on_the_grid_is_its_place_on_the_sky(archive, center) -> None:
    exposure = archive.exposures(center, filter="F158")[0]
    piece = exposure.cutout(center, 90)
    stack = archive.stack([exposure], center, 60)
    marked = dataclasses.replace(piece, data=np.zeros_like(piece.data))
    assert marked.dq is not None
    marked.dq[:] = 0
    marked.data[50, 40] = 1
    layer = on_grid(marked, stack.wcs, (60, 60))
    row, column = np.unravel_index(np.nanargmax(layer), layer.shape)
    there = SkyCoord(*piece.wcs(40, 50), unit="deg")
    assert SkyCoord(*stack.wcs.pixel_to_world_values(column, row), unit="deg").separation(there) < 0.1 * u.arcsec


def test_a_stack_of_nothing_or_of_no_size_is_refused(archive, center) -> None:
    with pytest.raises(ValueError, match="A stack needs at least one image"):
        archive.stack([], center, 20)
    with pytest.raises(ValueError, match="cannot be a cutout's size"):
        archive.stack(archive.exposures(), center, 0)
