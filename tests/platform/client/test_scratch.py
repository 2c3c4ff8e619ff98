"""Scratch from a notebook: its price before it is made, its path, its end."""

from __future__ import annotations

import pytest

pytest.importorskip("roman_datamodels", reason="the notebook's side has an environment of its own")

from romanhub.client.credentials import source
from romanhub.client.errors import ScratchRefusedError
from romanhub.client.scratch import scratch

ONE = {
    "id": 1,
    "account": "ada",
    "name": "work",
    "gib": 100,
    "state": "open",
    "price": "0.002",
    "ends_at": "2026-12-22T12:00:00Z",
    "used": None,
}
PLACE = {
    "bucket": "roman-scratch",
    "prefix": "scratch/ada/work/",
    "region": "us-east-1",
    "writable": True,
    "ends": ONE["ends_at"],
    "gib": 100,
}


@pytest.fixture
def shown(portal, stored):
    """A portal on which ada has no scratch yet."""
    portal.show_archive(stored.access)
    portal.show_account()
    portal.answer("api/scratch", {"scratch": []})
    portal.answer("api/scratch/price?gib=100&days=30", {"price": "1.44", "ends_at": ONE["ends_at"]})
    return portal


def test_its_price_is_said_before_it_is_made(shown) -> None:
    said: list[str] = []

    def no(question: str) -> str:
        said.append(question)
        return "n"

    with pytest.raises(ScratchRefusedError, match="No scratch space was made"):
        scratch(size="100 GiB", days=30, ask=no)
    assert "100 GiB for 30 days, until 2026-12-22, cost 1.44 credits" in said[0]
    assert shown.asked[-1].startswith("api/scratch/price"), "nothing was made"


def test_without_a_size_there_has_to_be_one(shown) -> None:
    with pytest.raises(ScratchRefusedError, match=r'size="100 GiB"'):
        scratch()
    with pytest.raises(ValueError, match="not a size"):
        scratch(size="much")


def test_one_that_is_there_has_a_path_and_an_end(shown) -> None:
    shown.answer("api/scratch", {"scratch": [ONE]})
    keys = source().current().model_dump(mode="json")
    keys |= dict.fromkeys(("access_key", "secret_key", "session_token"), "x")
    shown.answer("api/credentials", keys | {"scratch": {"work": PLACE}})
    one = scratch()
    assert one.path == "s3://roman-scratch/scratch/ada/work/"
    assert "100 GiB, until 2026-12-22 12:00 UTC, 0.002 credits an hour" in repr(one)
    shown.answer("api/scratch/1/extension", ONE | {"ends_at": "2027-01-01T12:00:00Z"})
    assert one.extend(days=10).ends.day == 1
    shown.answer("api/scratch/1/release", ONE | {"state": "ended"})
    assert "ended" in repr(one.release())


def test_a_refusal_is_the_portals_own_words(shown) -> None:
    detail = {"detail": "Not enough credits: this costs 144 credits."}
    shown.answer("api/scratch", {"scratch": [ONE]})
    shown.answer("api/scratch/1/extension", detail, 409, "application/problem+json")
    with pytest.raises(ScratchRefusedError, match="Not enough credits"):
        scratch().extend(days=300)
