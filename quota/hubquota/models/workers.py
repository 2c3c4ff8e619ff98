"""What a worker of a chosen size costs."""

from __future__ import annotations

from datetime import date

from hubquota.models.money import rate_of
from hubquota.models.tiers import Dask, Tiers


def worker_rate(tiers: Tiers, dask: Dask, cores: int, memory_gib: int, on: date) -> int:
    """Return what a worker costs while it runs, in units a second.

    Where the tier's own worker costs what the rate card says, a worker of another size does too. Where it has
    a price of its own, another size costs the larger of its two shares of it, by cores and by memory, rounded
    up to a whole unit.

    Args:
        tiers: what the tiers file says.
        dask: what the tier may do, which says what its own worker has and costs.
        cores: the worker's cores, one or more.
        memory_gib: its memory, in GiB, one or more.
        on: the day, by which the rates count.

    Raises:
        ValueError: a number is below one.
    """
    if cores < 1 or memory_gib < 1:
        raise ValueError("A worker has a core and a GiB of memory at least.")
    card = max(
        (rates for rates in tiers.rates if rates.valid_from <= on),
        key=lambda rates: rates.valid_from,
        default=None,
    )
    if card is not None and card.price_of(dask.worker_cores, dask.worker_memory_gib) == dask.price:
        return rate_of(card.price_of(cores, memory_gib))
    whole = dask.rate
    return max(-(-whole * cores // dask.worker_cores), -(-whole * memory_gib // dask.worker_memory_gib))
