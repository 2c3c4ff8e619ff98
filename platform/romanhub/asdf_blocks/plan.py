"""Which requests fetch many small ranges: neighbours are joined where the gap costs less than a request.

A request costs time before its first byte comes, which does not depend on its size; a byte in a gap costs the
time of its transfer. In S3 within a region a request takes about 30 ms until its first byte and a connection
then gives 50 to 100 MB/s (Amazon's performance guidelines for S3); with 16 requests under way the 30 ms come to
2 ms a request, in which such a connection moves 100 to 200 kB. A local server measured 0.5 ms and 1 GB/s, which
is 500 kB. `GAP` lies between the two.

What is joined moves bytes that nobody asked for, so a read may also have a ceiling. Under it the smallest gaps are
joined first, until it is reached: the fewest requests that move no more than that.
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
    :param ceiling: how many bytes one read may move in all, unless more than that was asked for; None for any.
    """

    gap: int = GAP
    ceiling: int | None = None


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
    if costs.ceiling is not None:
        # What was asked for is moved in any case; the rest of the ceiling pays for gaps, the smallest first.
        asked = int((reached[-1] - starts[0]) - gaps.sum())
        order = np.argsort(gaps, kind="stable")
        paid = np.cumsum(gaps[order]) <= max(costs.ceiling - asked, 0)
        affordable = np.zeros(len(gaps), bool)
        affordable[order[paid]] = True
        joined &= affordable | (gaps == 0)
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
