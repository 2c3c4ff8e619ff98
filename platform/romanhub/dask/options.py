"""What a user may choose of a cluster, rendered from the tiers file."""

from __future__ import annotations

from typing import Any

from dask_gateway_server.options import Integer, Options
from hubquota.models.tiers import Tier

GIB = 2**30


def cluster_options(tier: Tier) -> Options:
    """The options of a cluster in the tier: no more cores and memory a worker than it allows.

    The caps on the whole cluster are not options: the handler sets them from the tier, whatever was asked.
    """
    dask = tier.dask

    def handler(options: Any) -> dict[str, Any]:
        return {
            "worker_cores": options.worker_cores,
            "worker_memory": options.worker_memory_gib * GIB,
            "cluster_max_workers": dask.workers,
            "idle_timeout": dask.idle_stop_minutes * 60,
        }

    return Options(
        Integer(
            "worker_cores",
            default=dask.worker_cores,
            min=1,
            max=dask.worker_cores,
            label="Cores of a worker",
        ),
        Integer(
            "worker_memory_gib",
            default=dask.worker_memory_gib,
            min=1,
            max=dask.worker_memory_gib,
            label="Memory of a worker (GiB)",
        ),
        handler=handler,
    )
