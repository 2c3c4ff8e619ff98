"""Other limits than the tier's until a day, other tiers, and caps of a project's members."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from hubquota.models.caps import MemberUse
from hubquota.models.money import to_units
from hubquota.models.overrides import Overridden, Override
from pydantic import Field

from romanhub.portal.answers import AllocationModel, allocation_model
from romanhub.portal.auth import Visitor
from romanhub.portal.desk import Desk
from romanhub.portal.gate import Gate
from romanhub.portal.inputs import (
    AccountName,
    Credits,
    IdempotencyKey,
    Input,
    Moment,
    Name,
    Reason,
    ReasonInput,
    Text,
)
from romanhub.portal.limits import Limits
from romanhub.portal.models import Amount, Answer
from romanhub.portal.problems import described, invalid
from romanhub.portal.reading import Reading

_Id = Annotated[int, Path(ge=1, lt=2**63, description="The override's number.")]
_Count = Annotated[int, Field(ge=0, le=1_000_000)]
_Some = Annotated[int, Field(ge=1, le=1_000_000)]


class LimitsModel(Answer):
    """Limits that count instead of the tier's; what is null stays as the tier has it."""

    sizes: tuple[str, ...] = Field(description="Sizes that are offered besides the tier's.")
    servers: int | None = Field(description="How many servers one person may run at once.")
    clusters: int | None = Field(description="How many Dask clusters may run at once.")
    workers: int | None = Field(description="How many Dask workers may run at once.")
    idle_stop_minutes: int | None = Field(description="A server without activity is stopped after so long.")
    longest_session_hours: int | None = Field(description="A server is stopped after so long, active or not.")


class OverrideModel(Answer):
    """Other limits than the tier's, from when they were given until a date."""

    id: int
    account: str
    person: str | None = Field(description="Whom it is for; null for everybody who draws on the account.")
    limits: LimitsModel
    given_at: datetime
    given_by: str
    reason: str
    until: datetime = Field(description="The first moment at which it does not count any more.")
    withdrawn_at: datetime | None
    withdrawn_by: str | None
    withdrawn_reason: str | None


class OverridesModel(Answer):
    """Overrides in the order in which they were given."""

    overrides: tuple[OverrideModel, ...]


class CapModel(Answer):
    """What a member may use of a project, and what they have used in the terms that are on."""

    member: str
    spent: Amount = Field(description="What was charged for what they ran, in credits.")
    taken: Amount = Field(description="What their running things have run up, or hold where that is more.")
    credits: Amount | None = Field(description="What they may spend in a term; null for no cap.")
    left: Amount | None = Field(description="What the cap leaves, in credits; null for no cap.")
    workers: int | None = Field(description="How many Dask workers they may run at once; null for no cap.")
    set_by: str | None = Field(description="Who set the cap.")
    set_at: datetime | None
    reason: str | None


class CapsModel(Answer):
    """What each member has used of a project, with their caps."""

    project: str
    members: tuple[CapModel, ...]


class OverrideInput(Input):
    """Other limits than the tier's. One at least has to be named."""

    account: Name
    person: Annotated[Name | None, Field(description="Whom it is for; everybody on the account if null.")] = None
    sizes: Annotated[
        list[Annotated[Text, Field(max_length=100)]],
        Field(max_length=50, description="Sizes to offer besides the tier's."),
    ] = []  # noqa: RUF012  (pydantic copies it)
    servers: _Count | None = None
    clusters: _Count | None = None
    workers: _Count | None = None
    idle_stop_minutes: _Some | None = None
    longest_session_hours: _Some | None = None
    until: Annotated[Moment, Field(description="The first moment at which it does not count any more.")]
    reason: Reason


class TierInput(Input):
    """Another tier for an account."""

    account: Name
    tier: Annotated[Text, Field(min_length=1, max_length=100)]
    amount: Annotated[Credits | None, Field(description="What it is granted; the tier's budget if null.")] = None
    end: Annotated[Moment | None, Field(description="When the term ends; after the tier's days if null.")] = None
    keep: bool = Field(default=False, description="Whether the account's other allocations go on.")
    reason: Reason


class CapInput(Input):
    """What a member may use of a project; with neither number, their cap is lifted."""

    project: Name
    member: Name
    credits: Annotated[Credits | None, Field(description="What they may spend in a term.")] = None
    workers: Annotated[_Count | None, Field(description="Dask workers that they may run at once.")] = None
    reason: Reason


def routes(gate: Gate, desk: Desk, reading: Reading, limits: Limits) -> APIRouter:
    """The routes of limits."""
    router = APIRouter(tags=["limits"], responses=described(404, 409))
    anybody, requester, admin = Depends(gate.anybody), Depends(gate.requester), Depends(gate.admin)

    @router.get("/overrides")
    async def list_overrides(
        account: AccountName = None,
        former: Annotated[bool, Query(description="Also those that are over or withdrawn.")] = False,
        visitor: Visitor = anybody,
    ) -> OverridesModel:
        """The overrides of an account. An auditor who names none gets those of all accounts."""
        name = None if account is None and visitor.auditor else await reading.account(visitor, account)
        found = await limits.overrides(name, former=former)
        return OverridesModel(overrides=tuple(_override(one) for one in found))

    @router.post("/overrides", status_code=201)
    async def give_override(
        given: OverrideInput, idempotency_key: IdempotencyKey, visitor: Visitor = admin
    ) -> OverrideModel:
        """Give an account, or one person on it, other limits than its tier's."""
        try:
            wanted = Overridden(
                sizes=tuple(given.sizes),
                servers=given.servers,
                clusters=given.clusters,
                workers=given.workers,
                idle_stop_minutes=given.idle_stop_minutes,
                longest_session_hours=given.longest_session_hours,
            )
        except ValueError:
            raise invalid("Name one limit at least, and sizes by their names in the tiers file.") from None
        found = await limits.give(
            visitor,
            given.account,
            wanted,
            given.until,
            person=given.person,
            reason=given.reason,
            key=_key(visitor, idempotency_key),
        )
        return _override(found)

    @router.post("/overrides/{number}/withdrawal")
    async def withdraw_override(number: _Id, given: ReasonInput, visitor: Visitor = admin) -> OverrideModel:
        """End an override before its day. One that is withdrawn already stays as it is."""
        return _override(await limits.withdraw(visitor, number, reason=given.reason))

    @router.post("/tier-changes", status_code=201)
    async def change_tier(
        given: TierInput, idempotency_key: IdempotencyKey, visitor: Visitor = admin
    ) -> AllocationModel:
        """Move an account to another tier: open an allocation of it, and end the others unless they are kept."""
        found = await limits.change_tier(
            visitor,
            given.account,
            given.tier,
            units=None if given.amount is None else to_units(given.amount),
            end=given.end,
            keep=given.keep,
            reason=given.reason,
            key=_key(visitor, idempotency_key),
        )
        return allocation_model(found, desk.tiers, desk.clock())

    @router.get("/caps")
    async def list_caps(
        project: Annotated[Text, Query(min_length=1, max_length=255, description="The project's name.")],
        visitor: Visitor = anybody,
    ) -> CapsModel:
        """What each member has used of a project in the terms that are on, with their caps. For its PIs."""
        return await caps_of(await reading.account(visitor, project))

    @router.put("/caps")
    async def set_cap(given: CapInput, visitor: Visitor = requester) -> CapsModel:
        """Cap a member of a project, or lift their cap. For its PIs and administrators."""
        project = await reading.account(visitor, given.project)
        await limits.set_cap(
            visitor,
            project,
            given.member,
            units=None if given.credits is None else to_units(given.credits),
            workers=given.workers,
            reason=given.reason,
        )
        return await caps_of(project)

    async def caps_of(project: str) -> CapsModel:
        found = await limits.member_use(project)
        return CapsModel(project=project, members=tuple(_cap(one) for one in found))

    return router


def _key(visitor: Visitor, given: str) -> str:
    return f"api:{visitor.name}:{given}"


def _override(one: Override) -> OverrideModel:
    return OverrideModel(
        id=one.id,
        account=one.account,
        person=one.person,
        limits=LimitsModel(**one.limits.model_dump()),
        given_at=one.given_at,
        given_by=one.given_by,
        reason=one.reason,
        until=one.until,
        withdrawn_at=one.withdrawn_at,
        withdrawn_by=one.withdrawn_by,
        withdrawn_reason=one.withdrawn_reason,
    )


def _cap(use: MemberUse) -> CapModel:
    cap = use.cap
    return CapModel(
        member=use.member,
        spent=use.spent,
        taken=use.taken,
        credits=cap.credits if cap else None,
        left=use.left,
        workers=cap.workers if cap else None,
        set_by=cap.actor if cap else None,
        set_at=cap.at if cap else None,
        reason=cap.reason if cap else None,
    )
