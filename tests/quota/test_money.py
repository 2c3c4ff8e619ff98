from __future__ import annotations

from decimal import Decimal

import pytest
from hubquota.models.money import (
    UNITS_PER_CREDIT,
    InexactAmountError,
    format_credits,
    format_price,
    price_of,
    rate_of,
    to_credits,
    to_units,
)
from hypothesis import given
from hypothesis import strategies as st

prices = st.decimals(min_value=0, max_value=1_000_000, places=6)


@given(prices)
def test_every_price_in_millionths_is_a_whole_rate_and_an_hour_costs_the_price(price: Decimal) -> None:
    assert rate_of(price) * 3600 == to_units(price)
    assert price_of(rate_of(price)) == price


@given(st.decimals(min_value=-(10**9), max_value=10**9, places=8))
def test_amounts_to_eight_decimals_come_back_as_they_were(amount: Decimal) -> None:
    assert to_credits(to_units(amount)) == amount


@pytest.mark.parametrize("amount", ["0.000000001", "NaN", "Infinity", "a lot", ""])
def test_what_the_ledger_cannot_count_is_an_error(amount: str) -> None:
    with pytest.raises(InexactAmountError):
        to_units(amount)


@pytest.mark.parametrize("price", ["0.0000001", "0.1234567", "sNaN", "cheap"])
def test_a_price_between_the_steps_is_an_error(price: str) -> None:
    with pytest.raises(InexactAmountError):
        rate_of(price)


@pytest.mark.parametrize(
    ("units", "down", "up"),
    [
        (0, "0.00", "0.00"),
        (1, "0.00", "0.01"),
        (-1, "-0.01", "0.00"),
        (UNITS_PER_CREDIT * 3 // 20, "0.15", "0.15"),
        (UNITS_PER_CREDIT * 1234 // 100 + 1, "12.34", "12.35"),
        (-UNITS_PER_CREDIT // 20, "-0.05", "-0.05"),
    ],
)
def test_what_is_there_is_shown_rounded_down_and_what_is_needed_rounded_up(units: int, down: str, up: str) -> None:
    assert format_credits(units) == down
    assert format_credits(units, rounding="up") == up


@pytest.mark.parametrize(
    ("price", "text"),
    [
        ("0.15", "0.15"),
        ("1", "1.00"),
        ("0.125", "0.125"),
        ("0.000001", "0.000001"),
        ("10", "10.00"),
        ("0", "0.00"),
    ],
)
def test_a_price_is_shown_exactly(price: str, text: str) -> None:
    assert format_price(Decimal(price)) == text
