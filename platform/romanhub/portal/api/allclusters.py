"""Dask clusters that run: reading them all, limiting and stopping one."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path
from hubquota.models.clusters import ClusterUse, Instruction
from hubquota.models.money import price_of
from hubquota.models.stops import EndKind
from pydantic import Field

from romanhub.portal.allclusters import AllClusters
from romanhub.portal.auth import Visitor
from romanhub.portal.gate import Gate
from romanhub.portal.inputs import Input, Reason, ReasonInput
from romanhub.portal.models import Amount, Answer, Price
from romanhub.portal.problems import described

_Name = Annotated[
    str, Path(min_length=1, max_length=100, pattern="^[0-9A-Za-z._-]+$", description="The cluster's name.")
]


class InstructionModel(Answer):
    """What an administrator said of a cluster."""

    most: int | None = Field(description="How many workers it may have at most; null for that it has to stop.")
    at: datetime
    by: str
    reason: str


class AnyClusterModel(Answer):
    """A cluster that runs, or is starting."""

    name: str
    owner: str
    account: str = Field(description="The account that pays for its workers.")
    workers: int = Field(description="How many of its workers run.")
    starting: int = Field(description="How many are admitted and do not run yet.")
    price: Price = Field(description="What those that run cost together, in credits an hour.")
    cost: Amount = Field(description="What all its workers have cost so far, in credits.")
    admitted_at: datetime
    started_at: datetime | None = Field(description="Since when its scheduler runs; null while it is starting.")
    stopping: str | None = Field(description="Why it is about to stop; null where it is not.")
    stopping_kind: EndKind | None = Field(description="The same for programs.")
    instruction: InstructionModel | None = Field(description="What an administrator said of it last.")


class AllClustersModel(Answer):
    """The clusters that run, those that cost most first."""

    clusters: tuple[AnyClusterModel, ...]


class ClusterLimitInput(Input):
    """How many workers a cluster may have."""

    workers: Annotated[int, Field(ge=0, le=1_000_000, description="At most so many; those beyond it end.")]
    reason: Reason


def routes(gate: Gate, clusters: AllClusters) -> APIRouter:
    """The routes of clusters."""
    router = APIRouter(tags=["clusters"], responses=described(404, 409))
    auditor, admin = Depends(gate.auditor), Depends(gate.admin)

    @router.get("/admin/clusters")
    async def list_all_clusters(_visitor: Visitor = auditor) -> AllClustersModel:
        """Every cluster that runs, with its owner, what it costs and has cost."""
        return AllClustersModel(clusters=tuple(_cluster(use) for use in await clusters.list()))

    @router.post("/admin/clusters/{name}/stop")
    async def stop_cluster(name: _Name, given: ReasonInput, visitor: Visitor = admin) -> InstructionModel:
        """Stop a cluster, its workers first; its owner reads the reason. Asked for again, nothing changes."""
        return _instruction(await clusters.stop(visitor, name, reason=given.reason))

    @router.post("/admin/clusters/{name}/limit")
    async def limit_cluster(name: _Name, given: ClusterLimitInput, visitor: Visitor = admin) -> InstructionModel:
        """Have a cluster keep to a number of workers, whatever else its account allows. Its owner reads why."""
        return _instruction(await clusters.limit(visitor, name, given.workers, reason=given.reason))

    return router


def _cluster(use: ClusterUse) -> AnyClusterModel:
    return AnyClusterModel(
        name=use.name,
        owner=use.lease.person,
        account=use.lease.account,
        workers=use.workers,
        starting=use.starting,
        price=price_of(use.rate),
        cost=use.cost,
        admitted_at=use.lease.admitted_at,
        started_at=use.lease.started_at,
        stopping=use.lease.reason,
        stopping_kind=use.lease.end_kind,
        instruction=None if use.instruction is None else _instruction(use.instruction),
    )


def _instruction(given: Instruction) -> InstructionModel:
    return InstructionModel(most=given.most, at=given.at, by=given.actor, reason=given.reason)
