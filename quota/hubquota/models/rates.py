"""The rate card: what things cost from a day on, and the prices that follow from it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal

from pydantic import Field

from hubquota.models.fields import Price, Strict
from hubquota.models.money import rate_of
from hubquota.models.plain import mapping


class Rates(Strict):
    """What things cost from a day on. The prices of sizes and workers follow from it."""

    valid_from: date = Field(description="The first day of these prices, such as 2026-07-01.")
    core_hour: Price = Field(description="What a core costs, in credits an hour.")
    gib_hour: Price = Field(description="What a GiB of memory costs, in credits an hour.")
    storage_gib_hour: Price = Field(
        default=Decimal(0), description="What a GiB that is kept costs, in credits an hour."
    )

    def price_of(self, cores: int, memory_gib: int) -> Decimal:
        """Return what a machine costs, in credits an hour."""
        return self.core_hour * cores + self.gib_hour * memory_gib

    def storage_rate(self, gib: int) -> int:
        """Return what so many GiB that are kept cost, in units a second."""
        return rate_of(self.storage_gib_hour * gib)


def with_prices(raw: object, on: date) -> object:
    """Return a tiers file's content in which every size and worker has the price of a day.

    What has a price of its own keeps it. The rates that count are the latest that are valid on that day;
    where there are none, or where they are not in order, prices are left out, and the check says so.

    Args:
        raw: the file's content as plain mappings and lists.
        on: the day.
    """
    top = mapping(raw)
    rates = _rates_on(top.get("rates"), on)
    if rates is None:
        return raw
    sizes = {name: _priced(size, rates, "cores", "memory_gib") for name, size in mapping(top.get("sizes")).items()}
    tiers = {
        name: {**tier, "dask": _priced(tier["dask"], rates, "worker_cores", "worker_memory_gib")}
        if isinstance(tier, Mapping) and "dask" in tier
        else tier
        for name, tier in mapping(top.get("tiers")).items()
    }
    priced = dict(top)
    if sizes:
        priced["sizes"] = sizes
    if tiers:
        priced["tiers"] = tiers
    return priced


def _rates_on(given: object, on: date) -> Rates | None:
    found: list[Rates] = []
    for one in given if isinstance(given, list | tuple) else []:
        try:
            found.append(Rates.model_validate(one))
        except ValueError:
            return None
    valid = [rates for rates in found if rates.valid_from <= on]
    return max(valid, key=lambda rates: rates.valid_from, default=None)


def _priced(thing: object, rates: Rates, cores: str, memory_gib: str) -> object:
    if not isinstance(thing, Mapping) or "price" in thing:
        return thing
    number, gib = thing.get(cores), thing.get(memory_gib)
    # A boolean is a number to Python; the check says that it is not one.
    if type(number) is not int or type(gib) is not int:
        return thing
    return {**thing, "price": rates.price_of(number, gib)}
