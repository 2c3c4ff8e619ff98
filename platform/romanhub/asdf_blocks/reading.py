"""From parts of a block's data to ranges of the file, and from the bytes of those back, for each compression."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from romanhub.asdf_blocks import streams
from romanhub.asdf_blocks.errors import CorruptError
from romanhub.asdf_blocks.frames import Frames, Piece
from romanhub.asdf_blocks.plan import Costs, join
from romanhub.asdf_blocks.restart import STRIDE
from romanhub.asdf_blocks.source import Span, room
from romanhub.asdf_blocks.window import Window

if TYPE_CHECKING:
    from romanhub.asdf_blocks.layout import Block
    from romanhub.asdf_blocks.remote import RemoteAsdf

#: What makes an array of the bytes of the ranges that were asked for.
Make = Callable[[list[memoryview]], Any]


def read_parts(remote: RemoteAsdf, number: int, window: Window) -> tuple[list[Span], Make]:
    """Return which ranges of the file a window of a block needs, and what makes the window's array of their bytes.

    :raises CorruptError: where the window goes beyond the block, or bytes cannot be decoded (that from `Make`).
    """
    block = remote.block(number)
    if window.runs and max(stop for _, stop in window.runs) > block.size:
        raise CorruptError("An array in the file needs more bytes than its block has.")
    if not block.compression:
        spans = [(block.start + start, block.start + stop) for start, stop in window.runs]
        return spans, lambda parts: _array(window, parts)
    if block.compression == "lz4":
        return _lz4_parts(remote.frames(number), window)
    stop = max((stop for _, stop in window.runs), default=0)

    def make(_: list[memoryview]) -> Any:
        data = streams.read_up_to(remote, block, stop)
        return _array(window, [data[start:stop] for start, stop in window.runs])

    return [], make


def _lz4_parts(frames: Frames, window: Window) -> tuple[list[Span], Make]:
    # Restart points lie so far apart: data closer to each other are decoded in one go.
    stretches = join(window.runs, Costs(gap=STRIDE))
    pieces: list[list[Piece]] = [frames.pieces(start, stop) for start, stop in stretches]
    spans = [frames.span(piece) for row in pieces for piece in row]

    def make(parts: list[memoryview]) -> Any:
        given = iter(parts)
        buffers = []
        for (start, stop), row in zip(stretches, pieces, strict=True):
            buffer = room(stop - start)
            for piece in row:
                origin, data = frames.decode(piece, next(given))
                first, last = max(origin, start), min(origin + len(data), stop)
                # A piece with a restart point in front holds bytes of before `start`, which are not to be used.
                buffer[first - start : last - start] = memoryview(data)[first - origin : last - origin]
            buffers.append(buffer)
        found = []
        place = 0
        for start, stop in window.runs:
            while stretches[place][1] < stop:
                place += 1
            found.append(buffers[place][start - stretches[place][0] : stop - stretches[place][0]])
        return _array(window, found)

    return spans, make


def _array(window: Window, parts: list[memoryview]) -> Any:
    """Return the array of a window from the bytes of its runs."""
    box = np.empty(window.box, window.dtype)
    if box.size:
        rows = box.reshape(len(parts), -1).view(np.uint8)
        for row, part in zip(rows, parts, strict=True):
            row[:] = np.frombuffer(part, np.uint8)
    found = box[window.index]
    # Of the box, only what was asked for is kept in memory.
    return found.copy() if isinstance(found, np.ndarray) and found.size < box.size else found


def read_whole(remote: RemoteAsdf, number: int) -> Any:
    """Return all of a block's data as bytes in an array of shape (size,), and compare their checksum."""
    block = remote.block(number)
    data: Any = np.empty(block.size, np.uint8)
    if not block.compression:
        remote.whole(block, memoryview(data))
    elif block.compression == "lz4":
        _whole_lz4(remote, block, remote.frames(number), memoryview(data))
    else:
        data = np.frombuffer(streams.read_up_to(remote, block, block.size), np.uint8)
    return data


def _whole_lz4(remote: RemoteAsdf, block: Block, frames: Frames, target: memoryview) -> None:
    """Decode all frames while the rest of the block is still being read."""
    room: Any = np.empty(block.used, np.uint8)
    raw = memoryview(room)
    waiting = deque(range(len(frames.frames)))
    running: list[Future[None]] = []
    arrived = 0

    def decode(number: int) -> None:
        frame = frames.frames[number]
        start = frame.start - block.start
        origin, data = frames.decode(Piece(number, None, None), raw[start : start + frame.length])
        target[origin : origin + len(data)] = data

    def use(part: memoryview) -> None:
        nonlocal arrived
        arrived += len(part)
        while (
            waiting and frames.frames[waiting[0]].start + frames.frames[waiting[0]].length - block.start <= arrived
        ):
            running.append(_decoders().submit(decode, waiting.popleft()))

    try:
        remote.whole(block, raw, use)
    finally:
        # A wrong checksum is the better explanation: it is raised before what decoding says.
        for each in running:
            each.exception()
    for each in running:
        each.result()


@cache
def _decoders() -> ThreadPoolExecutor:
    """Return the threads that decode; lz4 lets others run meanwhile."""
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="asdf-blocks-decode")
