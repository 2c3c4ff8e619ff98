"""How many people a second sign in and start a server, and what one sign-in costs.

The first row is about the hub: each person asks for every page that a browser would, from the sign-in form over
the choice of a size to the server's own page, through the proxy, on databases on a real disk. The servers are
stand-ins that cost nothing, and anybody may sign in with any password, on both sides alike. Our side does more (it
renders the form from the account, opens the account, and asks the ledger) and writes its databases ahead.

The other rows are about our own sign-in with local accounts, whose hash is made to be slow (bcrypt, 12 rounds):
how long one sign-in takes, and how long the hub keeps somebody else waiting meanwhile, compared with a sign-in
without a hash on the same hub.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import httpx

from tests.bench.hubs import CONFIGS, OURS, PATIENCE, ROOT, Hub, alternate
from tests.bench.rows import Row
from tests.support.person import Person

#: People in all on each side, in so many rounds, and how many of them are at it at once.
PEOPLE, ROUNDS, AT_ONCE = 200, 4, 4

#: How many times one person signs in for the other rows.
SIGN_INS = 9

#: Never used, as nothing here is encrypted; one made for each person would cost as much as all their requests.
_TLS = ssl.create_default_context()


def measure() -> list[Row]:
    """Measure the crowd, then one person."""
    variables = {"PYTHONPATH": str(ROOT)}
    with (
        Hub(CONFIGS / "ours_sign_ins.py", variables) as ours,
        Hub(CONFIGS / "plain_sign_ins.py", variables) as plain,
        Hub(OURS) as whole,
    ):
        for hub in (ours, plain):
            hub.start()
        rows = [_crowd(ours, plain)]
        plain.stop()
        whole.start()
        return rows + _one(whole, ours)


def _crowd(ours: Hub, plain: Hub) -> Row:
    numbers = iter(range(PEOPLE * 4))

    def a_round(hub: Hub, people: int = PEOPLE // ROUNDS) -> float:
        names = [f"person-{next(numbers)}" for _ in range(people)]
        started = time.perf_counter()
        asyncio.run(_everybody(hub.url, names))
        return people / (time.perf_counter() - started)

    for hub in (ours, plain):
        a_round(hub, AT_ONCE)
    mine, theirs = alternate(lambda: a_round(ours), lambda: a_round(plain), ROUNDS)
    return Row(
        name="sign-ins",
        value=median(mine),
        unit="a second",
        against="plain JupyterHub",
        versus=median(theirs),
        goal=">= 2",
        runs=ROUNDS,
    )


async def _everybody(url: str, names: list[str]) -> None:
    left = iter(names)

    async def some() -> None:
        for name in left:
            await _browse(url, name)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(some())


async def _browse(url: str, name: str) -> None:
    """From the sign-in form to the server's own page, as a browser goes."""
    async with httpx.AsyncClient(
        base_url=url, follow_redirects=True, timeout=PATIENCE, trust_env=False, verify=_TLS
    ) as web:

        def form(**fields: str) -> dict[str, str]:
            return {**fields, "_xsrf": web.cookies.get("_xsrf", path="/hub/") or ""}

        await web.get("/hub/login")
        choice = await web.post("/hub/login", data=form(username=name, password="a long password"))
        assert choice.url.path == "/hub/spawn", f"{choice.url}: {choice.text}"
        page = await web.post("/hub/spawn", data=form(size="small"))
        assert page.is_success, page.text
        if page.url.path.startswith("/hub/spawn-pending/"):
            await _ready(web, name)
            page = await web.get(f"/user/{name}/")
        assert page.text == "ready", f"{page.url}: {page.text}"


async def _ready(web: httpx.AsyncClient, name: str) -> None:
    headers = {
        "Referer": f"{web.base_url}/hub/spawn-pending/{name}",
        "X-XSRFToken": web.cookies.get("_xsrf", path="/hub/") or "",
    }
    async with web.stream("GET", f"/hub/api/users/{name}/server/progress", headers=headers) as events:
        async for line in events.aiter_lines():
            if line.startswith("data:"):
                event = json.loads(line.removeprefix("data:"))
                assert not event.get("failed"), event
                if event.get("ready"):
                    return
    raise AssertionError(f"{name}'s server never became ready")


def _one(whole: Hub, cheap: Hub) -> list[Row]:
    for hub in (whole, cheap):
        _sign_in(hub)  # The first one chooses the password.
    mine, theirs = alternate(lambda: _sign_in(whole), lambda: _sign_in(cheap), SIGN_INS)
    against = "the same hub without a hash"
    names = ("sign-ins: one, with a password", "sign-ins: somebody else's wait")
    return [
        Row(
            name=name,
            value=1000 * median(figures[which] for figures in mine),
            unit="ms",
            against=against,
            versus=1000 * median(figures[which] for figures in theirs),
            runs=SIGN_INS,
        )
        for which, name in enumerate(names)
    ]


def _sign_in(hub: Hub) -> tuple[float, float]:
    """One person's sign-in, and the longest that somebody else waited for an answer meanwhile, in seconds."""
    person = Person(hub.url, "grace")
    with _somebody_else(f"{hub.settings.hub_api}/") as waits:
        started = time.perf_counter()
        answer = person.sign_in()
        seconds = time.perf_counter() - started
    assert answer.is_success and answer.url.path == "/hub/spawn", f"{answer.url}: {answer.text}"
    return seconds, max(waits)


@contextmanager
def _somebody_else(address: str) -> Iterator[list[float]]:
    """Somebody who asks the hub for something small again and again; what is yielded fills with their waits."""
    waits: list[float] = []
    asked, done = threading.Event(), threading.Event()

    def ask() -> None:
        with httpx.Client(trust_env=False, timeout=PATIENCE) as client:
            while not done.wait(0.005):
                started = time.perf_counter()
                client.get(address).raise_for_status()
                waits.append(time.perf_counter() - started)
                asked.set()

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        # Making the first connection is not what is measured.
        assert asked.wait(PATIENCE)
        waits.clear()
        yield waits
    finally:
        done.set()
        thread.join()
