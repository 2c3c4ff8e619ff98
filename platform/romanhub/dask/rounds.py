"""Looking again and again: the ledger's open leases beside what runs, and what has to stop."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import datetime, timedelta

from hubquota.models.clusters import cluster_of
from hubquota.models.kinds import CLUSTER
from hubquota.models.ledger import Lease

from romanhub.dask.admission import first_key
from romanhub.dask.enforcer import Enforcer
from romanhub.dask.facts import Engine
from romanhub.dask.payers import ENDED
from romanhub.dask.policy import Policy

log = logging.getLogger(__name__)

#: How often the ledger is compared with what runs, in seconds. After a crash of the gateway, a worker that
#: died meanwhile is charged to within this much.
PERIOD = 15.0

#: How long to gather starts and ends of workers before looking at what they change, in seconds.
GATHER = 1.0

#: How long after its admission a worker or a cluster that the engine knows nothing of may still be about to begin.
STARTING = timedelta(minutes=2)


class Rounds:
    """Has the policy look at an engine: from time to time, when something changed, and when something is due."""

    def __init__(self, policy: Policy, engine: Engine) -> None:
        self._policy = policy
        self._engine = engine
        self._changed = asyncio.Event()
        self.enforcer = Enforcer(policy, engine)

    def changed(self) -> None:
        """Say that a worker or a cluster has started or ended: when what pays for the others ends has changed."""
        self._changed.set()

    async def run(self) -> None:
        """Look until cancelled. A look that fails is logged, and the next one comes."""
        while True:
            due: datetime | None = None
            self._changed.clear()
            try:
                await self.compare()
                due = await self.enforcer.enforce()
            except asyncio.CancelledError:
                raise
            except Exception:
                log.warning("The workers could not be compared with the ledger", exc_info=True)
            pause = PERIOD
            if due is not None:
                pause = min(pause, max(1.0, (due - self._policy.now()).total_seconds()))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), pause)
                # A cluster's workers start and end together; one look is for all of them.
                await asyncio.sleep(GATHER)

    async def compare(self) -> None:
        """Note what runs; close the leases of what ended while nobody looked."""
        running = self._engine.running()
        for lease in await self._policy.seen(running):
            if lease.started_at is None and self._may_begin(lease):
                continue
            if lease.key in self._engine.running() or lease.key in self._engine.noting():
                # It has begun since the look before; or its end comes with the time of it.
                continue
            if lease.kind == CLUSTER:
                name = cluster_of(lease.key)
                await self._policy.cluster_ended(name, None, failed=True)
                await self._engine.stop_cluster(name, failed=True)
            else:
                order = self.enforcer.order(cluster_of(lease.key))
                await self._policy.ended(lease.id, None, ENDED if order is None else order.reason)

    def _may_begin(self, lease: Lease) -> bool:
        cluster = cluster_of(lease.key)
        expected = lease.key in self._engine.coming()
        waiting = lease.key == first_key(cluster) and any(one.name == cluster for one in self._engine.clusters())
        return expected or waiting or self._policy.now() - lease.admitted_at < STARTING
