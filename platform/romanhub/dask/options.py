"""What a user may choose of a cluster, rendered from the entitlements on the accounts that they may draw on."""

from __future__ import annotations

from typing import Any

from dask_gateway_server.options import Integer, Options, Select, String

from romanhub.client.environment import OPTION, RESTART
from romanhub.dask.payers import Payers

GIB = 2**30

#: The option that says which account pays.
ACCOUNT = "account"


def cluster_options(payers: Payers, environment: str = "") -> Options:
    """The options of a cluster: who pays, and no more cores and memory a worker than that account's tier allows.

    The caps on the whole cluster are not options: the handler sets them from the tier, whatever was asked.
    Where the accounts' tiers have workers of different sizes, 0 stands for all that the chosen one gives.
    Where the identity of the workers' environment is given, a client of another one is refused.
    """
    tiers = {name: entitlement.offered.dask for name, entitlement in payers.entitlements.items()}

    def handler(options: Any) -> dict[str, Any]:
        if environment and options.environment != environment:
            raise ValueError(
                "Your server does not run the software environment that Dask workers run now: the platform "
                f"was upgraded after your server had started. {RESTART}."
            )
        dask = tiers[options.account]
        for name, asked, most in (
            ("worker_cores", options.worker_cores, dask.worker_cores),
            ("worker_memory_gib", options.worker_memory_gib, dask.worker_memory_gib),
        ):
            if asked > most:
                raise ValueError(f"{name} must be <= {most} on the account {options.account}, got {asked}")
        return {
            "worker_cores": options.worker_cores or dask.worker_cores,
            "worker_memory": (options.worker_memory_gib or dask.worker_memory_gib) * GIB,
            "cluster_max_workers": dask.workers,
            "idle_timeout": dask.idle_stop_minutes * 60,
        }

    return Options(
        Select(ACCOUNT, options=list(tiers), default=payers.default, label="Account that pays"),
        _number("worker_cores", [dask.worker_cores for dask in tiers.values()], "Cores of a worker"),
        _number(
            "worker_memory_gib", [dask.worker_memory_gib for dask in tiers.values()], "Memory of a worker (GiB)"
        ),
        String(OPTION, label="Identity of the notebook's environment; set by the platform"),
        handler=handler,
    )


def _number(name: str, allowed: list[int], label: str) -> Integer:
    if len(set(allowed)) == 1:
        return Integer(name, default=allowed[0], min=1, max=allowed[0], label=label)
    return Integer(
        name, default=0, min=0, max=max(allowed), label=f"{label}; 0: all that the account's tier gives"
    )
