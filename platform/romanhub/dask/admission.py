"""Admitting clusters and their workers, each change of scale in one transaction of the ledger."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta

from hubquota.models.admissions import Admission
from hubquota.models.clusters import CLUSTER_LABEL, WORKER_LABEL, cluster_key, cluster_of, worker_key
from hubquota.models.kinds import CLUSTER, WORKER
from hubquota.models.ledger import Lease, Refused
from hubquota.models.tiers import Dask, Tiers
from hubquota.models.words import number_text
from hubquota.services.book import START_LIMIT
from hubquota.services.ledger import Ledger

from romanhub.dask.facts import ClusterFacts, WorkerSize
from romanhub.dask.payers import NOT_STARTED, last_stop
from romanhub.dask.room import Room, open_workers, rate_for, room_for

#: Which worker of a cluster the one is that is admitted together with it.
FIRST = "first"

#: What was held for the first worker is used for it up to this long after; then it is let go, and the worker
#: admitted like the others. The ledger forgets an admission that nothing has come of after twice as long.
_FRESH = timedelta(seconds=START_LIMIT // 2)


def first_key(cluster: str) -> str:
    """Return the key of the lease that holds the first worker's first slice."""
    return worker_key(cluster, FIRST)


def admit_cluster(
    ledger: Ledger, tiers: Tiers, cluster: ClusterFacts, sizes: Mapping[str, WorkerSize], now: datetime
) -> None:
    """Admit a cluster, and its first worker in the same transaction: without one, it does not start.

    Raises:
        Refused: with the limit or the balance, what would be admitted instead, and how to ask for more.
    """
    room = check_cluster(ledger, tiers, cluster, sizes, now)
    account, owner = cluster.account, cluster.owner
    dask = ledger.entitlement(tiers, account, owner).tier.dask
    _, ending = _clusters(ledger, account)
    record = Admission(
        account=account,
        person=owner,
        kind=CLUSTER,
        key=cluster_key(cluster.name),
        label=CLUSTER_LABEL,
        rate=0,
        # One that is about to end is none that could be stopped first.
        limit=dask.clusters + len(ending),
        ask=tiers.ask,
    )
    leases, refused = ledger.admit_up_to([*_workers(tiers, dask, cluster, now, [FIRST], room), record])
    beaten = refused is None and len(_within(ledger, tiers, cluster, leases, sizes, now)) < len(leases)
    if refused is not None or beaten:
        for lease in leases:
            ledger.cancel(lease.id, NOT_STARTED, "failed")
        raise _beaten(ledger, tiers, cluster, sizes, now, refused)


def check_cluster(
    ledger: Ledger, tiers: Tiers, cluster: ClusterFacts, sizes: Mapping[str, WorkerSize], now: datetime
) -> Room:
    """Return how many workers a cluster could have; raise what speaks against it. Nothing is held.

    Raises:
        Refused: as for `admit_cluster`.
    """
    account, owner = cluster.account, cluster.owner
    entitlement = ledger.entitlement(tiers, account, owner)
    entitlement.check()
    most, (going_on, _) = entitlement.tier.dask.clusters, _clusters(ledger, account)
    if len(going_on) >= most:
        own = account == owner
        whose = (
            f"Your tier, {entitlement.tier.title}," if own else f"The tier of {account}, {entitlement.tier.title},"
        )
        names = ", ".join(cluster_of(lease.key) for lease in going_on) or "none"
        raise Refused(
            limit="count",
            message=f"{whose} allows {number_text(most, 'Dask cluster')} at a time and "
            f"{'you have' if own else 'there are'} {len(going_on)} ({names}). Stop one first. {tiers.ask}",
        )
    room = room_for(ledger, tiers, cluster, sizes, now)
    if room.fits:
        return room
    why = last_stop(ledger, account, owner) if room.limit in ("budget", "cap") else ""
    instead = _instead(ledger, tiers, cluster, sizes, now)
    ask = "" if tiers.ask in room.text else tiers.ask
    sentences = ("No Dask cluster can start.", room.text, instead, why, ask)
    raise Refused(limit=room.limit, message=" ".join(filter(None, sentences)))


def admit_workers(
    ledger: Ledger,
    tiers: Tiers,
    cluster: ClusterFacts,
    wanted: int,
    sizes: Mapping[str, WorkerSize],
    now: datetime,
    *,
    taken: Collection[str],
    new: Callable[[], str],
) -> list[Lease]:
    """Admit as many of some workers as there is room for. Return their leases, which have not begun.

    Args:
        ledger: the ledger.
        tiers: what the tiers file says.
        cluster: the cluster.
        wanted: how many more workers it wants.
        sizes: the sizes of the workers of all clusters, by name.
        now: the time.
        taken: keys of leases that a worker of the cluster has, or had.
        new: returns another name for a worker at each call.
    """
    leases = []
    if first_key(cluster.name) not in taken and (first := ledger.open_lease(first_key(cluster.name))) is not None:
        if first.started_at is None and now - first.admitted_at < _FRESH and first.reason is None:
            leases.append(first)
        elif first.started_at is None:
            ledger.cancel(first.id, NOT_STARTED, "failed")
    room = room_for(ledger, tiers, cluster, sizes, now)
    names = [new() for _ in range(min(wanted - len(leases), room.fits))]
    if names:
        dask = ledger.entitlement(tiers, cluster.account, cluster.owner).tier.dask
        # What there was room for a moment ago somebody else may have now: then it is fewer.
        admitted, _ = ledger.admit_up_to(_workers(tiers, dask, cluster, now, names, room))
        leases += _within(ledger, tiers, cluster, admitted, sizes, now)
    return leases


def _within(
    ledger: Ledger,
    tiers: Tiers,
    cluster: ClusterFacts,
    leases: Sequence[Lease],
    sizes: Mapping[str, WorkerSize],
    now: datetime,
) -> list[Lease]:
    """Let go of those new workers that are beyond the account's cores or memory; return the others.

    The ledger counts workers in the transaction of their admission, and not their sizes: where another program
    admits larger ones at the same moment, both may be the last one. Whoever came first stays. The account was
    locked while each was admitted, so both programs see the same order, and only the later one lets go.
    """
    dask = ledger.entitlement(tiers, cluster.account, cluster.owner).tier.dask
    own, new = WorkerSize(dask.worker_cores, dask.worker_memory_gib), {lease.id for lease in leases}
    known = {**sizes, cluster.name: cluster.size}
    cores = memory = 0
    beyond: set[int] = set()
    for lease in sorted(open_workers(ledger, cluster.account, now), key=lambda one: one.id):
        size = known.get(cluster_of(lease.key), own)
        too_many = cores + size.cores > dask.most_cores or memory + size.memory_gib > dask.most_memory_gib
        if lease.id in new and too_many:
            ledger.cancel(lease.id, NOT_STARTED, "failed")
            beyond.add(lease.id)
            continue
        cores, memory = cores + size.cores, memory + size.memory_gib
    return [lease for lease in leases if lease.kind != WORKER or lease.id not in beyond]


def _beaten(
    ledger: Ledger,
    tiers: Tiers,
    cluster: ClusterFacts,
    sizes: Mapping[str, WorkerSize],
    now: datetime,
    refused: Refused | None,
) -> Refused:
    """Return why a cluster is refused whose place another one took at the same moment.

    The ledger's own refusal knows the count that there was room for, and not why there was no more.
    """
    try:
        check_cluster(ledger, tiers, cluster, sizes, now)
    except Refused as again:
        return again
    return refused or Refused(
        limit="count", message=f"Another cluster took the place just now. Try again. {tiers.ask}"
    )


def _workers(
    tiers: Tiers, dask: Dask, cluster: ClusterFacts, now: datetime, names: Sequence[str], room: Room
) -> list[Admission]:
    return [
        Admission(
            account=cluster.account,
            person=cluster.owner,
            kind=WORKER,
            key=worker_key(cluster.name, name),
            label=WORKER_LABEL,
            rate=rate_for(tiers, dask, cluster.size, now),
            # By cores and memory as well, so many of this size fit beside those that are open.
            limit=min(dask.workers, room.taken + room.fits),
            ask=tiers.ask,
            # A name is given to one worker: what is open under it is a leftover of a crash.
            settle_leftover=True,
        )
        for name in names
    ]


def _clusters(ledger: Ledger, account: str) -> tuple[list[Lease], list[Lease]]:
    """Return an account's clusters: those that go on, and those that are about to end."""
    found = ledger.open_leases(CLUSTER, account=account)
    return [one for one in found if one.reason is None], [one for one in found if one.reason is not None]


def _instead(
    ledger: Ledger, tiers: Tiers, cluster: ClusterFacts, sizes: Mapping[str, WorkerSize], now: datetime
) -> str:
    """Say what would be admitted instead: smaller workers, or nothing."""
    size = cluster.size
    small = WorkerSize(1, max(1, size.memory_gib // size.cores))
    smaller = ClusterFacts(cluster.name, cluster.owner, cluster.account, small)
    fits = room_for(ledger, tiers, smaller, sizes, now).fits if small != size else 0
    if fits:
        return f"No worker of {size} would fit now; {number_text(fits, 'worker')} of {small} would."
    return f"No worker of {size} would fit now."
