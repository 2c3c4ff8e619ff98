"""A cut exposure keeps its pixels, their places on the sky, and everything a valid image needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from romanhub.models.archive import ArchiveIndex
from romanhub.sample.cut import cut

datamodels = pytest.importorskip(
    "roman_datamodels.datamodels", reason="cutting an image needs the notebook's environment"
)
np = pytest.importorskip("numpy", reason="cutting an image needs the notebook's environment")


@pytest.fixture
def exposure(archive: Path, index: ArchiveIndex) -> Any:
    with datamodels.open(archive / index.exposures[0].key) as model:
        yield model


def test_the_middle_pixels_stay_where_they_are_on_the_sky(exposure: Any) -> None:
    small = cut(exposure, 128)
    assert np.array_equal(small.data, exposure.data[192:320, 192:320])
    assert np.array_equal(small.dq, exposure.dq[192:320, 192:320])
    x, y = np.meshgrid(np.linspace(0, 127, 5), np.linspace(0, 127, 5))
    here, there = small.meta.wcs(x, y), exposure.meta.wcs(x + 192, y + 192)
    assert np.abs(np.subtract(here, there)).max() < 1e-10
    back = small.meta.wcs.invert(*here, with_bounding_box=False)
    assert np.abs(np.subtract(back, (x, y))).max() < 0.01


def test_the_outline_in_the_metadata_is_that_of_the_cut(exposure: Any) -> None:
    small = cut(exposure, 128)
    outline = np.array(small.meta.wcsinfo.s_region.split()[2:], dtype=float).reshape(4, 2)
    corners = small.meta.wcs((-0.5, 127.5, 127.5, -0.5), (-0.5, -0.5, 127.5, 127.5), with_bounding_box=False)
    assert np.abs(outline - np.transpose(corners)).max() < 1e-8


def test_the_cut_is_valid_and_reads_back_the_same(exposure: Any, tmp_path: Path) -> None:
    small = cut(exposure, 128)
    small.validate()
    small.save(tmp_path / "small.asdf")
    with datamodels.open(tmp_path / "small.asdf") as again:
        assert again.data.shape == again.err.shape == again.chisq.shape == (128, 128)
        assert np.array_equal(again.data, small.data)
        assert again.meta.observation.visit_id == exposure.meta.observation.visit_id


def test_the_image_that_was_cut_stays_as_it_was(exposure: Any) -> None:
    before = exposure.meta.wcs(10.0, 20.0)
    small = cut(exposure, 128)
    small.data[:] = 0
    small.meta.instrument.detector = "WFI18"
    assert exposure.meta.wcs(10.0, 20.0) == before
    assert exposure.data.any()
    assert exposure.meta.instrument.detector == "WFI01"


def test_more_than_the_image_has_is_refused(exposure: Any) -> None:
    with pytest.raises(ValueError, match="512 by 512 pixels cannot be cut to 513 by 513"):
        cut(exposure, 513)
