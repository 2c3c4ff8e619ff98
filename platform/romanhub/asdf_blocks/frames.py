"""Frames of lz4 blocks: where each lies, and how parts of a block are decoded from whole frames or parts of them.

asdf writes an lz4 block as frames of 4 MiB of data: four bytes with the frame's length (big-endian), four with
the length of its data (little-endian, as python-lz4 stores it), then one LZ4 block. A frame's place follows only
from the lengths of all before it.

Within a frame, decoding can begin and end at a restart point (`restart.py`) where an index of the file has them.
"""

from __future__ import annotations

import bisect
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import lz4.block

from romanhub.asdf_blocks.errors import CorruptError
from romanhub.asdf_blocks.layout import Block
from romanhub.asdf_blocks.restart import Point, between
from romanhub.asdf_blocks.source import ByteSource, Span

#: The two lengths before a frame's payload.
LENGTHS = 8


@dataclass(frozen=True)
class Frame:
    """One frame: its payload is `length` bytes from `start` in the file, its data `size` bytes of the block's.

    `points` are places between its beginning and its end where decoding can begin or end, in order.
    """

    start: int
    length: int
    size: int
    points: tuple[Point, ...] = ()


@dataclass(frozen=True)
class Piece:
    """What must be read to have some bytes of a frame's data: `first` up to `last` (None: the frame's ends)."""

    frame: int
    first: Point | None
    last: Point | None


@dataclass(frozen=True)
class Frames:
    """All frames of a block, in order."""

    frames: tuple[Frame, ...]

    @cached_property
    def starts(self) -> list[int]:
        """Where each frame's data begin in the block's data, and where the last one's end."""
        starts = [0]
        for frame in self.frames:
            starts.append(starts[-1] + frame.size)
        return starts

    def pieces(self, start: int, stop: int) -> list[Piece]:
        """Return what must be read for the block's data from `start` up to `stop`."""
        found = []
        place = bisect.bisect_right(self.starts, start) - 1
        while place < len(self.frames) and self.starts[place] < stop:
            frame, origin = self.frames[place], self.starts[place]
            first, last = around(frame, max(start - origin, 0), min(stop - origin, frame.size))
            found.append(Piece(place, first, last))
            place += 1
        return found

    def span(self, piece: Piece) -> Span:
        """Return the range of the file that holds a piece."""
        frame = self.frames[piece.frame]
        begin = piece.first.place if piece.first else 0
        end = piece.last.place if piece.last else frame.length
        return frame.start + begin, frame.start + end

    def decode(self, piece: Piece, raw: memoryview) -> tuple[int, Any]:
        """Decode the bytes of a piece's span.

        :return: where the decoded bytes begin in the block's data, and the bytes. With a restart point in front,
            the first of them are not the file's; from the position that `pieces` was asked for on, they are.
        :raises CorruptError: where they do not decode to as many bytes as they should.
        """
        frame, origin = self.frames[piece.frame], self.starts[piece.frame]
        begin = piece.first.data if piece.first else 0
        size = (piece.last.data if piece.last else frame.size) - begin
        try:
            data = between(raw, piece.first, piece.last, size)
        except (lz4.block.LZ4BlockError, ValueError, IndexError):
            data = b""
        if len(data) != size:
            raise CorruptError(f"A compressed part of the file is damaged: frame {piece.frame + 1} of its block.")
        return origin + begin, data


def around(frame: Frame, start: int, stop: int) -> tuple[Point | None, Point | None]:
    """Return the points that a part of a frame's data is decoded from and to; None for the frame's own ends."""
    data = [point.data for point in frame.points]
    first = bisect.bisect_right(data, start) - 1
    last = bisect.bisect_left(data, stop)
    end = frame.points[last] if last < len(data) else None
    if first < 0:
        return None, end
    # Each stretch says how far back its bytes come from; a stretch begins at each point.
    back = min(point.back for point in frame.points[first:last])
    first = bisect.bisect_right(data, back) - 1
    return (frame.points[first] if first >= 0 else None), end


def walk(source: ByteSource, key: str, block: Block, *, version: str | None = None) -> Frames:
    """Find the frames of an lz4 block by reading the lengths before each: one small request for each frame.

    :raises CorruptError: where the lengths do not add up to the block's.
    """
    frames: list[Frame] = []
    place, stop = block.start, block.start + block.used
    while place + LENGTHS <= stop:
        [raw] = source.read_ranges(key, [(place, place + LENGTHS)], version=version)
        frame = frame_at(bytes(raw), place)
        frames.append(frame)
        place = frame.start + frame.length
    return checked(frames, block)


def frame_at(raw: bytes, place: int) -> Frame:
    """Return the frame whose two lengths are `raw` and lie at `place` in the file."""
    [length], [size] = struct.unpack(">I", raw[:4]), struct.unpack("<I", raw[4:8])
    return Frame(place + LENGTHS, length - 4, size)


def checked(frames: Sequence[Frame], block: Block) -> Frames:
    """Return the frames of a block. Raises CorruptError where they do not fill it."""
    end = frames[-1].start + frames[-1].length if frames else block.start
    whole = sum(frame.size for frame in frames) == block.size and end == block.start + block.used
    if not whole or any(frame.length < 1 for frame in frames):
        raise CorruptError("A compressed block of the file is damaged: its frames do not add up to its size.")
    return Frames(tuple(frames))
