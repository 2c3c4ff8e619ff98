"""The simulation itself, in the full analysis image: the same seed gives the same pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("romanisim", reason="simulating needs the full analysis image")

import numpy as np
from roman_datamodels import datamodels
from romanhub.sample.plan import SamplePlan, sample_plan
from romanhub.sample.references import distortion, work_offline
from romanhub.sample.rounding import round_model
from romanhub.sample.scene import make_scene, scene_at
from romanhub.sample.simulate import simulate

pytestmark = pytest.mark.full_image


@pytest.fixture(scope="module")
def plan() -> SamplePlan:
    work_offline()
    return sample_plan(size=512, seed=42)


@pytest.fixture(scope="module")
def scene(plan: SamplePlan) -> Any:
    return make_scene(plan.scene, ["F106", "F158"], plan.seed)


def test_the_same_seed_gives_the_same_pixels_and_another_does_not(plan: SamplePlan, scene: Any) -> None:
    exposure = plan.exposures[0]
    first, again, other = (simulate(exposure, scene, seed=seed, size=64) for seed in (5, 5, 6))
    assert np.array_equal(first.data, again.data)
    assert np.array_equal(first.dq, again.dq)
    assert not np.array_equal(first.data, other.data)
    first.validate()


def test_the_committed_exposure_is_what_the_simulation_makes(plan: SamplePlan, scene: Any, archive: Path) -> None:
    exposure = plan.exposures[0]
    seen = scene_at(scene, plan.scene, exposure.middle)
    made = simulate(exposure, seen, seed=plan.exposure_seed(exposure), size=512)
    round_model(made)
    with datamodels.open(archive / exposure.key) as committed:
        # Another processor's Fourier transforms may differ in a last digit, and so a pixel in a draw.
        assert np.mean(made.data == committed.data) > 0.999
        assert np.mean(made.dq == committed.dq) > 0.999
        assert made.meta.exposure.start_time == committed.meta.exposure.start_time


def test_the_scene_is_the_same_again(plan: SamplePlan, scene: Any) -> None:
    again = make_scene(plan.scene, ["F158", "F106"], plan.seed)
    assert all(np.array_equal(scene[name], again[name]) for name in scene.colnames)


@pytest.mark.parametrize("detector", ["WFI01", "WFI09", "WFI18"])
def test_the_distortion_follows_the_instruments_aperture_file_and_returns(detector: str) -> None:
    import pysiaf

    aperture = pysiaf.Siaf("Roman")[f"{detector}_FULL"]
    transform = distortion(detector)
    x, y = np.random.default_rng(3).uniform(0, 4087, size=(2, 500))
    v2, v3 = transform(x, y)
    # The aperture file counts pixels from 1.
    expected = aperture.sci_to_tel(x + 1, y + 1)
    assert np.abs(np.subtract((v2, v3), expected)).max() < 1e-4  # arcseconds
    assert np.abs(np.subtract(transform.inverse(v2, v3), (x, y))).max() < 0.01  # pixels
