"""What a user may choose of a cluster, rendered from the entitlements on the accounts that they may draw on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from dask_gateway_server.options import Integer, Options, Select, String

from romanhub.client.environment import OPTION, RESTART
from romanhub.dask.payers import Payers

GIB = 2**30

#: The option that says which account pays.
ACCOUNT = "account"

#: The option that says in which region the data is that the cluster is for.
REGION = "region"


#: What becomes of a cluster whose data is in another region than clusters: refused, or its owner is warned.
WhereNot = Literal["refuse", "warn"]


@dataclass(frozen=True)
class Place:
    """Where clusters run, and what becomes of one whose data is elsewhere."""

    #: The region that the platform's machines are in; empty where nobody says.
    region: str = ""
    where_not: WhereNot = "refuse"
    #: Other regions in which there are machines for clusters, too.
    also: frozenset[str] = frozenset()

    def elsewhere(self, region: str) -> str:
        """Return a sentence that says that data is in another region than clusters; empty where it is not."""
        if not region or not self.region or region == self.region or region in self.also:
            return ""
        return (
            f"The data is in the region {region}, and clusters of this platform run in {self.region}: what they "
            "read would cross regions, slowly and at a price."
        )

    def check(self, region: str) -> None:
        """Refuse a cluster whose data is in another region, where that is the rule.

        Raises
        ------
        ValueError
            With both regions.
        """
        if self.where_not == "refuse" and (sentence := self.elsewhere(region)):
            raise ValueError(f"{sentence} Work on data in {self.region}, or leave the option region out.")


def cluster_options(payers: Payers, place: Place | None = None, environment: str = "") -> Options:
    """The options of a cluster: who pays, what a worker has within that account's tier, and where the data is.

    Caps on the whole cluster are not options: they follow from the ledger, and may change while it runs.
    Where the accounts' tiers have workers of different sizes, 0 stands for all that the chosen one gives.
    Where the identity of the workers' environment is given, a client of another one is refused.
    """
    where = place or Place()
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
            ("worker_memory", options.worker_memory, dask.worker_memory_gib),
        ):
            if asked > most:
                raise ValueError(f"{name} must be <= {most} on the account {options.account}, got {asked}")
        where.check(options.region)
        return {
            "worker_cores": options.worker_cores or dask.worker_cores,
            "worker_memory": (options.worker_memory or dask.worker_memory_gib) * GIB,
            # Idleness is the gateway's own affair: it warns before, and says why after.
            "idle_timeout": 0,
        }

    return Options(
        Select(ACCOUNT, options=list(tiers), default=payers.default, label="Account that pays"),
        _number("worker_cores", [dask.worker_cores for dask in tiers.values()], "Cores of a worker"),
        _number("worker_memory", [dask.worker_memory_gib for dask in tiers.values()], "Memory of a worker (GiB)"),
        String(REGION, default=where.region, label="Region of the data"),
        String(OPTION, label="Identity of the notebook's environment; set by the platform"),
        handler=handler,
    )


def _number(name: str, allowed: list[int], label: str) -> Integer:
    if len(set(allowed)) == 1:
        return Integer(name, default=allowed[0], min=1, max=allowed[0], label=label)
    return Integer(
        name, default=0, min=0, max=max(allowed), label=f"{label}; 0: all that the account's tier gives"
    )
