"""Dask clusters: how long the first worker takes, and the policy, and how fast several workers read the archive.

But for the policy's decisions everything runs in a person's notebook on a real platform, with the sample archive
in its S3 server.
"""

from __future__ import annotations

import asyncio
from statistics import median
from typing import Any

from tests.bench import dask_policy
from tests.bench.dask_platform import ask, notebook, plain_gateway
from tests.bench.rows import Row
from tests.support.person import Kernel

#: How many clusters of each gateway are counted.
RUNS = 5

#: Starts a cluster of one worker and returns the seconds until a task's result is back from it.
FIRST_WORKER = """
import json, time
import dask
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
    # A plain gateway knows none of the options that the platform sets for its own.
    with dask.config.set({"gateway.cluster.options": {}} if where else {}):
        cluster = GatewayCluster(**where)
    cluster.scale(1)
    return cluster
"""

#: How many workers read the archive, how often each number of them does, and how often each image is read then:
#: the sample has nine of the second level.
WORKERS, READINGS, TIMES = (1, 2, 4), 3, 4

#: Reduces all images of the second level to the mean of their good pixels, by some workers or in this process.
REDUCE = """
import json, time, romanhub
archive = romanhub.archive
names = [one.name for one in archive.exposures(level=2)] * TIMES

def reduce(name, archive):
    with archive.open(name) as model:
        good = model.data[model.dq == 0]
        return len(good), float(good.sum(dtype="float64"))

def mean(parts):
    return sum(total for _, total in parts) / sum(number for number, _ in parts)

def alone():
    started = time.perf_counter()
    found = mean([reduce(name, archive) for name in names])
    return len(names) / (time.perf_counter() - started), found

def together(number):
    where = addresses[:number]
    started = time.perf_counter()
    found = mean(client.gather(client.map(reduce, names, archive=archive, workers=where, pure=False)))
    return len(names) / (time.perf_counter() - started), found
"""


def measure() -> list[Row]:
    """Measure the waits and the reading on one platform, and the policy beside a ledger with a long past."""
    return [*asyncio.run(_measure()), *dask_policy.measure()]


async def _measure() -> list[Row]:
    async with notebook() as (platform, kernel):
        await kernel.run(FIRST_WORKER)
        with plain_gateway(platform) as plain:
            waits = await _first_workers(kernel, plain)
        return [*waits, *await _reduction(kernel)]


async def _reduction(kernel: Kernel) -> list[Row]:
    """How many images a second some workers reduce, and one process."""
    await ask(
        kernel,
        f"TIMES = {TIMES}\n{REDUCE}\ncluster = romanhub.cluster(workers={max(WORKERS)})\n"
        f"client = cluster.get_client()\nclient.wait_for_workers({max(WORKERS)}, timeout=120)\n"
        "addresses = list(client.scheduler_info(n_workers=-1)['workers'])\n"
        # Whoever reads first imports what it takes.
        f"alone(); together({max(WORKERS)})\nprint(json.dumps(None))",
    )
    ways = ("alone()", *(f"together({number})" for number in WORKERS))
    rates: list[list[float]] = [[] for _ in ways]
    means = []
    for _ in range(READINGS):
        for way, column in zip(ways, rates, strict=True):
            rate, found = await ask(kernel, f"print(json.dumps({way}))")
            column.append(rate)
            means.append(found)
    assert max(means) - min(means) <= 1e-9 * abs(means[0]), means
    await ask(kernel, "client.close(); cluster.shutdown(); print(json.dumps(None))")
    one, *several = (median(column) for column in rates)
    return [
        Row(
            name=f"dask: the archive by {number} worker{'' if number == 1 else 's'}",
            value=rate,
            unit="images a second",
            against="one process without Dask",
            versus=one,
            runs=READINGS,
        )
        for number, rate in zip(WORKERS, several, strict=True)
    ]


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
    ours, as_people, theirs = (median(column) for column in times)
    return [
        Row(
            name="dask",
            value=ours,
            unit="s",
            against="plain Dask Gateway",
            versus=theirs,
            goal="<= 1.1",
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
