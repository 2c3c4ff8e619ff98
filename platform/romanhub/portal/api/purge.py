"""Plans of purges, holds, and what was taken. Carrying a plan out is left to the command."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from hubquota.models.purge import Item, Plan, PurgeEvent, PurgeHold, Stage
from pydantic import Field

from romanhub.portal.api.paging import link_next
from romanhub.portal.auth import Visitor
from romanhub.portal.gate import Gate
from romanhub.portal.inputs import AccountName, Before, Input, Lines, Name, Reason, ReasonInput, Rows
from romanhub.portal.models import Answer
from romanhub.portal.problems import described
from romanhub.portal.purging import OwnThing, Purging
from romanhub.portal.reading import Reading

_Plan = Annotated[int, Path(ge=1, lt=2**63, description="The plan's number.")]
_Thing = Annotated[int, Path(ge=1, lt=2**63, description="The thing's number.")]


class PlanModel(Answer):
    """A plan: what was found at one moment, for an administrator to review."""

    id: int
    made_at: datetime
    made_by: str
    digest: str = Field(description="SHA-256 over everything that it names; an approval repeats it.")
    accounts: int = Field(description="How many accounts it names things of.")
    things: int
    bytes: int
    files: int
    approved_at: datetime | None
    approved_by: str | None
    override: str | None = Field(description="Why it may pass the limits on how many accounts are purged at once.")
    closed_reason: str | None = Field(description="Why nothing more is done by it; null while it counts.")


class PlansModel(Answer):
    """Plans, newest first."""

    configured: bool = Field(description="Whether plans can be approved here; if not, no purge is set up.")
    plans: tuple[PlanModel, ...]
    next_before: int | None = Field(description="Ask again with this as `before` for what is further back.")


class ThingModel(Answer):
    """A thing that a plan names, and how far it has come."""

    id: int
    plan: int
    account: str
    adapter: str = Field(description="Which part of the purge's settings it belongs to.")
    name: str
    bytes: int
    files: int
    newest: datetime | None = Field(description="When anything in it was last changed, when the plan was made.")
    why: str = Field(description="Why it is in the plan.")
    stage: Stage
    stage_at: datetime
    due: datetime | None = Field(description="When the next step may be taken.")
    reason: str | None = Field(description="Why it is left alone, or who asked for it back.")
    asked_by: str | None
    place: str | None = Field(description="Where it was brought back to.")


class OfAccountModel(Answer):
    """What a plan names of one account."""

    account: str
    things: int
    bytes: int
    files: int


class ReviewModel(Answer):
    """A plan with what it names."""

    plan: PlanModel
    accounts: tuple[OfAccountModel, ...] = Field(description="By account, the largest first; all of them.")
    stages: dict[Stage, int] = Field(description="How many things are at each stage.")
    things: tuple[ThingModel, ...] = Field(description="A page of the things, by number.")
    next_after: int | None = Field(description="Ask again with this as `after` for the next page.")


class EventModel(Answer):
    """Something that was done under a plan."""

    id: int
    thing: int | None
    at: datetime
    kind: str
    actor: str
    text: str


class EventsModel(Answer):
    """What was done under a plan, newest first."""

    events: tuple[EventModel, ...]
    next_before: int | None = Field(description="Ask again with this as `before` for what is further back.")


class HoldModel(Answer):
    """An account is, or was, on hold: nothing of it is purged."""

    account: str
    placed_at: datetime
    placed_by: str
    reason: str
    lifted_at: datetime | None
    lifted_by: str | None
    lifted_reason: str | None


class HoldsModel(Answer):
    """Holds, newest first."""

    holds: tuple[HoldModel, ...]


class OnHoldModel(Answer):
    """Whether an account is on hold now."""

    account: str
    on_hold: bool


class OwnThingModel(ThingModel):
    """A thing of an account, and what is happening to it."""

    text: str = Field(description="What that means for its owner.")
    can_ask: bool = Field(description="Whether it can be asked for now.")


class OwnThingsModel(Answer):
    """What plans name, or have taken, of an account, newest first."""

    account: str
    things: tuple[OwnThingModel, ...]


class ApprovalOfPlanInput(Input):
    """An administrator's word on a plan that they have read."""

    digest: Annotated[
        str,
        Field(pattern=r"^[0-9a-f]{8,64}$", description="The plan's digest, or its first eight letters or more."),
    ]
    override: Annotated[
        Reason | None, Field(description="Why it may purge more accounts at once than the limits allow.")
    ] = None


class HoldInput(Input):
    """An account to put on hold."""

    account: Name
    reason: Reason


class ReleaseInput(Input):
    """An account whose hold to lift."""

    account: Name
    reason: Reason


def routes(gate: Gate, reading: Reading, purging: Purging) -> APIRouter:
    """The routes of purges."""
    router = APIRouter(tags=["purge"])
    anybody, requester = Depends(gate.anybody), Depends(gate.requester)
    auditor, admin = Depends(gate.auditor), Depends(gate.admin)

    @router.get("/purge/plans")
    async def list_plans(
        request: Request,
        response: Response,
        before: Before = None,
        limit: Rows = 50,
        _visitor: Visitor = auditor,
    ) -> PlansModel:
        """Plans of purges, newest first."""
        found, following = await purging.plans(limit=limit, before=before)
        link_next(request, response, before=following)
        plans = tuple(_plan(one) for one in found)
        return PlansModel(configured=purging.configured, plans=plans, next_before=following)

    @router.get("/purge/plans/{number}", responses=described(404))
    async def read_plan(
        request: Request,
        response: Response,
        number: _Plan,
        after: Annotated[int, Query(ge=0, lt=2**63, description="Only things with a higher number.")] = 0,
        limit: Lines = 100,
        _visitor: Visitor = auditor,
    ) -> ReviewModel:
        """A plan: what it names, whose, how many bytes and why, and how far each thing has come."""
        found = await purging.review(number)
        items = [item for item in found.items if item.id > after]
        following = items[limit - 1].id if len(items) > limit else None
        link_next(request, response, after=following)
        return ReviewModel(
            plan=_plan(found.plan),
            accounts=tuple(
                OfAccountModel(account=one.account, things=one.things, bytes=one.bytes, files=one.files)
                for one in found.accounts
            ),
            stages=found.stages,
            things=tuple(ThingModel.model_validate(_thing(item)) for item in items[:limit]),
            next_after=following,
        )

    @router.get("/purge/plans/{number}/events", responses=described(404))
    async def list_plan_events(
        request: Request,
        response: Response,
        number: _Plan,
        before: Before = None,
        limit: Lines = 100,
        _visitor: Visitor = auditor,
    ) -> EventsModel:
        """What was done under a plan, and by whom, newest first."""
        found = [one for one in await purging.events(number) if before is None or one.id < before]
        following = found[limit - 1].id if len(found) > limit else None
        link_next(request, response, before=following)
        return EventsModel(events=tuple(_event(one) for one in found[:limit]), next_before=following)

    @router.post("/purge/plans/{number}/approval", responses=described(404, 409))
    async def approve_plan(number: _Plan, given: ApprovalOfPlanInput, visitor: Visitor = admin) -> PlanModel:
        """Let a plan be carried out by the next run of the command. One that is approved stays as it is."""
        return _plan(await purging.approve(visitor, number, digest=given.digest, override=given.override))

    @router.post("/purge/plans/{number}/cancellation", responses=described(404, 409))
    async def cancel_plan(number: _Plan, given: ReasonInput, visitor: Visitor = admin) -> PlanModel:
        """Stop a plan. The next run gives back what was moved aside."""
        return _plan(await purging.cancel(visitor, number, reason=given.reason))

    @router.get("/purge/holds")
    async def list_holds(
        lifted: Annotated[bool, Query(description="Also those that were lifted.")] = False,
        _visitor: Visitor = auditor,
    ) -> HoldsModel:
        """The accounts on hold."""
        return HoldsModel(holds=tuple(_hold(one) for one in await purging.holds(lifted=lifted)))

    @router.post("/purge/holds", responses=described(404, 409))
    async def hold(given: HoldInput, visitor: Visitor = requester) -> OnHoldModel:
        """Put an account on hold. For administrators, and PIs for their projects and the members of them.

        An account that is on hold already stays so, with the reason that was given first.
        """
        await purging.hold(visitor, given.account, reason=given.reason)
        return OnHoldModel(account=given.account, on_hold=True)

    @router.post("/purge/releases", responses=described(404, 409))
    async def release(given: ReleaseInput, visitor: Visitor = requester) -> OnHoldModel:
        """Lift the hold on an account; of one that is on none, change nothing."""
        await purging.release(visitor, given.account, reason=given.reason)
        return OnHoldModel(account=given.account, on_hold=False)

    @router.get("/purge/things")
    async def list_things(account: AccountName = None, visitor: Visitor = anybody) -> OwnThingsModel:
        """What plans name, or have taken, of an account: the caller's own, or one that they may read."""
        name = await reading.account(visitor, account)
        return OwnThingsModel(account=name, things=tuple(_own(one) for one in await purging.things(name)))

    @router.post("/purge/things/{number}/return", responses=described(404, 409))
    async def ask_back(number: _Thing, visitor: Visitor = requester) -> OwnThingModel:
        """Ask for a thing that was taken; the next run of the command brings it back."""
        return _own(await purging.ask_back(visitor, number))

    return router


def _plan(one: Plan) -> PlanModel:
    return PlanModel(
        id=one.id,
        made_at=one.made_at,
        made_by=one.made_by,
        digest=one.digest,
        accounts=one.accounts,
        things=one.items,
        bytes=one.bytes,
        files=one.files,
        approved_at=one.approved_at,
        approved_by=one.approved_by,
        override=one.override,
        closed_reason=one.closed_reason,
    )


def _thing(item: Item) -> dict[str, object]:
    return {
        "id": item.id,
        "plan": item.plan,
        "account": item.account,
        "adapter": item.adapter,
        "name": item.name,
        "bytes": item.seen.bytes,
        "files": item.seen.files,
        "newest": item.seen.newest,
        "why": item.why,
        "stage": item.stage,
        "stage_at": item.stage_at,
        "due": item.due,
        "reason": item.reason,
        "asked_by": item.asked_by,
        "place": item.place,
    }


def _own(one: OwnThing) -> OwnThingModel:
    return OwnThingModel.model_validate({**_thing(one.item), "text": one.text, "can_ask": one.can_ask})


def _event(one: PurgeEvent) -> EventModel:
    return EventModel(id=one.id, thing=one.item, at=one.at, kind=one.kind, actor=one.actor, text=one.text)


def _hold(one: PurgeHold) -> HoldModel:
    return HoldModel(
        account=one.account,
        placed_at=one.placed_at,
        placed_by=one.placed_by,
        reason=one.reason,
        lifted_at=one.lifted_at,
        lifted_by=one.lifted_by,
        lifted_reason=one.lifted_reason,
    )
