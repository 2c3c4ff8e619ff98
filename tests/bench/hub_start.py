"""How long a hub takes from its process's start until its API answers.

Both hubs have started once before, so that their databases are there and the programs are in the page cache; each
has its proxy running already.
"""

from __future__ import annotations

from statistics import median

from tests.bench.hubs import OURS, PLAIN, Hub, alternate
from tests.bench.rows import Row

RUNS = 7


def measure() -> list[Row]:
    """Restart our hub and a plain one in turn."""
    with Hub(OURS) as ours, Hub(PLAIN) as plain:
        for hub in (ours, plain):
            _restart(hub)
        mine, theirs = alternate(lambda: _restart(ours), lambda: _restart(plain), RUNS)
    return [
        Row(
            name="hub-start",
            value=median(mine),
            unit="s",
            against="plain JupyterHub",
            versus=median(theirs),
            goal="<= 1.2",
            runs=RUNS,
        )
    ]


def _restart(hub: Hub) -> float:
    seconds = hub.start()
    hub.stop()
    return seconds
