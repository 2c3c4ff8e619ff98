"""How long a person waits from the request for a server until it is ready: a real Lab, from the Roman environment.

All hubs run at once and start a server in turn. JupyterHub itself looks whether a starting server answers after
random waits, so that two starts of the same server differ by a second or more, by luck. For the row `spawn` the
plain hub looks every 50 ms, so that the row compares what the hubs do and not how often they look. The row
`spawn: as people see it` has the plain hub as it is. The first start of each, which makes the user and the home,
is not counted.
"""

from __future__ import annotations

import time
from statistics import median

from tests.bench.hubs import CONFIGS, OURS, ROOT, Hub
from tests.bench.rows import Row
from tests.support.person import Person

#: How many starts of each hub are counted.
RUNS = 9

#: The seconds between two looks at a starting server on the plain hub, for the first row.
LOOK = "0.05"


def measure() -> list[Row]:
    """Start servers on our hub, on a plain one with steady looks and on a plain one as it is, in turn."""
    variables = {"PYTHONPATH": str(ROOT)}
    with (
        Hub(OURS) as ours,
        Hub(CONFIGS / "plain_spawn.py", variables | {"BENCH_LOOK": LOOK}) as steady,
        Hub(CONFIGS / "plain_spawn.py", variables) as plain,
    ):
        people = [_arrive(hub) for hub in (ours, steady, plain)]
        times = [[_start(person) for person in people] for _ in range(RUNS)]
    mine, theirs, as_it_is = (median(column) for column in zip(*times, strict=True))
    return [
        Row(
            name="spawn",
            value=mine,
            unit="s",
            against="plain JupyterHub, looking as often",
            versus=theirs,
            goal="<= 1.05",
            runs=RUNS,
        ),
        Row(
            name="spawn: as people see it",
            value=mine,
            unit="s",
            against="plain JupyterHub",
            versus=as_it_is,
            runs=RUNS,
        ),
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
