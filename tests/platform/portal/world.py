"""What the portal's tests are about: time that they move on, a hub that they answer for, accounts with a past."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from hubquota.models.clusters import CLUSTER_LABEL, WORKER_LABEL, cluster_key, worker_key
from hubquota.models.kinds import CLUSTER, WORKER
from hubquota.models.ledger import Lease
from hubquota.models.money import rate_of, to_units
from hubquota.models.overrides import Overridden
from hubquota.models.requests import Actor
from hubquota.models.tiers import Tiers
from hubquota.services.ledger import Ledger
from hubquota.services.requests import Requests

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


def run_in_slices(
    ledger: Ledger,
    clock: Clock,
    name: str,
    *,
    label: str,
    price: str,
    hours: int,
    reason: str,
    person: str | None = None,
) -> Lease:
    """Run something that is charged hour by hour, as the hub does while it watches."""
    lease = ledger.admit(
        name,
        kind="server",
        key=f"server:{person or name}/{name}",
        label=label,
        rate=rate_of(price),
        minimum_seconds=600,
        person=person,
    )
    ledger.begin(lease.id)
    for _ in range(hours):
        clock.advance(hours=1)
        ledger.seen([lease.key])
        ledger.extend(lease.id)
    return ledger.close(lease.id, reason=reason, actor=person or name)


def tell_more(ledger: Ledger, clock: Clock) -> None:
    """After `tell_story`: requests of each kind, allocations of each state, a project with members."""
    requests = Requests.sharing(ledger)
    edwin = Actor("edwin", admin=True)
    ledger.grant(
        "ada",
        to_units(60),
        actor="edwin",
        reason="Bridge until the next term",
        key="ada-2",
        tier="researcher",
        end=clock.now + timedelta(days=9),
        renewable=True,
    )
    coming = ledger.grant(
        "ada",
        to_units(250),
        actor="edwin",
        reason="Microlensing season",
        key="ada-3",
        tier="researcher",
        start=clock.now + timedelta(days=12),
        end=clock.now + timedelta(days=40),
        renewable=True,
    )
    ledger.open_project("bulge-survey", "team", pi="ada", actor="edwin")
    for member in ("cecilia", "benjamin-thompson-de-la-cruz@physics.example.edu", "ines"):
        ledger.set_member("bulge-survey", member, "member", actor="ada")
    ledger.grant(
        "bulge-survey",
        to_units(900),
        actor="edwin",
        reason="Cycle 1 programme 1042",
        key="bulge-1",
        tier="team",
        end=clock.now + timedelta(days=200),
        renewable=True,
    )
    for person, hours in (("cecilia", 30), ("ines", 5), ("ada", 2)):
        run_in_slices(
            ledger, clock, "bulge-survey", person=person, label="Huge server", price="1.80", hours=hours,
            reason=f"Stopped by {person}.",
        )  # fmt: skip
    ledger.set_member("bulge-survey", "ines", None, actor="ada")
    now = ledger.admit(
        "bulge-survey", kind="server", key="server:cecilia/bulge-survey", label="Huge server",
        rate=rate_of("1.80"),
        minimum_seconds=600, person="cecilia",
    )  # fmt: skip
    ledger.begin(now.id)
    denied = requests.ask(
        "ada", "team", to_units(5000), justification="All of the archive, at once.", by=Actor("ada")
    )
    requests.deny(denied.id, by=edwin, reason="The researcher tier has room for this; ask again with a plan")
    requests.ask(
        "ada",
        "team",
        to_units(2000),
        justification="Difference imaging of the bulge fields.\n\nThree passes over 70 TB.",
        by=Actor("ada"),
    )
    requests.renew(
        coming.id, justification="The second season.", results="doi:10.1000/roman.1, doi:10.1000/roman.2",
        by=Actor("ada"), units=to_units(300),
    )  # fmt: skip
    requests.ask("cecilia", "researcher", to_units(500), justification="My thesis.", by=Actor("cecilia"))
    clock.advance(hours=1)


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


def tell_of_limits(ledger: Ledger, clock: Clock) -> None:
    """After `tell_more`: an override, a cap, and notices of which some were read."""
    ledger.give_override(
        "ada", Overridden(sizes=("huge",), workers=40), clock.now + timedelta(days=20), actor="edwin",
        reason="The summer school on gravitational lensing", key="school",
    )  # fmt: skip
    ledger.set_cap(
        "bulge-survey", "cecilia", credits=to_units(120), workers=20, actor="ada", reason="A share for each of us"
    )
    ledger.mark_read("ada", [one.id for one in ledger.notices("ada")][2:])


def tell_of_clusters(ledger: Ledger, clock: Clock) -> None:
    """After `tell_more`: clusters of a person and of a project, one limited and one told to stop."""
    for name, account, person, workers in (
        ("3f2a9c417bd84e0c9b6a5d1e8f70c2aa", "ada", "ada", 3),
        ("9b1dd0f0a1c94f2f8d5b7c3e6a4f1e22", "bulge-survey", "cecilia", 12),
        ("c07e4b5a6d3f41f8a2b9e1d0c8f7a655", "bulge-survey", "ada", 0),
    ):
        record = ledger.admit(
            account, person=person, kind=CLUSTER, key=cluster_key(name), label=CLUSTER_LABEL, rate=0
        )
        ledger.begin(record.id)
        for number in range(workers):
            worker = ledger.admit(
                account, person=person, kind=WORKER, key=worker_key(name, str(number)), label=WORKER_LABEL,
                rate=rate_of("0.15"),
            )  # fmt: skip
            ledger.begin(worker.id)
    clock.advance(minutes=90)
    ledger.limit_cluster("9b1dd0f0a1c94f2f8d5b7c3e6a4f1e22", 8, actor="edwin", reason="The archive is slow today")
    ledger.stop_cluster("c07e4b5a6d3f41f8a2b9e1d0c8f7a655", actor="edwin", reason="Maintenance of its machines")


class Reader:
    """Somebody in front of a browser without scripts: opens pages, and sends the forms on them."""

    def __init__(self, web: httpx.AsyncClient, token: str) -> None:
        self._web, self._headers = web, {"Cookie": f"romanhub-portal={token}"}

    async def open(self, path: str = "", *, status: int = 200) -> str:
        """Return a page's source."""
        found = await self._web.get(f"{PREFIX}{path}", headers=self._headers)
        assert found.status_code == status, found.text
        return found.text

    async def send(self, page: str, to: str, fields: dict[str, str | list[str]], *, status: int = 303) -> str:
        """Send a form of a page, with what the page has put into every form of its own."""
        source = await self.open(page)
        assert f'action="{PREFIX}{to}"' in source, f"there is no such form on the page '{page}'"
        ticket = re.search(r'name="ticket" value="([^"]+)"', source)
        assert ticket
        form = {"ticket": ticket[1], "once": f"{to}{fields}"[:90], "back": page, **fields}
        found = await self._web.post(f"{PREFIX}{to}", data=form)
        assert found.status_code == status, found.text
        return found.text


class Late:
    """Somebody who has opened a page, and sends its form when others have acted meanwhile."""

    def __init__(self, web: httpx.AsyncClient, token: str, page: str, source: str) -> None:
        self._web, self._page, self._source = web, page, source
        self._headers = {"Cookie": f"romanhub-portal={token}"}

    @classmethod
    async def opens(cls, web: httpx.AsyncClient, token: str, page: str) -> Late:
        """Open a page."""
        headers = {"Cookie": f"romanhub-portal={token}"}
        found = await web.get(f"{PREFIX}{page}", headers=headers)
        assert found.status_code == 200, found.text
        return cls(web, token, page, found.text)

    async def sends(self, to: str, **fields: str) -> httpx.Response:
        """Send a form of the page as it was."""
        assert f'action="{PREFIX}{to}"' in self._source
        ticket = re.search(r'name="ticket" value="([^"]+)"', self._source)
        once = re.search(r'name="once" value="([^"]+)"', self._source)
        assert ticket
        assert once
        form = {"ticket": ticket[1], "once": once[1], "back": self._page, **fields}
        return await self._web.post(f"{PREFIX}{to}", data=form)


def words(page: httpx.Response) -> str:
    """What somebody reads on a page."""
    return " ".join(re.sub(r"<[^>]+>", " ", page.text).replace("&#39;", "'").split())
