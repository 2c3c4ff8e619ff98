"""How the portal's pages write amounts, times and durations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hubquota.models.money import UNITS_PER_CREDIT, format_credits, format_price, price_of
from hubquota.models.reading import act_text
from hubquota.models.words import bytes_text, number_text
from hubquota.services.describe import dask_together, linked
from markupsafe import Markup

from romanhub.portal.chart import thinned
from romanhub.portal.limits import limits_text
from romanhub.portal.models import credits_text

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


def adding_up(amounts: Sequence[int], start: int = 0) -> list[str]:
    """Amounts as credits in hundredths that add up as they are shown, from `start` on, in units.

    Each is what the sum, rounded down, moves by. One that does not move it says that it is less than 0.01.
    """
    texts: list[str] = []
    total = start
    for units in amounts:
        moved = _hundredths(total + units) - _hundredths(total)
        total += units
        if not moved and units:
            texts.append("less than 0.01" if units > 0 else f"less than {_MINUS}0.01")
        else:
            texts.append(f"{_MINUS if moved < 0 else ''}{abs(moved) // 100}.{abs(moved) % 100:02}")
    return texts


def fine(units: int) -> str:
    """Units as credits with their sign and up to ten decimals: exact, where lines do not stand in a sum."""
    text = credits_text(abs(units))
    whole, _, decimals = text.partition(".")
    sign = _MINUS if units < 0 else "+" if units > 0 else ""
    return f"{sign}{whole}.{decimals.ljust(2, '0')}" if units else ""


def with_sign(text: str) -> str:
    """The text of an amount with a plus before it where it is above zero."""
    return text if text.startswith((_MINUS, "less", "0.00")) else f"+{text}"


def _hundredths(units: int) -> int:
    return units * 100 // UNITS_PER_CREDIT


def day(at: datetime) -> Markup:
    """A moment as a `time` element, to the day for the reader."""
    utc = at.astimezone(UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        utc.strftime("%Y-%m-%dT%H:%M:%SZ"), f"{utc.day} {utc:%b %Y}"
    )


def last_day(until: datetime) -> Markup:
    """The day of the last second before a moment, as a `time` element."""
    return day(until - timedelta(seconds=1))


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
FILTERS: dict[str, Callable[..., object]] = {
    "amount": amount,
    "cost": cost,
    "signed": signed,
    "price": format_price,
    "adding_up": adding_up,
    "with_sign": with_sign,
    "exact": credits_text,
    "fine": fine,
    "act_text": act_text,
    "day": day,
    "hourly": lambda rate: format_price(price_of(rate)),
    "thinned": thinned,
    "credits_of": credits_of,
    "timestamp": timestamp,
    "duration": duration,
    "linked": linked,
    "sentence": sentence,
    "bytes": bytes_text,
    "counted": number_text,
    "limits": limits_text,
    "last_day": last_day,
    "dask_together": dask_together,
}
