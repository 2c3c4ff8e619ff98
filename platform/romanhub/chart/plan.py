"""A plan on paper for many people: nodes from the tiers file, and the ledger's work from measured figures."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

from hubquota.models.tiers import Tiers
from hubquota.services.book import SLICE_SECONDS

from romanhub.chart.nodes import fitting, machines
from romanhub.chart.values import NodePool
from romanhub.local.environments import SetupError

#: The rows of docs/benchmarks.md that the plan goes by.
HUB_CPU, YEAR, SWEEP = (
    "admission: the hub's CPU in one of 100 at once",
    "year: 10,000 accounts, 170,000 decisions",
    "sweep: 100,000 allocations that ended",
)

#: What seconds are called in them.
_SECONDS = {"µs": 1e-6, "ms": 1e-3, "s": 1.0, "s of CPU": 1.0}


def measured(page: Path, row: str) -> float:
    """The figure of a row of the benchmarks, in seconds.

    Raises
    ------
    SetupError
        The page has no such row, or it is not a time.
    """
    found = re.search(rf"^\| {re.escape(row)} \| ([\d.,]+) ([^|]+?) \|", page.read_text(), re.MULTILINE)
    if found is None or found[2] not in _SECONDS:
        raise SetupError(f"{page} has no time for {row}: make bench measures it.")
    return float(found[1].replace(",", "")) * _SECONDS[found[2]]


def table(tiers: Tiers, nodes: Mapping[str, NodePool], active: int, page: Path) -> str:
    """A Markdown table for so many people who are active at once, each with one server of one size.

    It says only what the tiers file, the nodes and the measured figures say.

    Parameters
    ----------
    tiers
        Which sizes there are.
    nodes
        The kinds of node.
    active
        How many servers run at once.
    page
        The benchmarks, as Markdown.
    """
    lines = ["| What | For so many | How it follows |", "| --- | --- | --- |"]
    for machine in machines(tiers):
        best = max(((fitting(machine, pool), name) for name, pool in nodes.items()), default=(0, ""))
        if machine.purpose == "user" and best[0]:
            count = math.ceil(active / best[0])
            lines.append(
                f"| nodes, if all have a {machine.title} | {count} of `{best[1]}` | {best[0]} fit on one |"
            )
    cpu, year, sweep = (measured(page, row) for row in (HUB_CPU, YEAR, SWEEP))
    lines += [
        f"| the hub's CPU for the ledger, if all start within a minute | {active * cpu:.2f} s of 60 | "
        f"{cpu * 1e6:.1f} µs each, measured |",
        f"| transactions of the ledger that hold | {active / SLICE_SECONDS:.2f} a second | one an hour for each |",
        f"| the ledger's CPU for a year of 10,000 accounts | {year:.1f} s | measured on SQLite |",
        f"| the sweep after 100,000 allocations ended on one day | {sweep:.1f} s of CPU | measured on SQLite |",
    ]
    return "\n".join(lines) + "\n"
