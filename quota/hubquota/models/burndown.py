"""How a balance went and how it will go on, as points of a picture. Times are seconds, amounts units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from hubquota.models.burn import Pool, drain, in_order
from hubquota.models.ledger import Allocation


@dataclass(frozen=True, slots=True)
class Step:
    """What each allocation has left at a moment; between two steps it changes evenly."""

    at: int
    #: Units that are left, by the allocation's number; only what can pay then.
    left: dict[int, int]

    @property
    def total(self) -> int:
        """What is left of all of them, in units."""
        return sum(self.left.values())


@dataclass(frozen=True, slots=True)
class Point:
    """The posted balance of an account at a moment that is past."""

    at: datetime
    balance: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is left of each allocation at a moment to come."""

    at: datetime
    left: dict[int, int]

    @property
    def total(self) -> int:
        """What is left of all of them, in units."""
        return sum(self.left.values())


@dataclass(frozen=True, slots=True)
class BurnDown:
    """An account's balance from some days ago to its end, as what runs now goes on."""

    account: str
    now: datetime
    #: Units a second that everything that runs now costs together.
    rate: int
    #: The first second that cannot be paid if what runs goes on; None where nothing runs.
    exhausts_at: datetime | None
    #: Allocations whose books are open, in the order in which they are spent.
    allocations: tuple[Allocation, ...]
    past: tuple[Point, ...]
    future: tuple[Forecast, ...]


def project(pools: Sequence[Pool], rate: int, now: int, until: int) -> list[Step]:
    """Return what is left of each pool from now up to a time, while things run at a rate.

    The steps are where the line bends: where a pool starts, ends or is spent. At an end there are two, just
    before and after, because what is left then lapses.

    Args:
        pools: what there is now; they are not changed.
        rate: units a second.
        now: the first second.
        until: the last.
    """
    copies = [Pool(pool.id, pool.free, pool.start, pool.end, pool.suspended) for pool in in_order(pools)]
    dates = {date for pool in copies for date in (pool.start, pool.end) if date is not None}
    cuts = [now, *sorted(date for date in dates if now < date < until), until]
    steps: list[Step] = []
    for first, after in pairwise(cuts):
        steps.append(_step(copies, first, first))
        at = first
        while rate and at < after:
            paying = [pool for pool in copies if pool.pays_at(first) and pool.free > 0]
            if not paying:
                break
            lasts = -(-paying[0].free // rate)
            run = min(lasts, after - at)
            drain(copies, rate * run, first)
            at += run
            if at < after:
                steps.append(_step(copies, at, first))
        steps.append(_step(copies, after, first))
    return steps


def _step(pools: Sequence[Pool], at: int, paying_at: int) -> Step:
    return Step(at, {pool.id: max(0, pool.free) for pool in pools if pool.pays_at(paying_at)})
