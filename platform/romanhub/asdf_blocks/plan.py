"""Which requests fetch many small ranges: neighbours are joined where the gap costs less than a request.

A request costs time before its first byte comes, which does not depend on its size; a byte in a gap costs the
time of its transfer. In S3 within a region a request takes about 30 ms until its first byte and a connection
then gives 50 to 100 MB/s (Amazon's performance guidelines for S3); with 16 requests under way the 30 ms come to
2 ms a request, in which such a connection moves 100 to 200 kB. A local server measured 0.5 ms and 1 GB/s, which
is 500 kB. `GAP` lies between the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from romanhub.asdf_blocks.source import ByteSource, Span

#: A gap of so many bytes costs as much as another request.
GAP = 256 * 1024


@dataclass(frozen=True)
class Costs:
    """What decides which ranges are joined.

    :param gap: how many bytes cost as much as one request.
    """

    gap: int = GAP


def join(spans: Sequence[Span], costs: Costs) -> list[Span]:
    """Return the requests that cover the spans, in order of their position and without an overlap.

    :param spans: ranges of bytes in any order; they may touch and overlap.
    """
    if not spans:
        return []
    sorted_spans: Any = np.array(sorted(spans), np.int64)
    starts, reached = sorted_spans[:, 0], np.maximum.accumulate(sorted_spans[:, 1])
    gaps = np.maximum(starts[1:] - reached[:-1], 0)
    joined = gaps <= costs.gap
    breaks = np.flatnonzero(~joined)
    firsts = starts[np.concatenate([[0], breaks + 1])]
    lasts = reached[np.concatenate([breaks, [len(starts) - 1]])]
    return [(int(first), int(last)) for first, last in zip(firsts, lasts, strict=True)]


def fetch(
    source: ByteSource, key: str, spans: Sequence[Span], costs: Costs, *, version: str | None = None
) -> list[memoryview]:
    """Return the bytes of each span, in the order given, by the requests that `join` finds.

    Raises what the source raises.
    """
    requests = join(spans, costs)
    parts = source.read_ranges(key, requests, version=version)
    starts = [start for start, _ in requests]
    places = np.searchsorted(starts, [start for start, _ in spans], side="right") - 1
    return [
        parts[place][start - starts[place] : stop - starts[place]]
        for (start, stop), place in zip(spans, places, strict=True)
    ]
