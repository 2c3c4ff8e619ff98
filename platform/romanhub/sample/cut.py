"""Cut an exposure to a smaller one around the same centre, with the coordinate system moved along."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

#: The arrays of an ImageModel that cover the detector's pixels, rows by columns.
IMAGE_ARRAYS = ("data", "dq", "err", "var_poisson", "var_rnoise", "var_flat", "chisq", "dumo")

#: Reference pixels lie at the detector's edge: those beside the rows or the columns kept stay.
_BESIDE_ROWS = ("amp33", "border_ref_pix_left", "border_ref_pix_right")
_BESIDE_COLUMNS = ("border_ref_pix_top", "border_ref_pix_bottom")
_DQ_BESIDE_ROWS = ("dq_border_ref_pix_left", "dq_border_ref_pix_right")
_DQ_BESIDE_COLUMNS = ("dq_border_ref_pix_top", "dq_border_ref_pix_bottom")

#: How many rows of border reference pixels lie below the image's first row.
_BORDER = 4


def sky_region(wcs: Any, shape: tuple[int, int]) -> str:
    """Return the image's outline in the form of `meta.wcsinfo.s_region`: its corners' outer edges.

    `shape` is (rows, columns). Right ascension and declination follow each other, degrees, ICRS.
    """
    rows, columns = shape
    x = (-0.5, columns - 0.5, columns - 0.5, -0.5)
    y = (-0.5, -0.5, rows - 0.5, rows - 0.5)
    ra, dec = wcs(x, y, with_bounding_box=False)
    vertices = (f"{a:.9f} {d:.9f}" for a, d in zip(ra, dec, strict=True))
    return "POLYGON ICRS " + " ".join(vertices)


def window_wcs(wcs: Any, *, left: int, top: int, size: int) -> Any:
    """Return the coordinate system of a window of `size` by `size` pixels whose corner is (left, top).

    It is `wcs` with a shift before its first step: each pixel keeps its place on the sky, and the
    inverse is as exact as it was.
    """
    from astropy.modeling.models import Shift

    result = deepcopy(wcs)
    if left or top:
        result.insert_transform("detector", Shift(left) & Shift(top), after=True)
    result.bounding_box = ((-0.5, size - 0.5), (-0.5, size - 0.5))
    result.array_shape = (size, size)
    return result


def cut(model: Any, size: int) -> Any:
    """Return the central `size` by `size` pixels of an ImageModel as an ImageModel of its own.

    Raises ValueError if the image is smaller than `size`.
    """
    from roman_datamodels.datamodels import ImageModel

    rows, columns = model.data.shape
    if size > min(rows, columns):
        raise ValueError(f"An image of {rows} by {columns} pixels cannot be cut to {size} by {size}.")
    top, left = (rows - size) // 2, (columns - size) // 2
    down, across = slice(top, top + size), slice(left, left + size)
    beside_down = slice(top + _BORDER, top + _BORDER + size)
    beside_across = slice(left + _BORDER, left + _BORDER + size)

    result = ImageModel.create_fake_data()
    result.meta = deepcopy(model.meta)
    for name in IMAGE_ARRAYS:
        if name in model:
            result[name] = model[name][down, across].copy()
    for name in _BESIDE_ROWS:
        result[name] = model[name][:, beside_down, :].copy()
    for name in _BESIDE_COLUMNS:
        result[name] = model[name][:, :, beside_across].copy()
    for name in _DQ_BESIDE_ROWS:
        result[name] = model[name][beside_down, :].copy()
    for name in _DQ_BESIDE_COLUMNS:
        result[name] = model[name][:, beside_across].copy()
    result.meta.wcs = window_wcs(model.meta.wcs, left=left, top=top, size=size)
    result.meta.wcsinfo.s_region = sky_region(result.meta.wcs, (size, size))
    return result
