from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hubquota.models.money import UNITS_PER_CREDIT
from romanhub.portal import display
from romanhub.portal.models import credits_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h"),
        (7_500, "2 h 5 min"),
        (86_400, "1 d"),
        (86_400 * 3 + 3600 * 4 + 59, "3 d 4 h"),
    ],
)
def test_durations(seconds: int, text: str) -> None:
    assert display.duration(seconds) == text


def test_a_page_never_promises_more_than_there_is() -> None:
    almost = 37 * UNITS_PER_CREDIT - 1

    assert display.amount(almost) == "36.99"
    assert display.cost(almost) == "37.00"
    assert display.signed(-almost) == "\N{MINUS SIGN}37.00"
    assert display.signed(almost) == "+36.99"


def test_times_are_utc_to_readers_and_machines() -> None:
    at = datetime(2026, 11, 3, 1, 5, 9, tzinfo=timezone(timedelta(hours=3)))

    assert display.timestamp(at) == '<time datetime="2026-11-02T22:05:09Z">2 Nov 2026, 22:05</time>'
    assert display.timestamp(at.astimezone(UTC)) == display.timestamp(at)


@pytest.mark.parametrize("units", [0, 1, -1, 2, 12_345, UNITS_PER_CREDIT - 1, 10**18 + 7, -(10**18) - 7])
def test_the_api_s_decimals_name_every_unit(units: int) -> None:
    from decimal import Decimal

    text = credits_text(units)

    assert round(Decimal(text) * UNITS_PER_CREDIT) == units


def test_the_api_writes_round_amounts_plainly() -> None:
    assert credits_text(37 * UNITS_PER_CREDIT + UNITS_PER_CREDIT // 4) == "37.25"
    assert credits_text(100 * UNITS_PER_CREDIT) == "100"
