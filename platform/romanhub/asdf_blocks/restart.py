"""Places within an LZ4 block at which decoding can begin and end, so that a part of a 4 MiB frame is enough.

An LZ4 block is a row of sequences: a token, literal bytes, and a match, a copy of up to 64 kB before. A decoder
can begin at any sequence, or within a run of literals with a token made for it, as long as it has the 64 kB
before for the matches to copy from. Those are not at hand without reading what comes before. But each byte is,
through one copy or a chain of them, some literal, and in noisy images the chains are short: a decoder that
begins some hundred kilobytes earlier, with nothing but zeros before that, has every byte right from there on.
How far back is known exactly, since an index is made from the whole frame: for each stretch between two points,
`back` is the first place that any of its bytes comes from.

The format is that of the LZ4 Block Format Description by Yann Collet.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import lz4.block
import numpy as np

#: How many bytes of data lie between two points, about. A smaller number reads less and makes a larger index.
STRIDE = 128 * 1024

#: Matches reach so far back at most: what a decoder has to have before it begins.
WINDOW = bytes(65536)

#: A decoder takes the last bytes of its input for literals, and refuses what ends otherwise: so many more are
#: added.
TAIL = bytes(16)


@dataclass(frozen=True)
class Point:
    """A place where decoding can begin and end.

    :param data: its place in the frame's data.
    :param place: its place in the frame's payload.
    :param back: from where on the bytes of the stretch that begins here come, in the frame's data.
    :param token: where in the payload the token of the run of literals lies that the point is within; None at the
        beginning of a sequence.
    :param left: how many literals of that run are still to come.
    :param match: the lower half of that token, which is about the match that follows.
    """

    data: int
    place: int
    back: int
    token: int | None = None
    left: int = 0
    match: int = 0


def between(raw: memoryview, first: Point | None, last: Point | None, size: int) -> Any:
    """Decode the bytes of a payload from `first` up to `last`; None stands for the payload's beginning and end.

    :param raw: the payload's bytes from one place to the other.
    :param size: how many bytes they decode to.
    :raises lz4.block.LZ4BlockError, ValueError, IndexError: where they cannot be decoded.
    """
    if first is None and last is None:
        return lz4.block.decompress(raw, uncompressed_size=size)
    base = first.place if first else 0
    if first and last and last.token is not None and first.token == last.token:
        return raw  # both within one run of literals, which are the data
    begin = _token(first.left, first.match) if first and first.token is not None else b""
    if last is None:
        body, end = raw, b""
    elif last.token is None:
        body, end = raw, _token(len(TAIL), 0) + TAIL
    else:
        # The run that is cut off gets a token that says so many literals and no match.
        at = last.token - base
        literals = raw[_literals(raw, at) :]
        body, end = raw[:at], _token(len(literals) + len(TAIL), 0) + bytes(literals) + TAIL
    whole = size + (len(TAIL) if last else 0)
    data = lz4.block.decompress(b"".join((begin, body, end)), uncompressed_size=whole, dict=WINDOW)
    return memoryview(data)[:size] if len(data) == whole else data


def points(payload: bytes, size: int, stride: int = STRIDE) -> tuple[Point, ...]:
    """Return points of a frame's payload, about `stride` bytes of its data apart.

    :param payload: one whole LZ4 block that decodes to `size` bytes.
    """
    sequences = np.array(list(_sequences(payload)), np.int64).reshape(-1, 5)
    origin = _origins(sequences, size)
    found: list[tuple[int, int, int | None, int, int]] = []
    starts = sequences[:, 0]
    for wanted in range(stride, size - stride // 2, stride):
        data, token, literals, run, match = (
            int(value) for value in sequences[int(np.searchsorted(starts, wanted, side="right")) - 1]
        )
        if data <= wanted < data + run and wanted - data > 0:
            done = wanted - data
            found.append((wanted, literals + done, token, run - done, match & 15))
        else:
            found.append((data, token, None, 0, 0))
    distinct = sorted({each[0]: each for each in found if each[0] > 0}.values())
    ends = [each[0] for each in distinct[1:]] + [size]
    return tuple(
        Point(data, place, int(origin[data:end].min()), token, left, match)
        for (data, place, token, left, match), end in zip(distinct, ends, strict=True)
    )


def _sequences(payload: bytes) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield of each sequence: its place in the data, its token's and its literals' in the payload, how many
    literals.

    And last, the lower half of its token with the distance of its match (0 for the last, which has none) above it.
    """
    place = data = 0
    end = len(payload)
    while place < end:
        token = place
        head = payload[place]
        place += 1
        run = head >> 4
        if run == 15:
            while True:
                more = payload[place]
                place += 1
                run += more
                if more != 255:
                    break
        literals = place
        place += run
        if place >= end:
            yield data, token, literals, run, head & 15
            return
        distance = payload[place] | payload[place + 1] << 8
        place += 2
        match = head & 15
        length = match + 4
        if match == 15:
            while True:
                more = payload[place]
                place += 1
                length += more
                if more != 255:
                    break
        yield data, token, literals, run, match | distance << 4
        data += run + length


def _origins(sequences: Any, size: int) -> Any:
    """Return for each byte of the data the place of the literal that it comes from, shape (size,)."""
    origin = np.arange(size, dtype=np.int32)
    starts = sequences[:, 0]
    matches = starts + sequences[:, 3]
    ends = np.append(starts[1:], size)
    back = np.zeros(size + 1, np.int32)
    distance = (sequences[:, 4] >> 4).astype(np.int32)
    # A step up where a match begins and down where it ends leaves the distance over each match and 0 over
    # literals.
    np.add.at(back, matches, distance)
    np.subtract.at(back, ends, distance)
    origin -= np.cumsum(back[:-1], dtype=np.int32)
    while True:
        further = origin[origin]
        if np.array_equal(further, origin):
            return origin
        origin = further


def _token(literals: int, match: int) -> bytes:
    """Return a token, with the lengths that follow it, for a run of literals."""
    if literals < 15:
        return bytes([literals << 4 | match])
    full, rest = divmod(literals - 15, 255)
    return bytes([15 << 4 | match]) + b"\xff" * full + bytes([rest])


def _literals(raw: memoryview, token: int) -> int:
    """Return where the literals of the sequence begin whose token is at `token`."""
    place = token + 1
    if raw[token] >> 4 == 15:
        while raw[place] == 255:
            place += 1
        place += 1
    return place
