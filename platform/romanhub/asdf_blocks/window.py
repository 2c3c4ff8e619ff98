"""What part of a block an index of whole numbers and slices needs."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import Any

import numpy as np

from romanhub.asdf_blocks.source import Span


@dataclass(frozen=True)
class Window:
    """A box of an array and how the index is applied within it.

    `runs` are the ranges of the block's data that hold the box, in the order of its elements. `box` is its
    shape, and `index` what picks the answer out of it.
    """

    runs: tuple[Span, ...]
    box: tuple[int, ...]
    index: tuple[Any, ...]
    dtype: Any


def as_window(index: Any, shape: tuple[int, ...], dtype: Any, offset: int) -> Window | None:
    """Return the window of an index into an array that lies in its block row by row, from `offset` on.

    :return: None for an index that needs the whole array, or of which only numpy knows what it means.
    :raises IndexError: for an index outside the array, as numpy does.
    """
    parts = list(index) if isinstance(index, tuple) else [index]
    if not all(part is Ellipsis or isinstance(part, slice) or _whole(part) for part in parts):
        return None
    if sum(part is Ellipsis for part in parts) > 1 or len(parts) - (Ellipsis in parts) > len(shape):
        return None  # numpy says what is wrong with it
    if Ellipsis in parts:
        at = parts.index(Ellipsis)
        parts[at : at + 1] = [slice(None)] * (len(shape) - len(parts) + 1)
    parts += [slice(None)] * (len(shape) - len(parts))
    axes = [_axis(part, side) for part, side in zip(parts, shape, strict=True)]
    low = [first for first, _, _ in axes]
    within = [chosen for _, _, chosen in axes]
    box = tuple(stop - first for first, stop, _ in axes)
    if box == shape:
        return None
    return Window(_runs(low, box, shape, int(dtype.itemsize), offset), box, tuple(within), dtype)


def _axis(part: Any, side: int) -> tuple[int, int, Any]:
    """Return the first and past the last element of an axis that are needed, and the index within these."""
    if isinstance(part, slice):
        chosen = range(*part.indices(side))
        if not len(chosen):
            return 0, 0, slice(0, 0)
        first, last = min(chosen[0], chosen[-1]), max(chosen[0], chosen[-1])
        stop = chosen[-1] - first + (1 if chosen.step > 0 else -1)
        return first, last + 1, slice(chosen[0] - first, None if stop < 0 else stop, chosen.step)
    number = operator.index(part)
    if not -side <= number < side:
        raise IndexError(f"The index {number} is outside of an axis of {side} elements.")
    return number % side, number % side + 1, 0


def _whole(part: Any) -> bool:
    return isinstance(part, (int, np.integer)) and not isinstance(part, (bool, np.bool_))


def _runs(
    low: list[int], box: tuple[int, ...], shape: tuple[int, ...], item: int, offset: int
) -> tuple[Span, ...]:
    """Return the ranges of bytes that hold a box, each as long as its elements lie one after the other."""
    if not math.prod(box):
        return ()
    strides = [math.prod(shape[axis + 1 :]) * item for axis in range(len(shape))]
    # The last axis of which not all is wanted; all after it comes along without a gap.
    axis = max((axis for axis in range(len(shape)) if box[axis] != shape[axis]), default=0)
    starts: Any = np.array([offset + low[axis] * strides[axis]], np.int64)
    for outer in range(axis - 1, -1, -1):
        places = (low[outer] + np.arange(box[outer], dtype=np.int64)) * strides[outer]
        starts = (places[:, None] + starts[None, :]).ravel()
    length = box[axis] * strides[axis]
    return tuple((int(start), int(start) + length) for start in starts)
