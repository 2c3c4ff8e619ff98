"""Rounding costs a small and known part of the noise, and leaves gaps alone."""

from __future__ import annotations

import pytest

np = pytest.importorskip("numpy", reason="the images are arrays")

from romanhub.sample.rounding import KEPT_DIGITS, STEPS_PER_ERROR, keep_digits, round_to_error  # noqa: E402


def test_rounding_adds_less_than_a_thousandth_to_the_variance() -> None:
    values = np.random.default_rng(7).normal(10.0, 0.3, size=200_000).astype(np.float32)
    rounded = round_to_error(values, np.full_like(values, 0.3))
    assert np.abs(rounded - values).max() <= 0.3 / STEPS_PER_ERROR / 2 * 1.001
    assert np.var(rounded - values) < 0.001 * np.var(values)
    assert rounded.mean() == pytest.approx(values.mean(), abs=3e-4)
    assert np.unique(rounded).size < 400


def test_gaps_stay_gaps_and_the_type_stays() -> None:
    values = np.array([1.0, np.nan, np.inf, -2.0], dtype=np.float32)
    rounded = round_to_error(values, np.full_like(values, 0.1))
    assert rounded.dtype == np.float32
    assert np.isnan(rounded[1])
    assert np.isposinf(rounded[2])
    assert np.isnan(keep_digits(values, KEPT_DIGITS)[1])


def test_kept_digits_bound_the_relative_error() -> None:
    values = np.random.default_rng(8).uniform(1e-3, 1e3, size=100_000).astype(np.float16)
    kept = keep_digits(values, KEPT_DIGITS)
    assert kept.dtype == np.float16
    assert np.abs(kept.astype(float) / values.astype(float) - 1).max() <= 2.0**-KEPT_DIGITS
    assert keep_digits(np.zeros(3), KEPT_DIGITS).tolist() == [0, 0, 0]


def test_an_image_without_errors_is_refused() -> None:
    with pytest.raises(ValueError, match="none of them is positive"):
        round_to_error(np.ones(4), np.zeros(4))
