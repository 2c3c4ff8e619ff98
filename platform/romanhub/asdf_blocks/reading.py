"""From parts of a block's data to ranges of the file, and from the bytes of those back, for each compression."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from romanhub.asdf_blocks.errors import CorruptError
from romanhub.asdf_blocks.frames import Frames, Piece
from romanhub.asdf_blocks.plan import Costs, join
from romanhub.asdf_blocks.restart import STRIDE
from romanhub.asdf_blocks.source import Span, room
from romanhub.asdf_blocks.streams import STEP, Decoder
from romanhub.asdf_blocks.whole import Lz4Whole, StreamWhole, Whole, read_wholes
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
        data = _read_up_to(remote, block, stop)
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


def read_whole(remote: RemoteAsdf, numbers: Sequence[int]) -> list[Any]:
    """Return all of several blocks' data as bytes in arrays of shape (size,), and compare their checksums."""
    wholes = {number: _whole(remote, number) for number in numbers}
    read_wholes(remote, list(wholes.values()))
    return [wholes[number].data for number in numbers]


def _whole(remote: RemoteAsdf, number: int) -> Whole:
    block = remote.block(number)
    if not block.compression:
        return Whole(block)
    return Lz4Whole(block, remote.frames(number)) if block.compression == "lz4" else StreamWhole(block, block.size)


def _read_up_to(remote: RemoteAsdf, block: Block, stop: int) -> memoryview:
    """Return a stream's data from their beginning up to `stop`, reading no more of the stream than that takes."""
    if stop == block.size or block.used <= STEP:
        whole = StreamWhole(block, stop)
        read_wholes(remote, [whole])
        return memoryview(whole.data)
    target = room(stop)
    decoder = Decoder(block.compression, target)
    place = block.start
    while decoder.done < stop and place < block.start + block.used:
        end = min(place + STEP, block.start + block.used)
        [part] = remote.fetch([(place, end)])
        decoder.feed(part)
        place = end
    decoder.finish()
    return target
