"""How the portal's pages write amounts, times and durations."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

from hubquota.models.money import format_credits, format_price
from hubquota.services.describe import linked
from markupsafe import Markup

_MINUS = "\N{MINUS SIGN}"


def amount(units: int) -> str:
    """Units as credits, rounded down to a hundredth: never more than there is."""
    return format_credits(units).replace("-", _MINUS)


def cost(units: int) -> str:
    """Units as credits, rounded up to a hundredth: never less than it takes."""
    return format_credits(units, rounding="up").replace("-", _MINUS)


def signed(units: int) -> str:
    """Units as credits with their sign, for a line that adds to a balance or takes from it."""
    return f"+{amount(units)}" if units > 0 else amount(units)


def credits_of(given: Decimal) -> str:
    """Credits as an operator wrote them, such as `50`."""
    return f"{given.normalize():f}"


def timestamp(at: datetime) -> Markup:
    """A moment as a `time` element: UTC, to the minute for the reader, to the second for machines."""
    utc = at.astimezone(UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        utc.strftime("%Y-%m-%dT%H:%M:%SZ"), f"{utc.day} {utc:%b %Y, %H:%M}"
    )


def duration(seconds: int) -> str:
    """A length of time in its two largest units, such as `2 h 5 min`; `seconds` is not negative."""
    for unit, size, smaller, small in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if seconds >= size:
            rest = seconds % size // small
            return f"{seconds // size} {unit} {rest} {smaller}" if rest else f"{seconds // size} {unit}"
    return f"{seconds} s"


def sentence(text: str) -> str:
    """Text with a full stop at its end, where it has none."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


#: What templates can use, by name.
FILTERS: dict[str, Callable[..., str]] = {
    "amount": amount,
    "cost": cost,
    "signed": signed,
    "price": format_price,
    "credits_of": credits_of,
    "timestamp": timestamp,
    "duration": duration,
    "linked": linked,
    "sentence": sentence,
}
