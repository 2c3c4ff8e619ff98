"""What the portal's tests are about: time that they move on, a hub that they answer for, accounts with a past."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from hubquota.models.ledger import Lease
from hubquota.models.money import rate_of, to_units
from hubquota.models.tiers import Tiers
from hubquota.services.ledger import Ledger

ROOT = Path(__file__).resolve().parents[3]
TIERS = ROOT / "hub_config" / "tiers.yaml"
SERVICE_TOKEN = "the-portal-s-own-token"
PREFIX = "/services/portal/"


@dataclass
class Clock:
    """A clock that stands still until a test moves it on."""

    now: datetime = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **parts: float) -> None:
        """Move on by so many days, hours, minutes or seconds."""
        self.now += timedelta(**parts)


def token_of(name: str) -> str:
    """The token that the stand-in gives to somebody: like a hub's, it is letters and digits."""
    return f"token-of-{name.encode().hex() if not name.isalnum() else name}"


@dataclass
class HubStandIn:
    """Stands in for the hub's API where a test decides what the hub says; the real hub is in test_behind_hub."""

    #: Token to the model that the hub answers with.
    people: dict[str, dict[str, object]] = field(default_factory=dict)
    #: OAuth code to the token that it buys.
    codes: dict[str, str] = field(default_factory=dict)
    #: What every request is answered with instead, where a test breaks the hub.
    broken: httpx.Response | Exception | None = None
    asked: list[httpx.Request] = field(default_factory=list)

    def add(
        self, name: str, *, scopes: tuple[str, ...] = ("access:services!service=portal",), **model: object
    ) -> str:
        """Add somebody, and return a token of theirs."""
        token = token_of(name)
        self.people[token] = {"name": name, "kind": "user", "groups": [], "scopes": list(scopes), **model}
        return token

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer as the hub documents its API."""
        self.asked.append(request)
        if isinstance(self.broken, Exception):
            raise self.broken
        if self.broken is not None:
            return self.broken
        path = request.url.path.removeprefix("/hub/api")
        if path == "/user":
            model = self.people.get(request.headers["authorization"].removeprefix("token "))
            return httpx.Response(200, json=model) if model else httpx.Response(403, json={"status": 403})
        if path == "/oauth2/token":
            form = httpx.QueryParams(request.content.decode())
            token = self.codes.pop(form["code"], None)
            if token is None or form["client_secret"] != SERVICE_TOKEN or not form["code_verifier"]:
                return httpx.Response(400, json={"error": "invalid_grant"})
            return httpx.Response(200, json={"access_token": token, "token_type": "Bearer"})
        return httpx.Response(200, json={"version": "6.1.1"})


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def start(ledger: Ledger, name: str, *, label: str, price: str, kind: str = "server", which: str = "") -> Lease:
    """Admit and begin something on an account."""
    lease = ledger.admit(
        name, kind=kind, key=f"{kind}:{name}/{which}", label=label, rate=rate_of(price), minimum_seconds=600
    )
    return ledger.begin(lease.id)


def open_account(ledger: Ledger, tiers: Tiers, name: str, tier: str = "explorer") -> None:
    """Open an account as a first start does."""
    ledger.open_account(name, tier, tiers.tiers[tier].budget_units, actor="hubquota")


def run(
    ledger: Ledger,
    clock: Clock,
    name: str,
    *,
    label: str,
    price: str,
    minutes: float,
    reason: str,
    kind: str = "server",
    which: str = "",
) -> Lease:
    """Run something for so many minutes, from now."""
    lease = start(ledger, name, label=label, price=price, kind=kind, which=which)
    clock.advance(minutes=minutes)
    return ledger.close(lease.id, reason=reason, actor=name)


def tell_story(ledger: Ledger, clock: Clock, tiers: Tiers) -> None:
    """A researcher with three weeks of use and a server running, and others who have used less, or everything."""
    open_account(ledger, tiers, "benjamin-thompson-de-la-cruz@physics.example.edu")
    open_account(ledger, tiers, "cecilia")
    run(
        ledger, clock, "cecilia", label="Medium server", price="0.15", minutes=19_990, reason="Stopped by cecilia."
    )
    open_account(ledger, tiers, "survey-team", "team")

    open_account(ledger, tiers, "ada", "researcher")
    sessions = [
        (95, "Medium server", "0.15", "Stopped by ada."),
        (480, "Large server", "0.45", "Stopped after 3 h without activity."),
        (12.7, "Small server", "0.04", "Stopped by ada."),
        (4320, "Large server", "0.45", "Stopped after 72 h, the longest session of the tier."),
        (201, "Medium server", "0.15", "The server died; charged until it was last seen."),
    ]
    for _ in range(6):
        for minutes, label, price, reason in sessions:
            run(ledger, clock, "ada", label=label, price=price, minutes=minutes, reason=reason)
            clock.advance(minutes=37, seconds=11)
        for worker in range(3):
            run(
                ledger,
                clock,
                "ada",
                kind="dask-worker",
                which=f"c1/{worker}",
                label="Dask worker",
                price="0.08",
                minutes=41,
                reason="The cluster was closed.",
            )
    ledger.grant(
        "ada", to_units(120), actor="edwin", reason="Extra time for the time-domain reprocessing", key="ada-1"
    )
    for minutes, label, price, reason in sessions[:3]:
        run(ledger, clock, "ada", label=label, price=price, minutes=minutes, reason=reason)
        clock.advance(hours=20)
    start(ledger, "ada", label="Large server", price="0.45")
    clock.advance(minutes=6)
    for worker in range(2):
        start(ledger, "ada", kind="dask-worker", which=f"c2/{worker}", label="Dask worker", price="0.08")
    clock.advance(hours=5, minutes=12, seconds=9)
