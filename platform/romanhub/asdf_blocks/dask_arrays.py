"""Lazy arrays as Dask arrays, whose chunks workers read by themselves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from romanhub.asdf_blocks.lazy import LazyArray

#: How many bytes of memory a chunk takes, about: large enough that a request's cost is small beside it, and small
#: enough that a worker with 4 GiB holds many.
CHUNK_BYTES = 16 * 1024 * 1024


def to_dask(array: LazyArray, *, chunk_bytes: int = CHUNK_BYTES) -> Any:
    """Return a Dask array whose chunks are rows (the first axis) of about `chunk_bytes` bytes.

    Chunks of an lz4 block begin with the first row that begins in a frame, so that few frames are read twice. A
    block that is one stream (zlib, bzp2) is one chunk: each chunk of it would read the stream from its start.
    The name is the same each time for the same file, so that Dask recognises what it has computed.

    :raises BlocksError: when it is computed; here only for a block that cannot be read at all.
    """
    import dask.array
    from dask.base import tokenize

    rows = row_chunks(array, chunk_bytes)
    chunks = (rows, *((side,) for side in array.shape[1:])) if array.shape else ()
    return dask.array.from_array(
        array,
        chunks=chunks,
        name=f"asdf-{tokenize(array, rows)}",
        meta=np.empty((0,) * array.ndim, array.dtype),
        asarray=True,
    )


def row_chunks(array: LazyArray, chunk_bytes: int) -> tuple[int, ...]:
    """Return the lengths of the chunks along the first axis."""
    if not array.shape or not array.size:
        return tuple(array.shape[:1])
    remote, number = array.where
    with remote.spoken():
        block = remote.block(number)
        row = math.prod(array.shape[1:]) * array.dtype.itemsize
        step = max(chunk_bytes // row, 1)
        rows = array.shape[0]
        if block.compression not in ("", "lz4") or array._strides is not None:
            return (rows,)
        if not block.compression:
            starts = list(range(0, rows, step))
        else:
            starts = [0]
            for place in remote.frames(number).starts[1:-1]:
                begins = -(-max(place - array._offset, 0) // row)
                if begins - starts[-1] >= step and begins < rows:
                    starts.append(begins)
    return tuple(stop - start for start, stop in zip(starts, [*starts[1:], rows], strict=True))
