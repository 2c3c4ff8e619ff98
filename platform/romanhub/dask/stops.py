"""When clusters are to stop, and the warnings before: by credits, idleness, and servers that are gone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from hubquota.models.clusters import ClusterUse
from hubquota.models.entitlement import Entitlement
from hubquota.models.kinds import SERVER
from hubquota.models.ledger import Refused
from hubquota.models.notices import LONGEST_SUBJECT
from hubquota.models.stops import Stop, StopWarning, budget_stop, cap_stop, due_warning, next_moment
from hubquota.models.tiers import Tiers
from hubquota.models.words import about_text, duration_text, moment_text
from hubquota.services.ledger import Ledger

from romanhub.dask.facts import ClusterFacts

#: How long before nothing pays any more a cluster's workers begin to stop, so that they can finish what they
#: are at and hand on what they hold.
LEAD = timedelta(seconds=30)

#: The kind of the notices before a stop.
STOP_NOTICE = "cluster-stop"


class Stops:
    """Looks at the ledger once for all clusters, and says when each has to stop if all goes on as it does."""

    def __init__(self, ledger: Ledger, tiers: Tiers, now: datetime) -> None:
        self._ledger = ledger
        self._tiers = tiers
        self._now = now
        self._uses = {use.name: use for use in ledger.clusters()}
        self._with_server = {lease.person for lease in ledger.open_leases(SERVER)}

    def all(
        self, clusters: Sequence[ClusterFacts], active: Callable[[str, datetime], datetime]
    ) -> dict[str, list[Stop]]:
        """Return the stops to come of clusters, by name.

        Args:
            clusters: the clusters that run.
            active: returns when there was work in a cluster last, by its name and when it began.
        """
        return {
            cluster.name: self._of(cluster, use, active(cluster.name, use.lease.started_at or self._now))
            for cluster in clusters
            if (use := self._uses.get(cluster.name)) is not None
        }

    def _of(self, cluster: ClusterFacts, use: ClusterUse, active: datetime) -> list[Stop]:
        try:
            entitlement = self._ledger.entitlement(self._tiers, cluster.account, cluster.owner)
        except Refused:
            return self._paid(cluster, use)
        refusal = entitlement.refusal
        if refusal is not None and refusal.limit == "suspended":
            reason = refusal.message.removesuffix(self._tiers.ask).strip()
            return [Stop("admin", self._now, reason, reason, self._now, timedelta(0))]
        began = use.lease.started_at
        if began is None:
            return self._paid(cluster, use)
        return [*self._paid(cluster, use), *self._idle(cluster, entitlement, began, max(began, active))]

    def _paid(self, cluster: ClusterFacts, use: ClusterUse) -> list[Stop]:
        """Return when nothing pays any more; what costs nothing may go on."""
        if not use.rate:
            return []
        found: list[Stop] = []
        outlook = self._ledger.outlook(cluster.account)
        if outlook is not None and outlook.exhausts_at is not None:
            found.append(budget_stop(cluster.account, at=outlook.exhausts_at, since=outlook.funded_at))
        capped = self._ledger.cap_ends_at(cluster.account, cluster.owner)
        if capped is not None:
            since = use.lease.started_at or capped
            found.append(cap_stop(cluster.account, cluster.owner, at=capped, since=since))
        return [replace(stop, at=stop.at - LEAD) for stop in found]

    def _idle(
        self, cluster: ClusterFacts, entitlement: Entitlement, began: datetime, active: datetime
    ) -> list[Stop]:
        title = entitlement.tier.title
        idle = timedelta(minutes=entitlement.tier.dask.idle_stop_minutes)
        text = duration_text(int(idle.total_seconds()))
        after = f"for {text}, after which the tier {title} stops a cluster."
        found = [
            Stop(
                kind="idle",
                at=active + idle,
                reason=f"It was without work {after}",
                warning=f"There was no work in it since {moment_text(active)}; any task keeps it running.",
                since=active,
                warn_within=idle / 2,
            )
        ]
        if cluster.owner not in self._with_server:
            last = self._ledger.last_end(cluster.owner, SERVER)
            left = began if last is None or last.ended_at is None else max(began, last.ended_at)
            found.append(
                Stop(
                    kind="idle",
                    at=left + idle,
                    reason=f"Its owner had no server {after}",
                    warning=f"Its owner has had no server since {moment_text(left)}; with one it runs on.",
                    since=left,
                    warn_within=idle / 2,
                )
            )
        return found


def warn(
    ledger: Ledger, tiers: Tiers, stops: Mapping[str, Sequence[Stop]], uses: Sequence[ClusterUse], now: datetime
) -> int:
    """Warn the owners of clusters that are to stop, at the thresholds of the tiers file. Nobody is told twice.

    Returns:
        How many were told.
    """
    told = 0
    for use in uses:
        due = due_warning(stops.get(use.name, ()), tiers.warnings.minutes_before_stop, now)
        if due is not None and use.lease.reason is None:
            told += _tell(ledger, use, due, now)
    return told


def next_look(tiers: Tiers, stops: Mapping[str, Sequence[Stop]], now: datetime) -> datetime | None:
    """Return the next moment at which a stop comes or a warning is due; None for never."""
    every = [stop for several in stops.values() for stop in several]
    return next_moment(every, tiers.warnings.minutes_before_stop, now)


def _tell(ledger: Ledger, use: ClusterUse, due: StopWarning, now: datetime) -> bool:
    stop = due.stop
    left = about_text(int((stop.at - now).total_seconds()))
    return ledger.tell(
        use.lease.person,
        kind=STOP_NOTICE,
        key=f"stop:{use.lease.id}:{stop.kind}:{due.minutes}:{int(stop.since.timestamp())}",
        subject=f"Your {use.lease.label} will be stopped in {left}"[:LONGEST_SUBJECT],
        text=f"Cluster {use.name}, on the account {use.lease.account}, will be stopped on {moment_text(stop.at)}. "
        f"{stop.warning} Save what it holds before then.",
    )
