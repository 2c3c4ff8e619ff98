"""Round images to what their noise warrants, so that they compress well.

Most of the binary digits of a simulated or observed pixel are noise that no compression can shorten.
Rounding a value to a sixteenth of its standard error adds 1/(12 x 256), a three-thousandth, to its
variance: the variance of a uniform error over one step is step^2 / 12.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: The step of the rounding is at most the image's median error over this.
STEPS_PER_ERROR = 16

#: Errors, variances and weights keep this many binary digits: 0.8 % at worst.
KEPT_DIGITS = 7

_NOISE_ARRAYS = ("err", "var_poisson", "var_rnoise", "var_flat", "weight")


def round_to_error(
    values: NDArray[np.floating[Any]], error: NDArray[np.floating[Any]]
) -> NDArray[np.floating[Any]]:
    """Return `values` rounded to a power of two that is at most the median error over sixteen.

    Both arrays have one shape and one unit. Values that are not finite stay as they are. Raises
    ValueError if no error is positive.
    """
    positive = error[np.isfinite(error) & (error > 0)]
    if not positive.size:
        raise ValueError("The image cannot be rounded to its errors: none of them is positive.")
    step = 2.0 ** np.floor(np.log2(float(np.median(positive.astype(np.float64))) / STEPS_PER_ERROR))
    rounded: NDArray[np.floating[Any]] = np.round(values.astype(np.float64) / step) * step
    return rounded.astype(values.dtype)


def keep_digits(values: NDArray[np.floating[Any]], digits: int) -> NDArray[np.floating[Any]]:
    """Return `values` rounded to so many significant binary digits; the type and the shape stay."""
    mantissa, exponent = np.frexp(values.astype(np.float64))
    rounded: NDArray[np.floating[Any]] = np.ldexp(np.round(np.ldexp(mantissa, digits)), exponent - digits)
    return rounded.astype(values.dtype)


def round_model(model: Any) -> None:
    """Round an ImageModel's or a MosaicModel's arrays in place: the data to the errors, these to 0.8 %."""
    model.data = round_to_error(model.data, model.err)
    for name in _NOISE_ARRAYS:
        if name in model:
            model[name] = keep_digits(model[name], KEPT_DIGITS)
