"""Dask clusters: how long somebody waits for a first worker, and how fast the archive is read by several.

Everything runs in a person's notebook on a real platform, with the sample archive in its S3 server.
"""

from __future__ import annotations

import asyncio
from statistics import median
from typing import Any

from tests.bench.dask_platform import ask, notebook, plain_gateway
from tests.bench.rows import Row
from tests.support.person import Kernel

#: How many clusters of each gateway are counted.
RUNS = 5

#: Starts a cluster of one worker and returns the seconds until a task's result is back from it.
FIRST_WORKER = """
import json, time
from dask_gateway import GatewayCluster

def first_worker(make):
    started = time.perf_counter()
    cluster = make()
    client = cluster.get_client()
    assert client.submit(sum, [40, 2]).result(120) == 42
    seconds = time.perf_counter() - started
    client.close()
    cluster.shutdown()
    return seconds

def of_one(**where):
    cluster = GatewayCluster(**where)
    cluster.scale(1)
    return cluster
"""


def measure() -> list[Row]:
    """Measure on one platform."""
    return asyncio.run(_measure())


async def _measure() -> list[Row]:
    async with notebook() as (platform, kernel):
        await kernel.run(FIRST_WORKER)
        with plain_gateway(platform) as plain:
            return await _first_workers(kernel, plain)


async def _first_workers(kernel: Kernel, plain: dict[str, str]) -> list[Row]:
    """How long it takes from asking for a cluster of one until a task's result is back."""
    await kernel.run("import romanhub")
    ways = ("of_one", "lambda: romanhub.cluster(workers=1)", f"lambda: of_one(**{plain!r})")
    times: list[list[float]] = [[] for _ in ways]
    for run in range(RUNS + 1):
        for way, column in zip(ways, times, strict=True):
            seconds: Any = await ask(kernel, f"print(json.dumps(first_worker({way})))")
            # The first of each finds nothing in the page cache.
            if run:
                column.append(seconds)
    print(times)
    ours, as_people, theirs = (median(column) for column in times)
    return [
        Row(
            name="dask",
            value=ours,
            unit="s",
            against="plain Dask Gateway",
            versus=theirs,
            goal="<= 1",
            runs=RUNS,
        ),
        Row(
            name="dask: as people see it",
            value=as_people,
            unit="s",
            against="plain Dask Gateway",
            versus=theirs,
            runs=RUNS,
        ),
    ]
