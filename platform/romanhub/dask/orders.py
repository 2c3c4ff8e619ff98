"""Which workers have to stop, and why: by the balance, the caps, the limits and what was announced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from hubquota.models.clusters import cluster_of
from hubquota.models.kinds import WORKER
from hubquota.models.ledger import Lease, Refused
from hubquota.models.stops import EndKind, Stop, due_stop
from hubquota.models.tiers import Dask, Tiers
from hubquota.models.words import number_text
from hubquota.services.ledger import Ledger

from romanhub.dask.facts import ClusterFacts, WorkerSize


@dataclass(frozen=True)
class Order:
    """A cluster may have no more than so many workers."""

    cluster: str
    allowed: int
    reason: str
    #: Whether the cluster ends once its workers have.
    final: bool
    #: The same as the reason for programs, where the cluster ends.
    kind: EndKind | None = None


@dataclass(frozen=True)
class Orders:
    """What has to stop now, and when to look again at the latest."""

    clusters: dict[str, Order] = field(default_factory=dict)
    #: Keys of leases whose stop somebody else announced.
    named: frozenset[str] = frozenset()
    #: The clusters that have workers with an open lease.
    working: frozenset[str] = frozenset()
    #: When the next cluster has to begin to stop if all goes on as it does; None for never.
    next_at: datetime | None = None


def orders_for(
    ledger: Ledger,
    tiers: Tiers,
    clusters: Sequence[ClusterFacts],
    stops: Mapping[str, Sequence[Stop]],
    now: datetime,
) -> Orders:
    """What has to stop.

    Parameters
    ----------
    ledger
        The ledger.
    tiers
        What the tiers file says.
    clusters
        The clusters that run, the oldest first.
    stops
        By the name of each, the stops that are to come for it.
    now
        The time.
    """
    names = {cluster.name for cluster in clusters}
    uses = {use.name: use for use in ledger.clusters() if use.name in names}
    workers = [lease for lease in ledger.open_leases(WORKER) if cluster_of(lease.key) in names]
    found: dict[str, Order] = {}
    for cluster in clusters:
        use, due = uses.get(cluster.name), due_stop(stops.get(cluster.name, ()), now)
        told = None if use is None else use.instruction
        if told is not None and told.most is None:
            found[cluster.name] = Order(cluster.name, 0, told.text, final=True, kind="admin")
        elif due is not None:
            found[cluster.name] = Order(cluster.name, 0, due.reason, final=True, kind=due.kind)
    found |= _too_many(ledger, tiers, [cluster for cluster in clusters if cluster.name not in found])
    going_on = [lease for lease in workers if cluster_of(lease.key) not in found]
    limits = {
        name: (use.instruction.most, use.instruction.text)
        for name, use in uses.items()
        if use.instruction is not None and use.instruction.most is not None
    }
    sizes = {cluster.name: cluster.size for cluster in clusters}
    surplus = _surplus(ledger, tiers, going_on, sizes, limits)
    number = Counter(cluster_of(lease.key) for lease in going_on)
    for name, reasons in surplus.items():
        found[name] = Order(name, number[name] - len(reasons), reasons[0], final=False)
    named = frozenset(lease.key for lease in going_on if lease.reason is not None)
    working = frozenset(cluster_of(lease.key) for lease in workers)
    ahead = [stop.at for name in names - set(found) for stop in stops.get(name, ()) if stop.at > now]
    return Orders(found, named, working, min(ahead, default=None))


def _too_many(ledger: Ledger, tiers: Tiers, clusters: Sequence[ClusterFacts]) -> dict[str, Order]:
    """Return orders for the newest clusters of accounts that may have fewer by now."""
    found: dict[str, Order] = {}
    going_on: Counter[str] = Counter()
    for cluster in clusters:
        dask = _dask(ledger, tiers, cluster.account, cluster.owner)
        if dask is None or going_on[cluster.account] < dask.clusters:
            going_on[cluster.account] += 1
            continue
        most = number_text(dask.clusters, "Dask cluster")
        reason = f"The limit of {cluster.account} is {most} at once now."
        found[cluster.name] = Order(cluster.name, 0, reason, final=True, kind="admin")
    return found


def _surplus(
    ledger: Ledger,
    tiers: Tiers,
    workers: Sequence[Lease],
    sizes: Mapping[str, WorkerSize],
    limits: Mapping[str, tuple[int, str]],
) -> dict[str, list[str]]:
    """By cluster, why workers are more than the limits allow now: one reason for each, the newest ones."""
    found: dict[str, list[str]] = {}
    for account in sorted({lease.account for lease in workers}):
        mine = sorted((lease for lease in workers if lease.account == account), key=lambda one: one.id)
        entitled = {person: _dask(ledger, tiers, account, person) for person in {one.person for one in mine}}
        capped = {
            use.member: use.cap.workers
            for use in (ledger.member_use(account) if any(one.person != account for one in mine) else ())
            if use.cap is not None and use.cap.workers is not None
        }
        # The oldest first: those that there is no room for beside them are the newest ones.
        by_cluster: Counter[str] = Counter()
        by_person: Counter[str] = Counter()
        cores = memory = 0
        for lease in mine:
            name, dask = cluster_of(lease.key), entitled[lease.person]
            size = sizes[name]
            reason = ""
            if name in limits and by_cluster[name] >= limits[name][0]:
                reason = limits[name][1]
            elif lease.person in capped and by_person[lease.person] >= capped[lease.person]:
                most = number_text(capped[lease.person], "worker")
                reason = f"{lease.person}'s cap on the project {account} is {most} at once now."
            elif dask is not None:
                reason = _beyond(account, dask, by_person.total(), cores + size.cores, memory + size.memory_gib)
            if reason:
                found.setdefault(name, []).append(reason)
                continue
            by_cluster[name] += 1
            by_person[lease.person] += 1
            cores, memory = cores + size.cores, memory + size.memory_gib
    return found


def _beyond(account: str, dask: Dask, workers: int, cores: int, memory_gib: int) -> str:
    """Return why one worker more than there are is too many, or nothing if it is not."""
    limit = f"The limit of {account} is"
    if workers >= dask.workers:
        return f"{limit} {number_text(dask.workers, 'worker')} at once now."
    if cores > dask.most_cores:
        return f"{limit} {number_text(dask.most_cores, 'core')} in all workers together now."
    if memory_gib > dask.most_memory_gib:
        return f"{limit} {dask.most_memory_gib} GB of memory in all workers together now."
    return ""


def _dask(ledger: Ledger, tiers: Tiers, account: str, person: str) -> Dask | None:
    """What an account may run by a person's entitlement; None where the file no longer says."""
    try:
        return ledger.entitlement(tiers, account, person).tier.dask
    except Refused:
        return None
