"""One admission decision in a real hub, against the two plugins that other hubs have for it.

Each plugin is in a plain JupyterHub of its own, set up as its documentation says, with servers that cost nothing.
The same people start a server through the hub's REST in every hub, one after the other and hub by hub in turn; a
decision is what the hub's pre-spawn hook takes. Then the hook is asked for a hundred people at the same moment,
which gives the decisions a second, and how long the hub's event loop was held. Last, somebody with a budget for
one server asks for ten at the same moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from hubquota.models.money import rate_of
from hubquota.services.ledger import MINIMUM_SECONDS, Ledger
from hubquota.storage.engine import make_engine

from tests.bench import peers
from tests.bench.hubs import CONFIGS, PATIENCE, ROOT, Hub
from tests.bench.instant import DECISIONS, PASSED
from tests.bench.peers import PeerMissingError
from tests.bench.rows import Row

#: So many people, each of whom starts and stops a server in every round.
PEOPLE, ROUNDS = 20, 4

#: How many decisions are asked for at one moment, how often in a row, and how often hub by hub in turn: a machine
#: that others use is half as fast now and then, for seconds, so that few of them are a measure of luck.
AT_ONCE, BURSTS, TURNS = 100, 5, 8

#: What everybody has used where usage is what counts: three hours on each of twenty days.
HOURS_USED = 60

#: How long the hub's loop may be held, in milliseconds.
HELD_GOAL = 10.0

_TOKEN = "a-token-of-the-benchmark"
#: Never used, as nothing here is encrypted; one made for each person would cost as much as all their requests.
_TLS = ssl.create_default_context()
_POOR = "poor"
#: Seconds that a pass takes at most; it is a few milliseconds for each person.
_PASS = 2.0
_TIERS = ROOT / "tests" / "quota" / "hub_tiers.yaml"


@dataclass
class _Side:
    """One hub, and what was measured there."""

    name: str
    hub: Hub
    #: Seconds that each decision took, and seconds of the hub's CPU in it.
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    #: What came of many decisions at one moment.
    bursts: list[dict[str, float]] = field(default_factory=list)
    #: For how many seconds the loop was held, at most, in others of these.
    held: list[float] = field(default_factory=list)
    #: How many of ten servers ran on a budget for one.
    started: int = 0

    def api(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=f"{self.hub.settings.hub_api}/",
            headers={"Authorization": f"token {_TOKEN}"},
            timeout=PATIENCE,
            trust_env=False,
            limits=httpx.Limits(max_connections=20),
        )


def measure() -> list[Row]:
    """Measure every hub that this machine can have."""
    people = [f"person-{number}" for number in range(PEOPLE)]
    with contextlib.ExitStack() as running:
        plain = _Side("plain JupyterHub", _enter(running, "admission_plain.py"))
        ours = _Side("hubquota", _ours(running))
        theirs = [_Side("jupyterhub-credit-service", _credit_service(running))]
        try:
            theirs.append(_Side("jupyterhub-usage-quotas", _usage_quotas(running, people)))
        except PeerMissingError as missing:
            print(f"   jupyterhub-usage-quotas is left out: {missing}")
        sides = [plain, ours, *theirs]
        for side in sides:
            side.hub.start()
            asyncio.run(_arrive(side, people))
            asyncio.run(_round(side, people))
        _after_a_pass(theirs[0].hub)
        for side in sides:
            (side.hub.folder / DECISIONS).unlink(missing_ok=True)
        for _ in range(ROUNDS):
            for side in sides:
                asyncio.run(_round(side, people))
        # A hundred queries of jupyterhub-usage-quotas at once take Prometheus a minute.
        crowded = [side for side in sides if side.name != "jupyterhub-usage-quotas"]
        for _ in range(TURNS):
            for side in crowded:
                side.bursts += [asyncio.run(_burst(side)) for _ in range(BURSTS)]
                side.held.append(asyncio.run(_burst(side, watch=True))["held"])
        for side in (ours, *theirs):
            _read(side)
            asyncio.run(_ten(side))
    return _rows(plain, ours, theirs)


def _rows(plain: _Side, ours: _Side, theirs: list[_Side]) -> list[Row]:
    runs = PEOPLE * ROUNDS
    # What a plain hub takes for the same, with no decision in it, is the requests' own and nobody's decision.
    asking = median(burst["seconds"] for burst in plain.bursts)
    rates = {
        side.name: [AT_ONCE / (burst["seconds"] - asking) for burst in side.bursts] for side in (ours, *theirs)
    }
    # The one whose queries are too slow to be asked a hundred at once is the slower one.
    faster = max((side for side in theirs if side.bursts), key=lambda side: median(rates[side.name]))
    held = [median(side.held) for side in (ours, plain)]
    against, runs_at_once = f"{faster.name}, the faster peer", TURNS * BURSTS
    asking_cpu = median(burst["cpu"] for burst in plain.bursts)
    cpu = [median(burst["cpu"] for burst in side.bursts) - asking_cpu for side in (ours, faster)]
    rows = [
        Row(
            name="admission", value=median(rates[ours.name]), versus=median(rates[faster.name]),
            unit="decisions a second", against=against, goal=">= 10", runs=runs_at_once,
        ),
        Row(
            name=f"admission: the hub's CPU in one of {AT_ONCE} at once",
            value=1e6 * cpu[0] / AT_ONCE, versus=1e6 * cpu[1] / AT_ONCE,
            unit="µs", against=against, runs=runs_at_once,
        ),
    ]  # fmt: skip
    for side in theirs:
        rows += [
            Row(
                name=f"admission: one decision in a start, {side.name}",
                value=1000 * median(ours.seconds), versus=1000 * median(side.seconds),
                unit="ms", against=side.name, runs=runs,
            ),
            Row(
                name=f"admission: the hub's CPU in it, {side.name}",
                value=1000 * median(ours.cpu), versus=1000 * median(side.cpu),
                unit="ms", against=side.name, runs=runs,
            ),
            Row(
                name=f"admission: of ten at once on a budget for one, {side.name}",
                value=ours.started, versus=side.started,
                unit="started", against=side.name, runs=1, goal="<= 0.1",
            ),
        ]  # fmt: skip
    rows.append(
        Row(
            name=f"admission: the loop held by {AT_ONCE} at once",
            value=1000 * max(0.0, held[0] - held[1]),
            versus=HELD_GOAL, unit="ms", against="the goal", goal="<= 1", runs=TURNS,
        )
    )  # fmt: skip
    return rows


# The hubs ----------------------------------------------------------------------------------------------


def _enter(
    running: contextlib.ExitStack,
    config: str,
    variables: Mapping[str, str] | None = None,
    program: Path | None = None,
) -> Hub:
    common = {"PYTHONPATH": f"{ROOT}:{ROOT / 'quota'}", "BENCH_TOKEN": _TOKEN}
    return running.enter_context(Hub(CONFIGS / config, common | dict(variables or {}), program=program))


def _ours(running: contextlib.ExitStack) -> Hub:
    # Hub itself makes a ledger's database ready; where it is follows from the hub's folder.
    hub = _enter(running, "admission_ours.py")
    hub.variables |= {"BENCH_TIERS": str(_TIERS), "BENCH_LEDGER": hub.settings.ledger_url}
    engine = make_engine(hub.settings.ledger_url)
    ledger = Ledger(engine)
    # The medium size, which is the tier's own choice, for as long as an admission holds.
    ledger.open_account(_POOR, "explorer", rate_of("0.15") * MINIMUM_SECONDS, actor="benchmark")
    engine.dispose()
    return hub


def _credit_service(running: contextlib.ExitStack) -> Hub:
    return _enter(running, "admission_credit_service.py", program=peers.jupyterhub("credit_service"))


def _usage_quotas(running: contextlib.ExitStack, people: list[str]) -> Hub:
    program = peers.jupyterhub("usage_quotas", newest=True)
    hub = _enter(running, "admission_usage_quotas.py", program=program)
    pods = [f"jupyter-{name}" for name in people]
    address = running.enter_context(peers.prometheus(hub.folder / "prometheus", pods, hours=HOURS_USED))
    hub.variables["BENCH_PROMETHEUS"] = address
    return hub


# What is asked of them -----------------------------------------------------------------------------------


async def _arrive(side: _Side, people: list[str]) -> None:
    """Everybody signs in once: the credit service gives its credits then."""
    for name in (*people, *_crowd(), _POOR):
        async with httpx.AsyncClient(base_url=side.hub.url, timeout=PATIENCE, trust_env=False, verify=_TLS) as web:
            await web.get("/hub/login")
            form = {"username": name, "password": "any", "_xsrf": web.cookies.get("_xsrf", path="/hub/") or ""}
            answer = await web.post("/hub/login", data=form)
            assert answer.is_redirect, answer.text
    async with side.api() as api:
        if side.name == "jupyterhub-usage-quotas":
            for group, names in (("everybody", [*people, *_crowd()]), ("poor", [_POOR])):
                (await api.post(f"groups/{group}/users", json={"users": names})).raise_for_status()


def _after_a_pass(hub: Hub) -> None:
    """Wait until jupyterhub-credit-service has made a minute's pass over everybody who has signed in.

    It keeps what the pass has read until the next one, and so needs half the time for a decision from then on: a
    hub that has just started is not what it is compared by.
    """
    arrived, made = time.time(), hub.folder / PASSED
    while not made.exists() or made.stat().st_mtime < arrived + _PASS:
        time.sleep(0.2)
        assert time.time() < arrived + 3 * PATIENCE, "jupyterhub-credit-service makes no passes."


async def _round(side: _Side, people: list[str]) -> None:
    async with side.api() as api:
        for name in people:
            answer = await api.post(f"users/{name}/server")
            assert answer.status_code in (201, 202), answer.text
            await _settled(api, name, running=1)
            (await api.delete(f"users/{name}/server")).raise_for_status()
            await _settled(api, name, running=0)


async def _burst(side: _Side, *, watch: bool = False) -> dict[str, float]:
    asked = {"user": _crowd()} | ({"watch": ["yes"]} if watch else {})
    async with side.api() as api:
        answer = await api.get("bench/admissions", params=asked)
    found: dict[str, float] = json.loads(answer.raise_for_status().content)
    assert found["admitted"] == AT_ONCE
    return found


async def _ten(side: _Side) -> None:
    """Ask for ten servers of one person at once, and see how many run."""
    async with side.api() as api:
        names = [f"users/{_POOR}/servers/number-{number}" for number in range(10)]
        answers = await asyncio.gather(*(api.post(name) for name in names))
        assert {answer.status_code for answer in answers} <= {201, 202, 403, 422}, answers
        model = await _settled(api, _POOR, running=None)
    side.started = sum(server["ready"] for server in model["servers"].values())


async def _settled(api: httpx.AsyncClient, name: str, *, running: int | None) -> dict[str, Any]:
    """Return the hub's model of somebody once nothing is under way, and so many servers run."""
    while True:
        model: dict[str, Any] = (await api.get(f"users/{name}")).raise_for_status().json()
        servers = model["servers"].values()
        if not any(server["pending"] for server in servers) and running in (None, len(servers)):
            return model
        await asyncio.sleep(0.01)


def _crowd() -> list[str]:
    return [f"crowd-{number}" for number in range(AT_ONCE)]


def _read(side: _Side) -> None:
    for line in (side.hub.folder / DECISIONS).read_text().splitlines():
        took = json.loads(line)
        side.seconds.append(took["seconds"])
        side.cpu.append(took["cpu"])
