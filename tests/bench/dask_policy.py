"""What the policy takes to decide a change of a cluster's scale.

The very `Policy` that a gateway has, in this process: on an event loop, asking the ledger in a thread as it does
there, with a ledger on disk that has a long past. A change is what it is in the gateway: the owner's request and
the scheduler's heartbeat each ask how many workers are allowed, and then the workers are admitted as one batch.
What a change takes beside it in the gateway is Dask Gateway's own work and the start of processes.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from statistics import median

from hubquota.services.ledger import Ledger
from hubquota.services.tiersfile import TiersFile
from hubquota.storage.engine import make_engine
from romanhub.dask.facts import ClusterFacts, WorkerSize
from romanhub.dask.policy import Policy

from tests.bench import history
from tests.bench.hubs import ROOT
from tests.bench.rows import Row

#: How many accounts and lines of the journal there are, and how many clusters of other people run.
ACCOUNTS, LINES, OTHERS = 10_000, 200_000, 50

#: How many changes are counted.
CHANGES = 300

#: The goal, in milliseconds.
GOAL = 10.0

TIERS = ROOT / "hub_config" / "tiers.yaml"


def measure() -> list[Row]:
    """Measure a change from no worker to as many as the first tier allows."""
    with tempfile.TemporaryDirectory(prefix="romanhub-bench-", dir="/var/tmp") as folder:
        engine = make_engine(history.make(Path(folder) / "ledger.sqlite", accounts=ACCOUNTS, entries=LINES))
        seconds, workers = asyncio.run(_changes(Ledger(engine)))
        engine.dispose()
    return [
        Row(
            name=f"dask: the policy in a change of scale by {workers}",
            value=1e3 * median(seconds),
            unit="ms",
            against="the goal",
            versus=GOAL,
            goal="<= 1",
            runs=CHANGES,
        )
    ]


async def _changes(ledger: Ledger) -> tuple[list[float], int]:
    """How long each change took, in seconds, and by how many workers it was."""
    tiers = TiersFile(TIERS)
    dask = tiers.current().tiers["explorer"].dask
    size = WorkerSize(dask.worker_cores, dask.worker_memory_gib)
    sizes: dict[str, WorkerSize] = {}
    policy = Policy(ledger, tiers, lambda: sizes)
    numbers = itertools.count()
    people = (f"user-{number:06}" for number in Random(1).sample(range(1, ACCOUNTS + 1), ACCOUNTS))

    async def cluster() -> ClusterFacts:
        name = next(people)
        made = ClusterFacts(f"cluster-{next(numbers)}", name, name, size)
        sizes[made.name] = size
        await policy.admit_cluster(made)
        await policy.cluster_began(made.name, datetime.now(UTC))
        return made

    for _ in range(OTHERS):
        other = await cluster()
        for lease in await policy.admit_workers(other, dask.workers, ()):
            await policy.began(lease.id, datetime.now(UTC))
    seconds: list[float] = []
    while len(seconds) < CHANGES:
        mine = await cluster()
        started = time.perf_counter()
        asked = (await policy.allowed(mine)).most
        allowed = min(dask.workers, asked, (await policy.allowed(mine)).most)
        leases = await policy.admit_workers(mine, allowed, ())
        seconds.append(time.perf_counter() - started)
        assert len(leases) == dask.workers, leases
        for lease in leases:
            ledger.cancel(lease.id, "The benchmark is over.")
        await policy.cluster_ended(mine.name, datetime.now(UTC), failed=False)
    return seconds, dask.workers
