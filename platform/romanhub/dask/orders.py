"""Which workers have to stop, and why: by the balance, the caps, the limits and what was announced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hubquota.models.kinds import WORKER
from hubquota.models.ledger import Lease, Refused
from hubquota.models.tiers import Tiers
from hubquota.models.words import number_text
from hubquota.services.ledger import Ledger

#: How long before nothing pays any more a cluster's workers begin to stop, so that they can finish what they
#: are at and hand on what they hold.
LEAD = timedelta(seconds=30)


@dataclass(frozen=True)
class Order:
    """A cluster may have no more than so many workers."""

    cluster: str
    allowed: int
    reason: str
    #: Whether the cluster ends once its workers have: nothing pays for another one.
    final: bool


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


def orders_for(ledger: Ledger, tiers: Tiers, clusters: dict[str, tuple[str, str]], now: datetime) -> Orders:
    """What has to stop.

    Parameters
    ----------
    ledger
        The ledger.
    tiers
        What the tiers file says.
    clusters
        By the name of each cluster that runs, the account that pays for it and whose it is.
    now
        The time.
    """
    workers = [lease for lease in ledger.open_leases(WORKER) if cluster_of(lease.key) in clusters]
    found: dict[str, Order] = {}
    moments: list[datetime] = []
    for account, person in sorted({(lease.account, lease.person) for lease in workers}):
        ending = ledger.ends_at(account, person)
        if ending is not None and ending.at - LEAD <= now:
            for cluster, payer in clusters.items():
                if payer == (account, person):
                    found[cluster] = Order(cluster, 0, ending.reason, final=True)
        elif ending is not None:
            moments.append(ending.at - LEAD)
    going_on = [lease for lease in workers if cluster_of(lease.key) not in found]
    surplus = _surplus(ledger, tiers, going_on)
    number = Counter(cluster_of(lease.key) for lease in going_on)
    for cluster, reasons in surplus.items():
        found[cluster] = Order(cluster, number[cluster] - len(reasons), reasons[0], final=False)
    named = frozenset(lease.key for lease in going_on if lease.reason is not None)
    working = frozenset(cluster_of(lease.key) for lease in workers)
    return Orders(found, named, working, min(moments, default=None))


def cluster_of(key: str) -> str:
    """The name of the cluster that a worker's lease is for."""
    return key.removeprefix(f"{WORKER}:").partition("/")[0]


def _surplus(ledger: Ledger, tiers: Tiers, workers: Sequence[Lease]) -> dict[str, list[str]]:
    """By cluster, why workers are more than the limits allow now: one reason for each, the newest ones first."""
    found: dict[str, list[str]] = {}
    gone: set[int] = set()
    for account in sorted({lease.account for lease in workers}):
        mine = [lease for lease in workers if lease.account == account]
        going_on = len(mine)
        limits = {person: _limit(ledger, tiers, account, person) for person in {one.person for one in mine}}
        for lease in sorted(mine, key=lambda one: one.id, reverse=True):
            limit = limits[lease.person]
            if limit is not None and going_on > limit:
                going_on -= 1
                gone.add(lease.id)
                text = f"The limit of {account} is {number_text(limit, 'worker')} at once now."
                found.setdefault(cluster_of(lease.key), []).append(text)
        for use in ledger.member_use(account):
            if use.cap is None or use.cap.workers is None:
                continue
            theirs = [lease for lease in mine if lease.person == use.member and lease.id not in gone]
            most = number_text(use.cap.workers, "worker")
            text = f"{use.member}'s cap on the project {account} is {most} at once now."
            for lease in sorted(theirs, key=lambda one: one.id)[use.cap.workers :]:
                found.setdefault(cluster_of(lease.key), []).append(text)
    return found


def _limit(ledger: Ledger, tiers: Tiers, account: str, person: str) -> int | None:
    """How many workers an account may run by a person's entitlement; None where the file no longer says."""
    try:
        return ledger.entitlement(tiers, account, person).tier.dask.workers
    except Refused:
        return None
