"""What a person's own Dask clusters run, cost and lead to; nobody else's are told to anybody here."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus

from hubquota.models.caps import MemberUse
from hubquota.models.clusters import ClusterUse
from hubquota.models.kinds import SERVER
from hubquota.models.ledger import Refused, UnknownAccountError
from hubquota.models.money import price_of
from hubquota.models.notices import Notice
from hubquota.models.words import number_text
from hubquota.services.pastclusters import PastCluster
from pydantic import Field

from romanhub.dask.facts import ClusterFacts, WorkerSize
from romanhub.dask.room import ceiling_for, rate_for, room_for
from romanhub.portal.auth import NotAllowedError, Visitor
from romanhub.portal.desk import Desk
from romanhub.portal.models import Amount, Answer, Price
from romanhub.portal.problems import PortalError, invalid

#: The kind of notice that warns of a cluster's stop; its key begins with `stop:` and the cluster's lease.
WARNING = "cluster-stop"

#: Stands for the name of a cluster that has none yet.
_NEW = "new"

#: How far back in a person's notices warnings are looked for.
_NOTICES = 200


class ClusterModel(Answer):
    """A Dask cluster of the caller's."""

    name: str = Field(description="What Dask Gateway calls it.")
    account: str = Field(description="The account that pays for its workers.")
    started_at: datetime = Field(description="When it was admitted.")
    ended_at: datetime | None = Field(description="When it ended; null while it runs.")
    reason: str | None = Field(description="Why it ended, or is being stopped.")
    workers: int = Field(description="How many workers run now.")
    starting: int = Field(description="How many workers are about to run.")
    most: int = Field(description="How many workers it could have now, those that run included.")
    limit: int = Field(description="How many workers it may have: the account's limit, a cap or an instruction.")
    price: Price = Field(description="What its workers cost now, in credits an hour.")
    cost: Amount = Field(description="What its workers have cost so far, in credits.")
    seconds_left: int | None = Field(
        description="How long what pays for it lasts while all goes on as now; null where nothing is used up."
    )
    warnings: tuple[str, ...] = Field(description="What its owner should know, oldest first.")
    number: int = Field(description="The number of its lease.")


class ClustersModel(Answer):
    """The caller's Dask clusters."""

    running: tuple[ClusterModel, ...] = Field(description="Those that run, in the order of their start.")
    past: tuple[ClusterModel, ...] = Field(description="Those that have ended, the newest first.")
    next_before: int | None = Field(description="Ask again with this as `before` for what is further back.")


class OfferModel(Answer):
    """What an account could start for the caller now."""

    account: str = Field(description="The account that would pay.")
    own: bool = Field(description="Whether it is the caller's own.")
    tier: str = Field(description="The title of its tier.")
    workers: int = Field(description="How many workers may run on it at once, over all clusters.")
    room: int = Field(description="How many could start now.")
    price: Price = Field(description="What a worker costs while it runs, in credits an hour.")
    available: Amount = Field(description="What the caller can use of it, in credits.")
    running: Price = Field(description="What runs on it now costs, in credits an hour.")


class Clusters:
    """Reads clusters for pages and API; every method raises LedgerUnavailableError."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def mine(self, visitor: Visitor, *, limit: int, before: int | None = None) -> ClustersModel:
        """Return somebody's clusters, those that have ended by pages."""

        def read() -> ClustersModel:
            warnings = self._warnings(visitor.name)
            running = self._desk.ledger.clusters(person=visitor.name)
            past = self._desk.past_clusters.page(visitor.name, limit=limit + 1, before=before)
            return ClustersModel(
                running=tuple(self._running(one, warnings) for one in running),
                past=tuple(_past(one) for one in past[:limit]),
                next_before=past[limit - 1].lease.id if len(past) > limit else None,
            )

        return await self._desk.ask(read)

    async def one(self, visitor: Visitor, name: str) -> ClusterModel:
        """Return one of somebody's clusters.

        Raises PortalError where they have none of that name, whoever else has.
        """

        def read() -> ClusterModel | None:
            for one in self._desk.ledger.clusters(person=visitor.name):
                if one.name == name:
                    return self._running(one, self._warnings(visitor.name))
            past = self._desk.past_clusters.find(visitor.name, name)
            return None if past is None else _past(past)

        found = await self._desk.ask(read)
        if found is None:
            raise PortalError(HTTPStatus.NOT_FOUND, "You have no cluster of that name.")
        return found

    async def offer(self, visitor: Visitor, account: str | None, *, cores: int, memory_gib: int) -> OfferModel:
        """Return what an account could start for somebody.

        Args:
            visitor: who asks.
            account: which one is to pay; without it, the one that their servers draw on, or their own.
            cores: the cores of a worker; 0 for all that the account's tier gives.
            memory_gib: its memory, in GiB; 0 for all that the account's tier gives.

        Raises NotAllowedError where they may not draw on it, UnknownAccountError where they have no account yet,
        and PortalError where the tier has no such workers.
        """

        def read() -> OfferModel:
            ledger, tiers, now = self._desk.ledger, self._desk.tiers, self._desk.clock()
            drawable = [one.account.name for one in ledger.drawable(visitor.name)]
            if not drawable:
                raise UnknownAccountError(f"There is no account '{visitor.name}' yet.")
            paying = {one.account for one in ledger.open_leases(SERVER, person=visitor.name)} & set(drawable)
            name = account or (paying.pop() if len(paying) == 1 else drawable[0])
            if name not in drawable:
                raise NotAllowedError(f"{visitor.name} cannot draw on an account '{name}'.")
            try:
                tier = ledger.entitlement(tiers, name, visitor.name).tier
            except Refused as refused:
                raise PortalError(HTTPStatus.CONFLICT, str(refused)) from None
            dask = tier.dask
            size = WorkerSize(cores or dask.worker_cores, memory_gib or dask.worker_memory_gib)
            if size.cores > dask.worker_cores or size.memory_gib > dask.worker_memory_gib:
                raise invalid(
                    f"A worker on the account {name} has at most {number_text(dask.worker_cores, 'core')} and "
                    f"{dask.worker_memory_gib} GiB of memory."
                )
            facts = ClusterFacts(_NEW, visitor.name, name, size)
            left = [ledger.balance(name).available]
            left += [use.left for use in self._uses(name, visitor.name) if use.left is not None]
            return OfferModel(
                account=name,
                own=name == visitor.name,
                tier=tier.title,
                workers=self._most(facts),
                room=room_for(ledger, tiers, facts, {}, now).fits,
                price=price_of(rate_for(tiers, dask, size, now)),
                available=min(left),
                running=price_of(sum(one.rate for one in ledger.open_leases(account=name) if one.started_at)),
            )

        return await self._desk.ask(read)

    def _uses(self, account: str, person: str) -> list[MemberUse]:
        return [use for use in self._desk.ledger.member_use(account) if use.member == person]

    def _most(self, facts: ClusterFacts) -> int:
        """How many workers a cluster may ever have; none where nothing can start on its account."""
        try:
            return ceiling_for(self._desk.ledger, self._desk.tiers, facts).most
        except Refused:
            return 0

    def _warnings(self, person: str) -> dict[int, list[str]]:
        """What somebody was told of stops of their clusters, oldest first, by the cluster's lease."""
        found: dict[int, list[str]] = {}
        for notice in reversed(self._desk.ledger.notices(person, limit=_NOTICES)):
            if (lease := _lease_of(notice)) is not None:
                found.setdefault(lease, []).append(" ".join(notice.text.split()))
        return found

    def _running(self, use: ClusterUse, warnings: dict[int, list[str]]) -> ClusterModel:
        ledger, now, lease = self._desk.ledger, self._desk.clock(), use.lease
        # Only the gateway knows the size of the workers; the tier's own stands for it.
        try:
            dask = ledger.entitlement(self._desk.tiers, lease.account, lease.person).tier.dask
            size = WorkerSize(dask.worker_cores, dask.worker_memory_gib)
        except Refused:
            size = WorkerSize(1, 1)
        facts = ClusterFacts(use.name, lease.person, lease.account, size)
        limit, room = self._most(facts), room_for(ledger, self._desk.tiers, facts, {}, now).fits
        ending = ledger.ends_at(lease.account, lease.person) if use.rate and not lease.reason else None
        told = list(warnings.get(lease.id, ()))
        if lease.reason:
            told.append(
                "It is being stopped." if lease.end_kind == "stopped" else f"It is being stopped. {lease.reason}"
            )
        elif use.instruction is not None:
            told.append(use.instruction.text)
        return ClusterModel(
            name=use.name,
            account=lease.account,
            started_at=lease.admitted_at,
            ended_at=None,
            reason=lease.reason,
            workers=use.workers,
            starting=use.starting,
            most=min(limit, use.workers + use.starting + room),
            limit=limit,
            price=price_of(use.rate),
            cost=use.cost,
            seconds_left=None if ending is None else max(0, int((ending.at - now).total_seconds())),
            warnings=tuple(told),
            number=lease.id,
        )


def _past(found: PastCluster) -> ClusterModel:
    lease = found.lease
    return ClusterModel(
        name=found.name,
        account=lease.account,
        started_at=lease.admitted_at,
        ended_at=lease.ended_at,
        reason=lease.reason,
        workers=0,
        starting=0,
        most=0,
        limit=0,
        price=price_of(0),
        cost=found.cost,
        seconds_left=None,
        warnings=(),
        number=lease.id,
    )


def _lease_of(notice: Notice) -> int | None:
    """The number of the lease whose stop a notice warns of; None for another notice."""
    parts = notice.key.split(":")
    return int(parts[1]) if notice.kind == WARNING and len(parts) > 1 and parts[1].isdigit() else None
