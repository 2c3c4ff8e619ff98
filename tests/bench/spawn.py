"""How long a person waits from the request for a server until it is ready: a real Lab, from the Roman environment.

Both hubs run at once and start a server in turn. JupyterHub looks whether a starting server answers after random
waits, so that two starts of the same server differ by a second or more, by luck. For the row `spawn` both hubs
look every 50 ms. The row `spawn: as people see it` has our hub as it is. The first start of each, which makes the
user and the home, is not counted.
"""

from __future__ import annotations

import time
from statistics import median

from tests.bench.hubs import CONFIGS, OURS, ROOT, Hub, alternate
from tests.bench.rows import Row
from tests.support.person import Person

#: How many starts of each kind are counted.
RUNS = 8

#: The seconds between two looks at a starting server, on both sides.
LOOK = "0.05"


def measure() -> list[Row]:
    """Start servers on our hub and on a plain one in turn, then on our hub as it is."""
    variables = {"BENCH_LOOK": LOOK, "PYTHONPATH": str(ROOT)}
    with (
        Hub(CONFIGS / "ours_spawn.py", variables) as ours,
        Hub(CONFIGS / "plain_spawn.py", variables) as plain,
    ):
        me, them = _arrive(ours), _arrive(plain)
        mine, theirs = alternate(lambda: _start(me), lambda: _start(them), RUNS)
    with Hub(OURS) as hub:
        me = _arrive(hub)
        seen = [_start(me) for _ in range(RUNS)]
    return [
        Row(
            name="spawn",
            value=median(mine),
            unit="s",
            against="plain JupyterHub",
            versus=median(theirs),
            goal="<= 1.05",
            runs=RUNS,
        ),
        Row(name="spawn: as people see it", value=median(seen), unit="s", runs=RUNS),
    ]


def _arrive(hub: Hub) -> Person:
    """Start the hub, sign somebody in, and start their server once."""
    hub.start()
    person = Person(hub.url, "ada")
    page = person.sign_in()
    assert page.is_success, f"{page.url}: {page.text}"
    _start(person)
    return person


def _start(person: Person) -> float:
    started = time.perf_counter()
    answer = person.start_server()
    seconds = time.perf_counter() - started
    assert answer.is_success, answer.text
    person.stop_server()
    return seconds
