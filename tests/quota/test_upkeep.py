"""The upkeep beside the watch: it sees to ends of terms and sends notices, and goes on after a failure."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta
from typing import Any

import httpx
import pytest
from hubquota.hub.addresses import ClaimedAddresses
from hubquota.hub.upkeep import Upkeep
from hubquota.models.delivery import DeliverySettings
from hubquota.models.notices import Notice
from hubquota.models.tiers import Tiers
from hubquota.services.delivery import Delivering
from hubquota.services.ledger import Ledger
from hubquota.services.notices import Notices
from hubquota.services.terms import Terms
from sqlalchemy import Engine

from tests.quota.support import Clock, eventually


class Kept:
    """Stands for a channel that sends: it keeps what it was given."""

    name = "webhook"
    timeout = 1.0

    def __init__(self) -> None:
        self.sent: list[Notice] = []

    def send(self, notice: Notice, _address: str | None) -> None:
        """Keep a notice."""
        self.sent.append(notice)

    def close(self) -> None:
        """Nothing is open."""


def test_it_passes_again_and_again_also_after_a_failure(
    engine: Engine, tiers: Tiers, ledger: Ledger, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    ledger.open_account("ada", "explorer", 1000, actor="test", term_days=90)
    clock.now += timedelta(days=76)
    broken = threading.Event()
    broken.set()

    def current() -> Tiers:
        if broken.is_set():
            raise RuntimeError("the tiers cannot be read")
        return tiers

    kept, stop = Kept(), threading.Event()
    delivering = Delivering(engine, DeliverySettings(), clock, channels=[kept])  # type: ignore[list-item]
    with caplog.at_level(logging.ERROR), Upkeep(Terms(engine, current, clock), delivering).running(stop, 0.01):
        eventually(lambda: "A pass of the upkeep failed" in caplog.text, "a failure in the log")
        assert kept.sent == []
        broken.clear()
        eventually(lambda: kept.sent, "a notice that went out")
    assert stop.is_set()
    assert [notice.kind for notice in kept.sent] == ["allocation-expiring"]
    assert [notice.kind for notice in Notices(engine, clock).notices("ada")] == ["allocation-expiring"]


def test_an_address_is_a_claim_of_the_sign_in() -> None:
    """The hub's answers are made up here: a hub that keeps what people signed in with needs a provider."""
    answers: dict[str, httpx.Response] = {
        "/hub/api/users/ada": httpx.Response(
            200, json={"auth_state": {"oauth_user": {"email": "ada@example.org"}}}
        ),
        "/hub/api/users/bob": httpx.Response(200, json={"auth_state": None}),
        "/hub/api/users/a%2Fb": httpx.Response(
            200, json={"auth_state": {"oauth_user": {"email": "ab@example.org"}}}
        ),
        "/hub/api/users/eve": httpx.Response(403),
    }

    def answer(request: httpx.Request) -> httpx.Response:
        return answers.get(request.url.raw_path.decode(), httpx.Response(404))

    with httpx.Client(base_url="http://hub/hub/api/", transport=httpx.MockTransport(answer)) as client:
        address_of: Any = ClaimedAddresses(client, "oauth_user.email")
        assert [address_of(name) for name in ("ada", "bob", "nobody", "a/b")] == [
            "ada@example.org",
            None,
            None,
            "ab@example.org",
        ]
        with pytest.raises(OSError, match="403"):
            address_of("eve")
