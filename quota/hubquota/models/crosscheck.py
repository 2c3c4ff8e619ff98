"""The mistakes between keys of a tiers file, which no key shows by itself."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hubquota.models.plain import mapping, sequence


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake in a tiers file: where, as keys and positions from the top, and what is wrong."""

    path: tuple[str | int, ...]
    text: str


def cross_check(raw: object) -> Iterator[Mistake]:
    """Yield the mistakes between keys: names that nothing defines, and defaults that are not offered.

    Args:
        raw: the file's content as plain mappings and lists. Parts of a wrong type are passed over,
            because the models' own checks name those; so this can run on content that they turned down.
    """
    top = mapping(raw)
    sizes = mapping(top.get("sizes"))
    tiers = mapping(top.get("tiers"))
    yield from _check_rates(top.get("rates"))
    for name, tier in tiers.items():
        yield from _check_tier(("tiers", name), mapping(tier), sizes)
    first = mapping(top.get("first_tier"))
    rules: list[tuple[tuple[str | int, ...], object]] = [(("first_tier", "default"), first.get("default"))]
    claims = first.get("claims")
    for position, rule in enumerate(sequence(claims)):
        rules.append((("first_tier", "claims", position, "tier"), mapping(rule).get("tier")))
    rules += [(("first_tier", "groups", g), tier) for g, tier in mapping(first.get("groups")).items()]
    rules += [
        (("projects", "groups", position, "tier"), mapping(rule).get("tier"))
        for position, rule in enumerate(sequence(mapping(top.get("projects")).get("groups")))
    ]
    size = mapping(top.get("clean_up")).get("size")
    if isinstance(size, str) and size not in sizes:
        yield Mistake(("clean_up", "size"), f"there is no size '{size}'; allowed: {_listed(sizes)}")
    for path, tier in rules:
        if isinstance(tier, str) and tier not in tiers:
            yield Mistake(path, f"there is no tier '{tier}'; allowed: {_listed(tiers)}")


def _check_rates(given: object) -> Iterator[Mistake]:
    days: list[object] = []
    for position, rates in enumerate(sequence(given)):
        day = mapping(rates).get("valid_from")
        if day is not None and day in days:
            yield Mistake(("rates", position, "valid_from"), f"{day} is there twice; keep one")
        days.append(day)


def _check_tier(
    path: tuple[str | int, ...], tier: Mapping[Any, Any], sizes: Mapping[Any, Any]
) -> Iterator[Mistake]:
    if tier.get("renews_itself") is not None and tier.get("renewable") is False:
        yield Mistake((*path, "renews_itself"), "a tier that is not renewable cannot renew itself; keep one")
    dask = mapping(tier.get("dask"))
    for all_, one in (("cores", "worker_cores"), ("memory_gib", "worker_memory_gib")):
        most, least = dask.get(all_), dask.get(one)
        if type(most) is int and type(least) is int and most < least:
            yield Mistake((*path, "dask", all_), f"{most} is less than {one}, so no worker could start")
    offered = tier.get("sizes")
    names = [name for name in offered if isinstance(name, str)] if isinstance(offered, list | tuple) else []
    for position, name in enumerate(names):
        if name not in sizes:
            yield Mistake((*path, "sizes", position), f"there is no size '{name}'; allowed: {_listed(sizes)}")
        elif name in names[:position]:
            yield Mistake((*path, "sizes", position), f"the size '{name}' is listed twice; name it once")
    default = tier.get("default_size")
    allowed = [name for name in dict.fromkeys(names) if name in sizes]
    if isinstance(default, str) and names and default not in names:
        yield Mistake(
            (*path, "default_size"),
            f"the size '{default}' is not among the tier's sizes; allowed: {_listed(allowed)}",
        )


def _listed(names: Collection[Any]) -> str:
    return ", ".join(str(name) for name in names) or "none is defined"
