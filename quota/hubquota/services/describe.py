"""How tiers and sizes are put into words: for the spawn form, the portal and the documentation alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal

from markupsafe import Markup, escape

from hubquota.models.money import format_credits, format_price
from hubquota.models.tiers import Dask, Size, Tier, Tiers, WhenDown
from hubquota.models.words import duration_text, number_text
from hubquota.services.ledger import MINIMUM_SECONDS

_ADDRESS = re.compile(r"https?://[^\s<>\"']+[^\s<>\"'.,;:!?)]")


@dataclass(frozen=True, slots=True)
class SizeRow:
    """One size as a tier's members see it."""

    name: str
    title: str
    cores: int
    memory_gib: int
    #: Credits an hour.
    price: Decimal
    #: "0.15 credits an hour".
    price_text: str
    #: How many hours the balance buys; None where the size costs nothing.
    hours: Decimal | None
    #: "about 540 hours left".
    hours_text: str
    #: Whether a start would pass now.
    affordable: bool
    #: Why it would not; empty where it would.
    reason: str
    #: Whether the tier's default size is this one.
    is_default: bool

    @property
    def machine_text(self) -> str:
        """What the machine has: "4 cores, 16 GB"."""
        return f"{number_text(self.cores, 'core')}, {self.memory_gib} GB"

    @property
    def text(self) -> str:
        """The whole row: "Medium, 4 cores, 16 GB: 0.15 credits an hour, about 540 hours left"."""
        ending = f", {self.hours_text}" if self.hours_text else ""
        return f"{self.title}, {self.machine_text}: {self.price_text}{ending}"


def sizes_for(tiers: Tiers, tier: str, available: int, *, minimum_seconds: int = MINIMUM_SECONDS) -> list[SizeRow]:
    """Return the sizes that a tier offers, with what a balance buys of each, in the order of the form.

    Args:
        tiers: what the tiers file says.
        tier: the tier's name.
        available: what the account has available, in units.
        minimum_seconds: how many seconds of running a start needs to be affordable.

    Raises:
        KeyError: there is no such tier.
    """
    return size_rows(
        tiers.sizes_of(tier), tiers.tiers[tier].default_size, available, minimum_seconds=minimum_seconds
    )


def size_rows(
    sizes: Mapping[str, Size], default: str, available: int, *, minimum_seconds: int = MINIMUM_SECONDS
) -> list[SizeRow]:
    """Return sizes with what a balance buys of each; as for `sizes_for`, of any sizes."""
    return [
        _size_row(name, size, available, minimum_seconds, is_default=name == default)
        for name, size in sizes.items()
    ]


def price_text(price: Decimal) -> str:
    """Return a price as people read it: "0.15 credits an hour", or "free of charge"."""
    return f"{format_price(price)} credits an hour" if price else "free of charge"


def hours_text(seconds: int) -> str:
    """Return a time that is left as people read it: "about 1,540 hours left", "about 25 minutes left"."""
    if seconds < 60:
        return "nothing left"
    if seconds < 3600:
        return f"about {number_text(seconds // 60, 'minute')} left"
    hours = Decimal(seconds) / 3600
    step = Decimal("0.1") if hours < 10 else Decimal(1)
    shown = hours.quantize(step, rounding=ROUND_DOWN)
    amount = int(shown) if shown == int(shown) else shown
    return f"about {amount:,} hour{'' if amount == 1 else 's'} left"


def tier_table(tiers: Tiers) -> str:
    """Return the sizes and the tiers as two Markdown tables."""
    return f"{_size_table(tiers)}\n{_tiers_table(tiers)}"


def linked(text: str) -> Markup:
    """Return plain text as HTML, escaped, with each web address in it a link."""
    parts: list[Markup] = []
    end = 0
    for found in _ADDRESS.finditer(text):
        parts.append(escape(text[end : found.start()]))
        parts.append(Markup('<a href="{0}">{0}</a>').format(found.group()))
        end = found.end()
    parts.append(escape(text[end:]))
    return Markup("").join(parts)


def _size_row(name: str, size: Size, available: int, minimum_seconds: int, *, is_default: bool) -> SizeRow:
    needed = size.rate * minimum_seconds
    affordable = not size.rate or needed <= available
    seconds = max(0, available) // size.rate if size.rate else None
    reason = (
        ""
        if affordable
        else (
            f"A start needs {format_credits(needed, rounding='up')} credits, and "
            f"{format_credits(available)} are available."
        )
    )
    return SizeRow(
        name=name,
        title=size.title,
        cores=size.cores,
        memory_gib=size.memory_gib,
        price=size.price,
        price_text=price_text(size.price),
        hours=None if seconds is None else Decimal(seconds) / 3600,
        hours_text="" if seconds is None else hours_text(seconds),
        affordable=affordable,
        reason=reason,
        is_default=is_default,
    )


def _size_table(tiers: Tiers) -> str:
    rows = [
        (
            size.title,
            str(size.cores),
            f"{size.memory_gib} GB",
            price_text(size.price),
            ", ".join(tier.title for tier in tiers.tiers.values() if name in tier.sizes) or "no tier",
        )
        for name, size in tiers.sizes.items()
    ]
    return _markdown(("Size", "Cores", "Memory", "Price", "Offered to"), rows)


def _tiers_table(tiers: Tiers) -> str:
    columns: list[tuple[str, Callable[[Tier], str]]] = [
        ("Tier", lambda tier: tier.title),
        ("For", lambda tier: tier.description),
        ("Budget", lambda tier: f"{tier.budget.normalize():f} credits for {number_text(tier.term_days, 'day')}"),
        ("Sizes", lambda tier: ", ".join(tiers.sizes[name].title for name in tier.sizes)),
        ("Dask", _dask_text),
        ("Home", lambda tier: f"{tier.storage.home_gib} GB"),
        ("Scratch", lambda tier: f"{tier.storage.scratch_gib} GB" if tier.storage.scratch_gib else "none"),
        ("A server is stopped after", _stop_text),
    ]
    # What no tier sets has no column of its own.
    every = tiers.tiers.values()
    if any(tier.servers is not None for tier in every):
        columns.append(("Servers at once", _servers_text))
    if any(tier.renews_itself is not None for tier in every):
        columns.append(("Renews itself", _renewal_text))
    if tiers.when_down is not None or any(tier.when_down is not None for tier in every):
        down = "Without the ledger's answer"
        columns.append((down, lambda tier: _down_text(tier.when_down or tiers.when_down)))
    heads = tuple(head for head, _ in columns)
    return _markdown(heads, [tuple(text(tier) for _, text in columns) for tier in every]) + _clean_up_text(tiers)


def _stop_text(tier: Tier) -> str:
    return (
        f"{duration_text(tier.idle_stop_minutes * 60)} without activity, or "
        f"{duration_text(tier.longest_session_hours * 3600)} in all"
    )


def _servers_text(tier: Tier) -> str:
    return "any number" if tier.servers is None else str(tier.servers)


def _renewal_text(tier: Tier) -> str:
    if tier.renews_itself is None:
        return "no"
    return f"for whoever was charged in the last {number_text(tier.renews_itself.active_within_days, 'day')}"


def _down_text(allowed: WhenDown | None) -> str:
    if allowed is None or not allowed.starts:
        return "nothing starts"
    return f"{number_text(allowed.starts, 'start')} of {number_text(allowed.minutes, 'minute')}"


def _clean_up_text(tiers: Tiers) -> str:
    if tiers.clean_up is None:
        return ""
    size, clean = tiers.sizes[tiers.clean_up.size], tiers.clean_up
    idle, longest = duration_text(clean.idle_stop_minutes * 60), duration_text(clean.longest_session_hours * 3600)
    return (
        "\nOnce the last term is over, and until the files are archived, there is a clean-up server free of "
        f"charge: {size.title}, stopped after {idle} without activity, or {longest} in all.\n"
    )


def _dask_text(tier: Tier) -> str:
    dask = tier.dask
    if not dask.clusters or not dask.workers:
        return "none"
    return (
        f"{number_text(dask.clusters, 'cluster')}, {number_text(dask.workers, 'worker')} of "
        f"{number_text(dask.worker_cores, 'core')} and {dask.worker_memory_gib} GB, "
        f"each {price_text(dask.price)}{dask_together(dask)}"
    )


def dask_together(dask: Dask) -> str:
    """Return what all workers of a tier may have together, where it says so: "; 64 cores in all"."""
    said = [] if dask.cores is None else [number_text(dask.cores, "core")]
    said += [] if dask.memory_gib is None else [f"{dask.memory_gib} GB"]
    return f"; {' and '.join(said)} in all" if said else ""


def _markdown(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "".join(f"| {' | '.join(_cell(cell) for cell in line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
