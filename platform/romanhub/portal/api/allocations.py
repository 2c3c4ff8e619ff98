"""Acts on allocations. Each needs a reason and a key that says which act it is."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from hubquota.models.ledger import Allocation
from hubquota.models.money import to_units

from romanhub.portal.acts import Acts, Switch
from romanhub.portal.answers import AllocationModel, AllocationsModel, allocation_model
from romanhub.portal.auth import Visitor
from romanhub.portal.desk import Desk
from romanhub.portal.gate import Gate
from romanhub.portal.inputs import (
    CorrectionInput,
    ExtensionInput,
    GrantInput,
    IdempotencyKey,
    ReasonInput,
    SupplementInput,
    TransferInput,
)
from romanhub.portal.problems import described
from romanhub.portal.reading import Reading

_Id = Annotated[int, Path(ge=1, lt=2**63, description="The allocation's number.")]


def routes(gate: Gate, desk: Desk, reading: Reading, acts: Acts) -> APIRouter:
    """The routes of acts on allocations."""
    router = APIRouter(tags=["allocations"], responses=described(404, 409))
    admin = Depends(gate.admin)

    def said(one: Allocation) -> AllocationModel:
        return allocation_model(one, desk.tiers, desk.clock())

    @router.post("/allocations", status_code=201)
    async def grant(
        given: GrantInput, idempotency_key: IdempotencyKey, visitor: Visitor = admin
    ) -> AllocationModel:
        """Open an allocation on an account."""
        found = await acts.grant(
            visitor,
            given.account,
            to_units(given.amount),
            reason=given.reason,
            key=_key(visitor, idempotency_key),
            tier=given.tier,
            start=given.start,
            end=given.end,
            renewable=given.renewable,
        )
        return said(found)

    @router.post("/allocations/{number}/supplement")
    async def supplement(
        number: _Id, given: SupplementInput, idempotency_key: IdempotencyKey, visitor: Visitor = admin
    ) -> AllocationModel:
        """Add credits to an allocation."""
        key, units = _key(visitor, idempotency_key), to_units(given.amount)
        return said(await acts.supplement(visitor, number, units, reason=given.reason, key=key))

    @router.post("/allocations/{number}/extension")
    async def extend(
        number: _Id, given: ExtensionInput, idempotency_key: IdempotencyKey, visitor: Visitor = admin
    ) -> AllocationModel:
        """Move the end of an allocation's term to a later day, or take its end away."""
        key = _key(visitor, idempotency_key)
        return said(await acts.extend(visitor, number, given.end, reason=given.reason, key=key))

    @router.post("/allocations/{number}/transfer")
    async def transfer(
        number: _Id, given: TransferInput, idempotency_key: IdempotencyKey, visitor: Visitor = admin
    ) -> AllocationsModel:
        """Move credits from an allocation to another. The answer is both, the giving one first."""
        key, units = _key(visitor, idempotency_key), to_units(given.amount)
        found = await acts.transfer(visitor, number, given.target, units, reason=given.reason, key=key)
        return AllocationsModel(allocations=tuple(said(one) for one in found))

    @router.post("/allocations/{number}/correction")
    async def correct(
        number: _Id, given: CorrectionInput, idempotency_key: IdempotencyKey, visitor: Visitor = admin
    ) -> AllocationModel:
        """Put right a mistake in the journal, whose lines are never changed."""
        key, units = _key(visitor, idempotency_key), to_units(given.amount)
        return said(await acts.correct(visitor, number, units, reason=given.reason, key=key))

    async def switch(visitor: Visitor, number: int, what: Switch, given: ReasonInput, key: str) -> AllocationModel:
        return said(await acts.switch(visitor, number, what, reason=given.reason, key=_key(visitor, key)))

    @router.post("/allocations/{number}/suspension")
    async def suspend(
        number: _Id, given: ReasonInput, idempotency_key: IdempotencyKey, visitor: Visitor = admin
    ) -> AllocationModel:
        """Let an allocation pay for nothing new; its term goes on."""
        return await switch(visitor, number, "suspend", given, idempotency_key)

    @router.post("/allocations/{number}/resumption")
    async def resume(
        number: _Id, given: ReasonInput, idempotency_key: IdempotencyKey, visitor: Visitor = admin
    ) -> AllocationModel:
        """Let an allocation that was suspended pay again."""
        return await switch(visitor, number, "resume", given, idempotency_key)

    @router.post("/allocations/{number}/revocation")
    async def revoke(
        number: _Id, given: ReasonInput, idempotency_key: IdempotencyKey, visitor: Visitor = admin
    ) -> AllocationModel:
        """End an allocation's term now. What it has left lapses."""
        return await switch(visitor, number, "revoke", given, idempotency_key)

    return router


def _key(visitor: Visitor, given: str) -> str:
    """Return the ledger's key: two people who choose the same one do two things."""
    return f"api:{visitor.name}:{given}"
