"""The policy of clusters: who pays, what is admitted, what is charged, what has to stop. It runs nothing.

One policy serves every engine: the local processes of one machine, and pods. It asks the ledger off the event
loop and with a deadline, and no answer is a no.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from dask_gateway_server.backends.base import PublicException
from hubquota.models.clusters import cluster_key, cluster_of
from hubquota.models.kinds import CLUSTER, WORKER
from hubquota.models.ledger import Lease, Refused
from hubquota.models.stops import EndKind, Stop
from hubquota.models.tiers import Tiers
from hubquota.services.ledger import Ledger, utc_now
from hubquota.services.tiersfile import TiersFile
from sqlalchemy.exc import SQLAlchemyError

from romanhub.dask.admission import admit_cluster, admit_workers, check_cluster, first_key
from romanhub.dask.facts import ClusterFacts, WorkerSize
from romanhub.dask.options import Place
from romanhub.dask.orders import Orders, orders_for
from romanhub.dask.payers import (
    ACTOR,
    CLUSTER_NOT_STARTED,
    ENDED,
    NO_ANSWER,
    NOT_STARTED,
    SCHEDULER_ENDED,
    STOPPED,
    Payers,
    payers_for,
)
from romanhub.dask.room import Allowed, ceiling_for, room_for
from romanhub.dask.stops import Stops, next_look, warn

log = logging.getLogger(__name__)

#: How long a decision of the ledger may take, in seconds, before the answer is no.
DEADLINE = 10.0

#: Why a cluster ended, where no limit is the reason: for people and for programs.
_WAS_STOPPED: tuple[str, EndKind] = (STOPPED, "stopped")
_ENDED_ITSELF: tuple[str, EndKind] = (SCHEDULER_ENDED, "ended")
_GAVE_NO_ANSWER: tuple[str, EndKind] = (NO_ANSWER, "failed")

T = TypeVar("T")


class Policy:
    """Decides for one gateway. Every method is for its event loop."""

    def __init__(
        self,
        ledger: Ledger,
        tiers: TiersFile,
        sizes: Callable[[], Mapping[str, WorkerSize]],
        *,
        now: Callable[[], datetime] = utc_now,
        place: Place | None = None,
    ) -> None:
        """Decide by a ledger.

        Args:
            ledger: the ledger.
            tiers: the tiers file, read again when it changes.
            sizes: returns the sizes of the workers of all clusters that the gateway knows, by name.
            now: returns the time.
            place: where clusters run.
        """
        self._ledger = ledger
        self._tiers_file = tiers
        self._sizes = sizes
        self._place = place or Place()
        self.now = now
        # Held while something is admitted: what all workers may have together by cores and memory is counted here,
        # and not by the ledger, so that two at once must not both be the last one.
        self._admission = asyncio.Lock()
        #: When there was work in a cluster last, as its scheduler says.
        self._active: dict[str, datetime] = {}
        self._since = now()

    @property
    def tiers(self) -> Tiers:
        """The tiers, read again when their file changes."""
        return self._tiers_file.current()

    async def payers(self, person: str, groups: Collection[str]) -> Payers:
        """The accounts that a person may draw on; their own is opened where they have none yet."""
        return await self._decide(lambda: payers_for(self._ledger, self.tiers, person, set(groups)))

    # Admission -------------------------------------------------------------------------------------------

    async def check_cluster(self, cluster: ClusterFacts) -> None:
        """Refuse a cluster before anything is made for it; raises PublicException."""
        await self._decide(
            lambda: check_cluster(self._ledger, self.tiers, cluster, self._sizes_with(cluster), self.now())
        )

    async def admit_cluster(self, cluster: ClusterFacts, region: str = "") -> None:
        """Admit a cluster, with what its first worker's first slice costs; raises PublicException.

        Args:
            cluster: the cluster.
            region: the region of the data that it is for; empty where nobody says.
        """

        def admit() -> None:
            admit_cluster(self._ledger, self.tiers, cluster, self._sizes_with(cluster), self.now())
            if elsewhere := self._place.elsewhere(region):
                self._ledger.tell(
                    cluster.owner,
                    kind="cluster-region",
                    key=f"cluster-region:{cluster.name}",
                    subject=f"Your Dask cluster is not in the region of its data, {region}",
                    text=elsewhere,
                    optional=True,
                )

        async with self._admission:
            await self._decide(admit)

    async def tier_of(self, cluster: ClusterFacts) -> str:
        """Return the name of the tier of the account that pays for a cluster; raises PublicException."""
        return await self._decide(
            lambda: self._ledger.entitlement(self.tiers, cluster.account, cluster.owner).tier_name
        )

    async def told(self, cluster: str) -> str:
        """Return why a cluster is to end, as it was announced or an administrator said; empty where it is not."""

        def look() -> str:
            instruction = self._ledger.instruction(cluster)
            if instruction is not None and instruction.most is None:
                return instruction.text
            lease = self._ledger.open_lease(cluster_key(cluster))
            return "" if lease is None else lease.reason or ""

        return await self._decide(look)

    async def is_admitted(self, cluster: str) -> bool:
        """Return whether a cluster has been admitted and has not ended."""
        return await self._decide(lambda: self._ledger.open_lease(cluster_key(cluster))) is not None

    async def admit_workers(self, cluster: ClusterFacts, wanted: int, taken: Collection[str]) -> list[Lease]:
        """Admit as many of some more workers as there is room for, as one batch; raises PublicException.

        Args:
            cluster: the cluster.
            wanted: how many more it wants.
            taken: the keys of leases that its workers have, or had.
        """
        async with self._admission:
            return await self._decide(
                lambda: admit_workers(
                    self._ledger,
                    self.tiers,
                    cluster,
                    wanted,
                    self._sizes_with(cluster),
                    self.now(),
                    taken=taken,
                    new=lambda: uuid.uuid4().hex,
                )
            )

    async def allowed(self, cluster: ClusterFacts) -> Allowed:
        """Return how many workers a cluster may have now, those that it has among them; raises PublicException."""

        def count() -> Allowed:
            room = room_for(self._ledger, self.tiers, cluster, self._sizes_with(cluster), self.now())
            own = [
                lease.key
                for lease in self._ledger.open_leases(WORKER, account=cluster.account)
                if cluster_of(lease.key) == cluster.name
            ]
            # Where one of the cluster's has ended and the ledger does not know yet, it has room all the same.
            return Allowed(len(own) + room.fits, room.limit, self._with_ask(room.text))

        return await self._decide(count)

    async def ceiling(self, cluster: ClusterFacts) -> Allowed:
        """Return how many workers a cluster may ever have by its limits; raises PublicException."""

        def count() -> Allowed:
            found = ceiling_for(self._ledger, self.tiers, cluster)
            return Allowed(found.most, found.limit, self._with_ask(found.text))

        return await self._decide(count)

    # What ran --------------------------------------------------------------------------------------------

    async def began(self, lease: int, at: datetime) -> bool:
        """Note since when a worker's or a scheduler's process runs. Return False where that came too late."""
        return (await self._decide(lambda: self._ledger.begin(lease, at))).is_open

    async def cluster_began(self, cluster: str, at: datetime) -> None:
        """Note since when a cluster's scheduler runs."""

        def begin() -> None:
            lease = self._ledger.open_lease(cluster_key(cluster))
            if lease is not None:
                self._ledger.begin(lease.id, at)

        await self._decide(begin)

    async def ended(self, lease: int, at: datetime | None, why: str = ENDED, kind: EndKind | None = None) -> None:
        """Close a worker's lease at the end of its process; where that is not known, when it was last seen."""
        await self._decide(lambda: self._close(lease, at, why, NOT_STARTED, kind))

    async def cluster_ended(
        self, cluster: str, at: datetime | None, *, failed: bool, why: tuple[str, EndKind] | None = None
    ) -> None:
        """Close a cluster's lease at the end of its scheduler's process, and let go of what is held for it.

        Args:
            cluster: the cluster's name.
            at: when the scheduler ended; None for when it was last seen.
            failed: whether nobody asked for it.
            why: why, where more is known than that.
        """

        def close() -> None:
            lease = self._ledger.open_lease(cluster_key(cluster))
            if lease is not None:
                reason, kind = why or (_ENDED_ITSELF if failed else _WAS_STOPPED)
                self._close(lease.id, at, reason, CLUSTER_NOT_STARTED, kind)
            first = self._ledger.open_lease(first_key(cluster))
            if first is not None and first.started_at is None:
                self._ledger.cancel(first.id, NOT_STARTED)

        self._active.pop(cluster, None)
        await self._decide(close)

    def _close(self, lease: int, at: datetime | None, why: str, never: str, kind: EndKind | None) -> None:
        found = self._ledger.lease(lease)
        if found is None or not found.is_open:
            return
        if found.started_at is None:
            why, kind = never, "failed"
        self._ledger.close(lease, reason=why, kind=kind, at=at or found.last_alive, actor=ACTOR)

    async def stopping(self, cluster: str, *, failed: bool) -> None:
        """Note that a cluster was told to stop, where no other reason is known."""
        why, kind = _GAVE_NO_ANSWER if failed else _WAS_STOPPED
        await self._announce([cluster_key(cluster)], why, kind, only_new=True)

    # Limits while a cluster runs -------------------------------------------------------------------------

    def note_activity(self, cluster: str, idle_seconds: float) -> None:
        """Note for how long there has been no work in a cluster, as its scheduler says."""
        at = self.now() - timedelta(seconds=idle_seconds)
        self._active[cluster] = max(at, self._active.get(cluster, at))

    async def orders(self, clusters: Sequence[ClusterFacts]) -> Orders:
        """Return what has to stop now; warn the owners of what will have to."""
        # A gateway that was away hears of work with the schedulers' next reports.
        since = self._since

        def active(cluster: str, began: datetime) -> datetime:
            return self._active.get(cluster, max(began, since))

        def look() -> Orders:
            now, tiers = self.now(), self.tiers
            stops = Stops(self._ledger, tiers, now).all(clusters, active)
            found = orders_for(self._ledger, tiers, clusters, stops, now)
            coming: dict[str, Sequence[Stop]] = {
                name: several for name, several in stops.items() if name not in found.clusters
            }
            warn(self._ledger, tiers, coming, self._ledger.clusters(), now)
            return Orders(found.clusters, found.named, found.working, next_look(tiers, coming, now))

        return await self._decide(look)

    async def announce(self, cluster: str, keys: Sequence[str], reason: str | None, kind: EndKind | None) -> None:
        """Note why a cluster and its workers are about to be stopped, or that they are not after all."""
        await self._announce([cluster_key(cluster)], reason, kind)
        await self._announce(keys, reason, None)

    async def _announce(
        self, keys: Sequence[str], reason: str | None, kind: EndKind | None, *, only_new: bool = False
    ) -> None:
        def note() -> None:
            for key in keys:
                lease = self._ledger.open_lease(key)
                if lease is None or (only_new and lease.reason is not None):
                    continue
                told = self._ledger.instruction(cluster_of(key)) if lease.kind == CLUSTER else None
                # What an administrator said stands.
                if told is None or told.most is not None:
                    self._ledger.announce_stop(lease.id, reason, kind if reason is not None else None)

        await self._decide(note)

    async def seen(self, keys: Collection[str]) -> list[Lease]:
        """Note which workers and schedulers run. Return the open leases of those that do not."""

        def look() -> list[Lease]:
            leases = [*self._ledger.open_leases(WORKER), *self._ledger.open_leases(CLUSTER)]
            self._ledger.seen(keys)
            return [lease for lease in leases if lease.key not in keys]

        return await self._decide(look)

    # The ledger ------------------------------------------------------------------------------------------

    def _sizes_with(self, cluster: ClusterFacts) -> dict[str, WorkerSize]:
        return {**self._sizes(), cluster.name: cluster.size}

    def _with_ask(self, text: str) -> str:
        ask = self.tiers.ask
        return text if ask in text else f"{text} {ask}"

    async def _decide(self, decision: Callable[[], T]) -> T:
        """Ask the ledger, off the event loop and with a deadline; no answer is a no."""
        try:
            return await asyncio.wait_for(asyncio.to_thread(decision), DEADLINE)
        except Refused as refusal:
            # The gateway turns a line break in a refusal into an error of its own.
            raise PublicException(" ".join(str(refusal).split())) from None
        except (TimeoutError, SQLAlchemyError) as error:
            log.warning("The ledger does not answer: %s", error)
            raise PublicException("The ledger does not answer, so nothing can start. Try again later.") from None
