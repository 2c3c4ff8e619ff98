"""The functions on shapes that queries in the store may call: `geometry`'s, over columns of lists of numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import duckdb
import numpy as np
import pyarrow as pa

from romanhub.discovery import geometry
from romanhub.discovery.geometry import Array, Truth
from romanhub.discovery.ranges import touches_range

_Lists: TypeAlias = "pa.ChunkedArray"


class _Rows:
    """A column of lists of numbers, as rows of the same length together."""

    def __init__(self, column: _Lists) -> None:
        array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        self.known = array.is_valid().to_numpy(zero_copy_only=False)
        self.starts = array.offsets.to_numpy()[:-1].astype(np.int64)
        self.lengths = np.where(self.known, np.diff(array.offsets.to_numpy()).astype(np.int64), -1)
        self._numbers = array.values.to_numpy(zero_copy_only=False)

    def take(self, places: Any, length: int) -> Array:
        """Return the rows at places, all of a length, as an array of shape (n, length)."""
        found: Array = self._numbers[self.starts[places][:, np.newaxis] + np.arange(length)]
        return found


def _pairs(a: _Lists, b: _Lists, test: Callable[[Array, Array], Truth]) -> pa.Array:
    left, right = _Rows(a), _Rows(b)
    answers = np.zeros(len(left.known), bool)
    known = (left.lengths >= 2) & (right.lengths >= 2)
    for pair in np.unique(np.stack([left.lengths, right.lengths], axis=1)[known], axis=0):
        places = np.flatnonzero((left.lengths == pair[0]) & (right.lengths == pair[1]))
        answers[places] = test(left.take(places, pair[0]), right.take(places, pair[1]))
    return pa.array(answers, mask=~known)


def _single(column: _Lists, measure: Callable[[Array], Array]) -> pa.Array:
    rows = _Rows(column)
    answers = np.zeros(len(rows.known))
    known = rows.lengths >= 2
    for length in np.unique(rows.lengths[known]):
        places = np.flatnonzero(rows.lengths == length)
        answers[places] = measure(rows.take(places, length))
    return pa.array(answers, mask=~known)


def _within(a: _Lists, b: _Lists) -> pa.Array:
    return _pairs(a, b, geometry.within)


def _intersects(a: _Lists, b: _Lists) -> pa.Array:
    return _pairs(a, b, geometry.intersects)


def _area(shape: _Lists) -> pa.Array:
    return _single(shape, geometry.area)


def _touches_range(shape: _Lists, limits: _Lists) -> pa.Array:
    lon1, lon2, lat1, lat2 = (float(number) for number in _Rows(limits).take(np.array([0]), 4)[0])
    rows = _Rows(shape)
    answers = np.zeros(len(rows.known), bool)
    for length in np.unique(rows.lengths[rows.lengths >= 6]):
        places = np.flatnonzero(rows.lengths == length)
        answers[places] = touches_range(rows.take(places, length), lon1, lon2, lat1, lat2)
    return pa.array(answers)


def register(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the functions known to a database."""
    shape: Any = "DOUBLE[]"
    options: dict[str, Any] = {"type": "arrow", "null_handling": "special"}
    truth: Any = "BOOLEAN"
    number: Any = "DOUBLE"
    connection.create_function("sky_within", _within, [shape, shape], truth, **options)
    connection.create_function("sky_intersects", _intersects, [shape, shape], truth, **options)
    connection.create_function("sky_touches_range", _touches_range, [shape, shape], truth, **options)
    connection.create_function("sky_area", _area, [shape], number, **options)
