"""Scratch space with an end, and what was read of the data."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from hubquota.models.money import price_of
from hubquota.models.scratch import Quote, Scratch, ScratchState
from pydantic import Field

from romanhub.portal.auth import Visitor
from romanhub.portal.gate import Gate
from romanhub.portal.inputs import Input, Moment, Name
from romanhub.portal.models import Amount, Answer, Price
from romanhub.portal.problems import described
from romanhub.portal.scratching import Scratching

_Id = Annotated[int, Path(ge=1, lt=2**63, description="Its number.")]
_Gib = Annotated[int, Field(ge=1, le=1_000_000, description="Its size in GiB.")]
_Days = Annotated[int, Field(ge=1, le=365, description="How many days.")]


class ScratchModel(Answer):
    """A scratch space."""

    id: int = Field(description="Its number.")
    account: str = Field(description="The account that pays.")
    name: str = Field(description="Its name, one of the account's own.")
    gib: int = Field(description="Its size in GiB.")
    state: ScratchState = Field(description="Whether it is open, has ended, was moved aside, or is gone.")
    price: Price = Field(description="What it costs, in credits an hour.")
    made_at: datetime = Field(description="When it was made.")
    ends_at: datetime = Field(description="When it ends.")
    ended_at: datetime | None = Field(description="When it ended; null while it is open.")
    used: int | None = Field(description="What was in it, in bytes, at the last look; null before the first.")
    measured_at: datetime | None = Field(description="When that was.")


class ScratchesModel(Answer):
    """Scratch spaces."""

    scratch: tuple[ScratchModel, ...]


class QuoteModel(Answer):
    """What a scratch space would cost."""

    gib: int
    days: int
    price: Amount = Field(description="What it costs in all, in credits.")
    ends_at: datetime


class ScratchInput(Input):
    """A scratch space to be made."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,62}$", description="Its name, one of the account's own.")
    gib: _Gib
    days: _Days
    account: Name | None = Field(default=None, description="Who pays; the caller if not given.")


class ExtensionInput(Input):
    """How a scratch space is extended."""

    days: _Days
    ends_at: Moment | None = Field(
        default=None,
        description="The end that the caller knows of. Where it is another by now, nothing is changed: so what is "
        "sent twice is done once.",
    )


class DataReadModel(Answer):
    """What was read of one data set, in one region, by one cluster or by notebooks."""

    dataset: str
    region: str
    cluster: str | None = Field(description="The Dask cluster; null for notebooks.")
    bytes: int
    requests: int


class DataReadsModel(Answer):
    """What the caller's programs reported that they read, in the last thirty days."""

    reads: tuple[DataReadModel, ...]


def routes(gate: Gate, scratching: Scratching) -> APIRouter:
    """The routes of scratch."""
    router = APIRouter(tags=["scratch"])
    # Defaults rather than annotations: FastAPI cannot look up an annotation that is local to a function.
    person = Depends(gate.person)

    @router.get("/scratch")
    async def list_scratch(visitor: Visitor = person) -> ScratchesModel:
        """The scratch spaces of the accounts that the caller may draw on."""
        return ScratchesModel(scratch=tuple(scratch_model(one) for one in await scratching.spaces(visitor)))

    @router.get("/scratch/price")
    async def scratch_price(
        gib: Annotated[int, Query(ge=1, le=1_000_000, description="Its size in GiB.")],
        days: Annotated[int, Query(ge=1, le=365, description="How many days.")],
        _visitor: Visitor = person,
    ) -> QuoteModel:
        """What a scratch space of a size would cost for some days."""
        return _quote_model(await scratching.quote(gib, days))

    @router.post("/scratch", status_code=201, responses=described(404, 409))
    async def make_scratch(given: ScratchInput, visitor: Visitor = person) -> ScratchModel:
        """Make a scratch space. There is one of a name on an account, so a repeated call makes no second one."""
        return scratch_model(
            await scratching.make(visitor, account=given.account, name=given.name, gib=given.gib, days=given.days)
        )

    @router.post("/scratch/{number}/extension", responses=described(404, 409))
    async def extend_scratch(number: _Id, given: ExtensionInput, visitor: Visitor = person) -> ScratchModel:
        """Put off the end of a scratch space; one that has ended and is still there is open again."""
        return scratch_model(await scratching.extend(visitor, number, days=given.days, end_seen=given.ends_at))

    @router.post("/scratch/{number}/release", responses=described(404))
    async def release_scratch(number: _Id, visitor: Visitor = person) -> ScratchModel:
        """End a scratch space now. One that has ended stays as it is."""
        return scratch_model(await scratching.release(visitor, number))

    @router.get("/data-read")
    async def data_read(visitor: Visitor = person) -> DataReadsModel:
        """What the caller's programs reported that they read of the data, in the last thirty days."""
        return DataReadsModel(
            reads=tuple(
                DataReadModel(
                    dataset=one.dataset,
                    region=one.region,
                    cluster=one.cluster or None,
                    bytes=one.bytes,
                    requests=one.requests,
                )
                for one in await scratching.read(visitor)
            )
        )

    return router


def scratch_model(one: Scratch) -> ScratchModel:
    """Return a scratch space as the API says it."""
    return ScratchModel(
        id=one.id,
        account=one.account,
        name=one.name,
        gib=one.gib,
        state=one.state,
        price=price_of(one.rate),
        made_at=one.made_at,
        ends_at=one.ends_at,
        ended_at=one.ended_at,
        used=one.used,
        measured_at=one.measured_at,
    )


def _quote_model(quote: Quote) -> QuoteModel:
    return QuoteModel(gib=quote.gib, days=quote.days, price=quote.price, ends_at=quote.ends_at)
