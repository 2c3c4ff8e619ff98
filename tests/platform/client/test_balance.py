"""What a notebook shows of the balance. The portal is a stand-in."""

from __future__ import annotations

from decimal import Decimal

import pytest

pytest.importorskip("roman_datamodels", reason="the notebook's side is tested in the analysis environment")

import romanhub
from romanhub.client.account import credits_text
from romanhub.client.errors import NotAllowedError


def test_a_balance_says_what_runs_and_what_it_costs(portal) -> None:
    portal.show_account(dask_workers=2)
    balance = romanhub.balance()
    assert balance.available == Decimal("12.5")
    assert balance.price == Decimal("0.23")
    assert repr(balance) == (
        "12.50 credits available (Explorer tier)\n"
        "What runs now costs 0.23 credits an hour, which the balance pays for 54 hours:\n"
        "  Medium server: 0.15 credits an hour, 0.10 so far\n"
        "  2 x Dask worker: 0.08 credits an hour, 0.0044 so far"
    )
    html = balance._repr_html_()
    assert "<strong>12.50 credits</strong>" in html
    assert "<li>2 x Dask worker: 0.08 credits an hour, 0.0044 so far</li>" in html
    assert '<a href="/services/portal/" target="_blank">' in html


def test_a_balance_that_ends_soon_says_so(portal) -> None:
    portal.show_account()
    portal.answer(
        "api/statement?limit=1",
        {
            "balance": {"available": "0.05"},
            "running": [{"kind": "server", "label": "Medium server", "price": "0.15", "seconds": 1, "cost": "0"}],
        },
    )
    assert "which the balance pays for less than an hour" in repr(romanhub.balance())


def test_a_balance_with_nothing_running(portal) -> None:
    portal.show_account()
    portal.answer("api/statement?limit=1", {"balance": {"available": "-0.05"}, "running": []})
    assert repr(romanhub.balance()) == "-0.05 credits available (Explorer tier)\nNothing runs now."


def test_before_an_account_is_open_there_is_nothing(portal) -> None:
    portal.show_account()
    portal.answer("api/me", {"name": "ada", "tier": "explorer", "admin": False, "balance": None})
    assert romanhub.balance().available == 0
    assert not any("statement" in path for path in portal.asked)


def test_what_the_portal_says_is_shown_as_text_only(portal) -> None:
    portal.show_account()
    running = [{"kind": "server", "label": "<script>1</script>", "price": "0", "seconds": 1, "cost": "0"}]
    portal.answer("api/statement?limit=1", {"balance": {"available": "1"}, "running": running})
    assert "<script>" not in romanhub.balance()._repr_html_()


def test_a_refused_token_is_said_to_be_refused(portal, monkeypatch) -> None:
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "an-old-token")
    with pytest.raises(NotAllowedError, match="Restart your server"):
        romanhub.balance()


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "0.00"),
        ("12.345", "12.34"),
        ("0.15", "0.15"),
        ("50", "50.00"),
        ("-3.1", "-3.10"),
        ("0.0044", "0.0044"),
        ("0.000000833", "0.00000083"),
        ("1234.5", "1234.50"),
    ],
)
def test_credits_are_written_so_that_little_is_not_nothing(amount, text) -> None:
    assert credits_text(Decimal(amount)) == text
