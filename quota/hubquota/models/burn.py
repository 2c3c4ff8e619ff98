"""What is spent first, from whom, and until when it lasts: arithmetic on allocations, without a database.

Times are whole seconds since 1970 in UTC, amounts are units. An allocation can pay for the seconds from its
start up to its end, the end not included. Of those that can pay for a second, the one that ends soonest pays
first; one without an end pays last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, TypeVar


@dataclass(slots=True)
class Pool:
    """One allocation as a source of credits."""

    id: int
    #: Units that are neither spent nor held. Below zero where it is overdrawn.
    free: int
    start: int
    #: The first second that it cannot pay for; None for no end.
    end: int | None
    suspended: bool = False

    def pays_at(self, at: int) -> bool:
        """Whether it can pay for that second."""
        return not self.suspended and self.start <= at and (self.end is None or at < self.end)


class Part(NamedTuple):
    """What one allocation pays of something."""

    pool: int
    amount: int


AnyPool = TypeVar("AnyPool", bound=Pool)


def in_order(pools: Iterable[AnyPool]) -> list[AnyPool]:
    """Return pools in the order in which they are spent: soonest end first, then the one granted first."""
    found = list(pools)
    if len(found) < 2:
        return found
    return sorted(found, key=lambda pool: (pool.end is None, pool.end or 0, pool.id))


def available(pools: Iterable[Pool], at: int) -> int:
    """Return what those that can pay at a moment have together, debts included."""
    return sum(pool.free for pool in pools if pool.pays_at(at))


def drain(pools: Sequence[Pool], amount: int, at: int) -> int:
    """Take an amount from what can pay at a moment, in order. Return what nobody could pay."""
    if not amount:
        return 0
    for pool in in_order(pools):
        if amount and pool.pays_at(at) and pool.free > 0:
            taken = min(pool.free, amount)
            pool.free -= taken
            amount -= taken
    return amount


def draw(pools: Sequence[Pool], rate: int, since: int, until: int) -> tuple[list[Part], int]:
    """Take what a rate costs over some seconds, each second from those that can pay for it, in order.

    Returns:
        What each pool paid, in order of payment, and the units that nobody could pay.
    """
    paid: dict[int, int] = {}
    short = 0
    ordered = in_order(pools)
    for first, after in _stretches(ordered, since, until):
        need = rate * (after - first)
        for pool in ordered:
            if not need:
                break
            if pool.free > 0 and pool.pays_at(first):
                taken = min(pool.free, need)
                pool.free -= taken
                need -= taken
                paid[pool.id] = paid.get(pool.id, 0) + taken
        short += need
    return [Part(pool, amount) for pool, amount in paid.items()], short


def lasts(pools: Sequence[Pool], rate: int, since: int, until: int) -> int:
    """Return how many whole seconds from `since` on can be paid at a rate, at most up to `until`.

    Debts of a pool lessen what the others can pay.
    """
    copies = _copies(in_order(pools))
    for first, after in _stretches(copies, since, until):
        has = available(copies, first)
        if has < rate * (after - first):
            return first - since + max(0, has) // rate
        drain(copies, rate * (after - first), first)
    return until - since


def whole(pools: Sequence[Pool], rate: int, since: int, until: int) -> Sequence[Part] | None:
    """Return what each pool would pay of what a rate costs over some seconds; None where they cannot pay it all.

    Nothing is taken. Debts of a pool lessen what the others can pay.
    """
    if len(pools) == 1:
        # As nearly always. What follows comes to the same.
        (pool,) = pools
        need = rate * (until - since)
        if pool.free < need or not pool.pays_at(since) or (pool.end is not None and pool.end < until):
            return None
        return (Part(pool.id, need),) if need else ()
    if not any(pool.pays_at(since) for pool in pools) or available(pools, since) < 0:
        return None
    if lasts(pools, rate, since, until) < until - since:
        return None
    return draw(_copies(pools), rate, since, until)[0]


def exhausts_at(pools: Sequence[Pool], rate: int, now: int) -> int | None:
    """Return the first second that cannot be paid any more while things run at a rate; None for never.

    What an allocation still has at its end is lost, and one that starts later pays from then on.
    """
    if not rate:
        return None
    # Past the last date nothing changes but the balances, so what is left then only has to be divided.
    dates = [date for pool in pools for date in (pool.start, pool.end) if date is not None]
    last = max([now, *dates])
    copies = _copies(in_order(pools))
    for first, after in _stretches(copies, now, last):
        has = available(copies, first)
        if has < rate * (after - first):
            return first + max(0, has) // rate
        drain(copies, rate * (after - first), first)
    return last + max(0, available(copies, last)) // rate


def _copies(pools: Iterable[Pool]) -> list[Pool]:
    return [Pool(pool.id, pool.free, pool.start, pool.end, pool.suspended) for pool in pools]


def _stretches(pools: Sequence[Pool], since: int, until: int) -> list[tuple[int, int]]:
    """Return a time cut into stretches within which the same pools can pay."""
    dates: set[int] = set()
    for pool in pools:
        if since < pool.start < until:
            dates.add(pool.start)
        if pool.end is not None and since < pool.end < until:
            dates.add(pool.end)
    if not dates:
        return [(since, until)] if until > since else []
    cuts = [since, *sorted(dates), until]
    return [(first, after) for first, after in pairwise(cuts) if after > first]
