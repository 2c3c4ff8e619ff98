"""Credits as whole numbers.

The ledger counts in units. One credit is 3,600,000,000 units, because then a price that is a multiple of
0.000001 credits an hour is a whole number of units a second: a charge is a product of two integers, and
nothing is ever rounded. Decimal credits appear only where an operator writes them and where people read
them.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, InvalidOperation
from functools import lru_cache
from typing import Literal

#: How many units make one credit.
UNITS_PER_CREDIT = 3_600_000_000

#: An amount has no digit further than this from its point: the ledger's units are far nearer.
MOST_DIGITS = 25
#: The most credits that one act gives or takes, and that a tiers file may say.
MOST_CREDITS = 10_000_000
#: As many in units. A balance, which is a whole number of 64 bits, takes some two hundred and fifty such acts.
LARGEST = MOST_CREDITS * UNITS_PER_CREDIT
#: The most that an account can have, in units.
FULL = 2**63 - 1
#: The finest price: every price is a whole multiple of this many credits an hour.
PRICE_STEP = Decimal("0.000001")

_SECONDS_PER_HOUR = 3600
_CENT = Decimal("0.01")


class InexactAmountError(ValueError):
    """An amount or a price that is not a whole number of the ledger's units."""


def to_units(amount: Decimal | int | str) -> int:
    """Return an amount of credits as a whole number of units.

    Args:
        amount: the amount in credits, as a Decimal, an int, or text such as "12.5".

    Raises:
        InexactAmountError: the amount is no number, or not a whole number of units.
    """
    number = _number(amount)
    # As a fraction, a large exponent alone would take minutes.
    if abs(number.adjusted()) > MOST_DIGITS:
        raise InexactAmountError(f"{amount} credits is not an amount that the ledger can keep.")
    numerator, denominator = number.as_integer_ratio()
    units, rest = divmod(numerator * UNITS_PER_CREDIT, denominator)
    if rest:
        raise InexactAmountError(
            f"{number:f} credits is not a whole number of the ledger's units; eight decimals are the most."
        )
    return units


def to_credits(units: int) -> Decimal:
    """Return units as Decimal credits, to the 28 digits of Python's default decimal context.

    Some whole numbers of units have no finite decimal form (one unit is 1/3,600,000,000 of a credit), so
    this is for people and for JSON. The ledger never computes with it.
    """
    return Decimal(units) / UNITS_PER_CREDIT


def exact_credits(units: int) -> str:
    """Return units as decimal text in credits for programs, such as "37.25" or "-0.0000416667".

    It is exact wherever the amount has a finite decimal form, because then ten decimals are enough: a
    credit is 2^10 * 3^2 * 5^8 units, so such an amount is a multiple of 1 / (4 * 10^8) of a credit. Where
    it has none, the text is the nearest of ten decimals, which is nearer to this number of units than to
    any other: times 3,600,000,000 and rounded it gives them back.
    """
    # 10^10 / 3,600,000,000 is 25/9. There are no ties, because nine is odd.
    tens, rest = divmod(abs(units) * 25, 9)
    whole, decimals = divmod(tens + (rest > 4), 10**10)
    text = f"{whole}.{decimals:010}".rstrip("0").rstrip(".")
    return f"-{text}" if units < 0 and text != "0" else text


@lru_cache(maxsize=1024, typed=True)
def rate_of(price: Decimal | int | str) -> int:
    """Return a price in credits an hour as a rate in units a second.

    Raises:
        InexactAmountError: the price is no number, or not a multiple of 0.000001 credits an hour.
    """
    number = _number(price)
    numerator, denominator = number.as_integer_ratio()
    rate, rest = divmod(numerator * (UNITS_PER_CREDIT // _SECONDS_PER_HOUR), denominator)
    if rest:
        raise InexactAmountError(f"{number:f} credits an hour is not a multiple of {PRICE_STEP} credits an hour.")
    return rate


def price_of(rate: int) -> Decimal:
    """Return a rate in units a second as a price in credits an hour. Always exact."""
    return Decimal(rate).scaleb(-6)


def format_credits(units: int, *, rounding: Literal["down", "up"] = "down") -> str:
    """Return units as text for people, in credits with two decimals, such as "12.34" or "-0.05".

    Args:
        units: the amount in units.
        rounding: "down" for what somebody has, so that a page never promises more than there is;
            "up" for what something needs, so that a page never promises less than it takes.
    """
    direction = ROUND_FLOOR if rounding == "down" else ROUND_CEILING
    text = f"{to_credits(units).quantize(_CENT, rounding=direction)}"
    return "0.00" if text == "-0.00" else text


def format_price(price: Decimal) -> str:
    """Return a price in credits an hour as exact text, with two decimals or more: "0.15", "0.125"."""
    text = f"{price.normalize():f}"
    whole, _, decimals = text.partition(".")
    return f"{whole}.{decimals.ljust(2, '0')}"


def _number(amount: Decimal | int | str) -> Decimal:
    try:
        number = Decimal(amount)
    except InvalidOperation as error:
        raise InexactAmountError(f"'{amount}' is not a number.") from error
    if not number.is_finite():
        raise InexactAmountError(f"{amount} is not an amount.")
    return number
