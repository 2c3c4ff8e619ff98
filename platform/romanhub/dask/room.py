"""How many more workers would be admitted now, and what stands in the way of more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from hubquota.models.admissions import MINIMUM_SECONDS
from hubquota.models.clusters import cluster_of
from hubquota.models.kinds import WORKER
from hubquota.models.ledger import Lease, Limit, Refused
from hubquota.models.money import format_credits
from hubquota.models.tiers import Dask, Tiers
from hubquota.models.words import duration_text, number_text
from hubquota.models.workers import worker_rate
from hubquota.services.book import START_LIMIT
from hubquota.services.ledger import Ledger

from romanhub.dask.facts import ClusterFacts, WorkerSize


@dataclass(frozen=True)
class Room:
    """How many more workers would be admitted, and the limit or the balance that allows no more."""

    fits: int
    limit: Limit
    #: A sentence that names it.
    text: str
    #: How many workers of the account are open already.
    taken: int = 0


@dataclass(frozen=True)
class Allowed:
    """How many workers a cluster may have in all, and what allows no more."""

    most: int
    limit: Limit
    text: str


def room_for(
    ledger: Ledger, tiers: Tiers, cluster: ClusterFacts, sizes: Mapping[str, WorkerSize], now: datetime
) -> Room:
    """Return how many more workers of a cluster's size would be admitted. It reads; an admission decides.

    Args:
        ledger: the ledger.
        tiers: what the tiers file says.
        cluster: the cluster, which need not have started.
        sizes: the sizes of the workers of all clusters, by name.
        now: the time.
    """
    account, owner, size = cluster.account, cluster.owner, cluster.size
    try:
        entitlement = ledger.entitlement(tiers, account, owner)
        entitlement.check()
    except Refused as refused:
        return Room(0, refused.limit, refused.message)
    if account != owner and all(row.account.name != account for row in ledger.drawable(owner)):
        return Room(0, "account", f"{owner} is not a member of the project {account}.")
    dask, rate = entitlement.tier.dask, rate_for(tiers, entitlement.tier.dask, size, now)
    taken = open_workers(ledger, account, now)
    whose = f"The tier of {account}, {entitlement.tier.title},"
    found = [_by_count(whose, dask, len(taken)), *_by_size(whose, dask, size, taken, sizes)]
    told = ledger.instruction(cluster.name)
    if told is not None and told.most is not None:
        own = sum(cluster_of(lease.key) == cluster.name for lease in taken)
        found.append(Room(told.most - own, "cap", told.text))
    if account != owner:
        found += _by_caps(ledger, account, owner, rate, sum(lease.person == owner for lease in taken))
    if rate:
        needed, available = rate * MINIMUM_SECONDS, ledger.balance(account).available
        text = (
            f"The balance of {account} is {format_credits(available)} credits, and a worker's first "
            f"{duration_text(MINIMUM_SECONDS)} cost {format_credits(needed, rounding='up')}."
        )
        found.append(Room(available // needed, "budget", text))
    least = min(found, key=lambda room: room.fits)
    return Room(max(0, least.fits), least.limit, least.text, len(taken))


def ceiling_for(ledger: Ledger, tiers: Tiers, cluster: ClusterFacts) -> Allowed:
    """Return how many workers a cluster may ever have by its limits, whatever its account has left.

    Raises:
        Refused: nothing can start on the account.
    """
    entitlement = ledger.entitlement(tiers, cluster.account, cluster.owner)
    entitlement.check()
    whose = f"The tier of {cluster.account}, {entitlement.tier.title},"
    found = [_by_count(whose, entitlement.tier.dask, 0)]
    found += _by_size(whose, entitlement.tier.dask, cluster.size, [], {})
    told = ledger.instruction(cluster.name)
    if told is not None and told.most is not None:
        found.append(Room(told.most, "cap", told.text))
    if cluster.account != cluster.owner:
        found += [room for room in _by_caps(ledger, cluster.account, cluster.owner, 0, 0) if room.limit == "cap"]
    least = min(found, key=lambda room: room.fits)
    return Allowed(max(0, least.fits), least.limit, least.text)


def rate_for(tiers: Tiers, dask: Dask, size: WorkerSize, now: datetime) -> int:
    """Return what a worker of a size costs, in units a second."""
    return worker_rate(tiers, dask, size.cores, size.memory_gib, now.date())


def open_workers(ledger: Ledger, account: str, now: datetime) -> list[Lease]:
    """Return an account's workers that run or may still begin, as an admission counts them."""
    waiting = now - timedelta(seconds=START_LIMIT)
    return [
        lease
        for lease in ledger.open_leases(WORKER, account=account)
        if lease.started_at is not None or lease.admitted_at > waiting
    ]


def _by_count(whose: str, dask: Dask, taken: int) -> Room:
    text = f"{whose} allows {number_text(dask.workers, 'worker')} at once{_of_them(taken)}."
    return Room(dask.workers - taken, "count", text)


def _by_size(
    whose: str, dask: Dask, size: WorkerSize, taken: list[Lease], sizes: Mapping[str, WorkerSize]
) -> list[Room]:
    """Return what all workers may have together; the tier's own size stands for one that nobody knows any more."""
    own = WorkerSize(dask.worker_cores, dask.worker_memory_gib)
    found = [sizes.get(cluster_of(lease.key), own) for lease in taken]
    cores, memory = sum(one.cores for one in found), sum(one.memory_gib for one in found)
    return [
        Room(
            (dask.most_cores - cores) // size.cores,
            "count",
            f"{whose} allows {number_text(dask.most_cores, 'core')} in all workers together{_of_them(cores)}.",
        ),
        Room(
            (dask.most_memory_gib - memory) // size.memory_gib,
            "count",
            f"{whose} allows {dask.most_memory_gib} GB of memory in all workers together{_of_them(memory)}.",
        ),
    ]


def _of_them(taken: int) -> str:
    return f", of which {taken} {'is' if taken == 1 else 'are'} taken" if taken else ""


def _by_caps(ledger: Ledger, project: str, member: str, rate: int, running: int) -> list[Room]:
    """Return what a member's cap on a project leaves them."""
    use = next((one for one in ledger.member_use(project) if one.member == member), None)
    if use is None or use.cap is None:
        return []
    more = "A PI of the project or an administrator can raise it."
    found = []
    if use.cap.workers is not None:
        most = number_text(use.cap.workers, "worker")
        text = f"Your cap on {project} is {most} at once{_of_them(running)}. {more}"
        found.append(Room(use.cap.workers - running, "cap", text))
    if use.left is not None and rate:
        text = f"Your cap on {project} leaves {format_credits(max(0, use.left))} credits. {more}"
        found.append(Room(use.left // (rate * MINIMUM_SECONDS), "cap", text))
    return found
