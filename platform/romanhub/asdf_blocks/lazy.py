"""Arrays that read from storage what is asked of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from asdf.tags.core import NDArrayType

from romanhub.asdf_blocks.errors import CorruptError
from romanhub.asdf_blocks.reading import read_parts, read_whole
from romanhub.asdf_blocks.source import Span
from romanhub.asdf_blocks.window import Window, as_window

if TYPE_CHECKING:
    from romanhub.asdf_blocks.remote import RemoteAsdf

#: An array of up to so many bytes is read as a whole, whatever is asked of it.
SMALL = 64 * 1024


class LazyArray(NDArrayType):  # type: ignore[misc]
    """An array of an ASDF file in storage.

    `array[100:300, 200:400]` reads only what these rows need. Everything that numpy does with the whole array
    (`np.asarray(array)`, arithmetic, methods) reads it once and keeps it; so does an index that is not of whole
    numbers and slices. What is assigned changes the array in memory only. It does not need the file to stay open.

    :raises BlocksError: from any read; see `romanhub.asdf_blocks.errors`.
    """

    # asdf's class is not initialised: it would want the block's data, and all its state is replaced here.
    def __init__(
        self,
        remote: RemoteAsdf,
        block: int,
        shape: Sequence[int | str],
        dtype: Any,
        offset: int = 0,
        strides: tuple[int, ...] | None = None,
    ) -> None:
        self._remote = remote
        self._block = block
        self._source = block
        self._offset = offset
        self._strides = strides
        self._dtype = np.dtype(dtype)
        self._array: Any = None
        self._mask = None
        self._shape = self._true_shape(shape)

    def _true_shape(self, shape: Sequence[int | str]) -> tuple[int, ...]:
        rest = tuple(int(side) for side in shape[1:])
        if shape and shape[0] == "*":
            with self._remote.spoken():
                size = self._remote.block(self._block).size
            return size // (math.prod(rest) * self._dtype.itemsize), *rest
        return tuple(int(side) for side in shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape."""
        return self._shape

    @property
    def dtype(self) -> Any:
        """The type of its elements."""
        return self._dtype

    @property
    def ndim(self) -> int:
        """The number of its dimensions."""
        return len(self._shape)

    @property
    def size(self) -> int:
        """The number of its elements."""
        return math.prod(self._shape)

    @property
    def nbytes(self) -> int:
        """How many bytes its elements take in memory."""
        return self.size * int(self._dtype.itemsize)

    @property
    def loaded(self) -> bool:
        """Whether the whole array is in memory."""
        return self._array is not None

    @property
    def where(self) -> tuple[RemoteAsdf, int]:
        """The file and the number of the block that the array is in."""
        return self._remote, self._block

    def __len__(self) -> int:
        return self._shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.array(self._make_array(), dtype=dtype, copy=copy)

    def __getitem__(self, index: Any) -> Any:
        return read_together([self], index)[0]

    def __getattr__(self, name: str) -> Any:
        # Whoever asks whether there is some attribute must not cause the array to be read for it.
        if name.startswith("_") or not hasattr(np.ndarray, name):
            raise AttributeError(f"An array has no attribute {name!r}.")
        return getattr(self._make_array(), name)

    def __repr__(self) -> str:
        state = "in memory" if self.loaded else "in storage"
        return f"<LazyArray {state}: shape {self._shape}, {self._dtype}>"

    __str__ = __repr__

    def __reduce__(self) -> Any:
        return _again, (self._remote, self._block, self._shape, self._dtype, self._offset, self._strides)

    def __deepcopy__(self, memo: Any) -> LazyArray:
        made = _again(self._remote, self._block, self._shape, self._dtype, self._offset, self._strides)
        made._array = None if self._array is None else self._array.copy()
        return made

    def __dask_tokenize__(self) -> Any:
        remote = self._remote.__dask_tokenize__()
        return "LazyArray", remote, self._block, self._offset, self._shape, str(self._dtype), self._strides

    def _make_array(self) -> Any:
        """Return the whole array; it is read at the first call. All of asdf's operators call this."""
        if self._array is None:
            load([self])
        return self._array

    def _view(self, data: Any) -> Any:
        try:
            return np.ndarray(self._shape, self._dtype, data, self._offset, self._strides)
        except (TypeError, ValueError):
            raise CorruptError("An array in the file needs more bytes than its block has.") from None

    def window(self, index: Any) -> Window | None:
        """Return what part of the block an index needs; None where that is all of it, or is in memory already."""
        if self.loaded or self._strides is not None or self.nbytes <= SMALL or self._dtype.hasobject:
            return None
        return as_window(index, self._shape, self._dtype, self._offset)


def _again(remote: Any, block: int, shape: Any, dtype: Any, offset: int, strides: Any) -> LazyArray:
    return LazyArray(remote, block, shape, dtype, offset, strides)


@dataclass
class _Wanted:
    """A part of one array that is to be read: ranges of the file, and what makes the part of their bytes."""

    place: int
    spans: list[Span]
    make: Callable[[list[memoryview]], Any]


def read_together(arrays: Sequence[LazyArray], index: Any, *, keep: bool = True) -> list[Any]:
    """Return the same part of several arrays of one file, read in one round of requests.

    :param arrays: lazy arrays of the same file.
    :param index: what stands between the brackets of `array[…]`.
    :param keep: whether an array that is read as a whole stays in memory for the next time.
    :return: plain arrays, or numbers, as numpy would give them.
    """
    results: list[Any] = [None] * len(arrays)
    wanted: list[_Wanted] = []
    remote = arrays[0].where[0] if arrays else None
    if any(array.where[0] is not remote for array in arrays):
        raise ValueError("Arrays can be read together only where they are of the same file.")
    windows = [array.window(index) for array in arrays]
    whole = [array for array, window in zip(arrays, windows, strict=True) if window is None and not array.loaded]
    load(whole)
    for place, (array, window) in enumerate(zip(arrays, windows, strict=True)):
        if window is None:
            results[place] = array._make_array()[index]
        else:
            with array._remote.spoken():
                spans, make = read_parts(array._remote, array._block, window)
            wanted.append(_Wanted(place, spans, make))
    if wanted and remote is not None:
        with remote.spoken():
            parts = iter(remote.fetch([span for each in wanted for span in each.spans]))
            for each in wanted:
                results[each.place] = each.make([next(parts) for _ in each.spans])
    if not keep:
        for array in whole:
            array._array = None
    return results


def load(arrays: Sequence[LazyArray]) -> None:
    """Read arrays of one file as a whole, those that are not in memory yet: all at once, by few large requests."""
    missing = [array for array in arrays if not array.loaded]
    if missing:
        remote, _ = missing[0].where
        with remote.spoken():
            for array, data in zip(
                missing, read_whole(remote, [array.where[1] for array in missing]), strict=True
            ):
                array._array = array._view(data)
