"""A person's own notices, and whether and where they are sent."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from hubquota.models.notices import Notice
from pydantic import Field

from romanhub.portal.api.paging import link_next
from romanhub.portal.auth import Visitor
from romanhub.portal.gate import Gate
from romanhub.portal.inputs import Before, Input, Number, Rows, Text
from romanhub.portal.mailbox import LONGEST_ADDRESS, Mailbox, Wishes
from romanhub.portal.models import Answer


class NoticeModel(Answer):
    """One thing that the caller is told."""

    id: int = Field(description="The notice's number.")
    kind: str = Field(description="What it is about, such as allocation-expiring.")
    subject: str
    text: str = Field(description="What there is to say, as plain text.")
    optional: bool = Field(description="Whether they may choose not to be sent it.")
    made_at: datetime
    read_at: datetime | None = Field(description="When they have seen it; null before.")


class NoticesModel(Answer):
    """Notices, newest first."""

    notices: tuple[NoticeModel, ...]
    unread: int = Field(description="How many they have not seen, over all pages.")
    next_before: int | None = Field(description="Ask again with this as `before` for what is further back.")


class UnreadModel(Answer):
    """How many notices the caller has not seen."""

    unread: int


class ChoiceModel(Answer):
    """A kind of notice that the caller need not be sent."""

    kind: str
    when: str = Field(description="What it tells of, as the end of a sentence that begins: Tell me when.")
    sent: bool = Field(description="Whether they are sent it.")


class WishesModel(Answer):
    """Whether and where notices are sent; the hub's pages show all of them in any case."""

    address: str | None = Field(
        description="The mail address that was noted; null where the sign-in's counts, if it tells one."
    )
    optional: tuple[ChoiceModel, ...]


class ReadInput(Input):
    """Notices that were seen."""

    numbers: Annotated[
        list[Number] | None, Field(max_length=500, description="Their numbers; null for all of them.")
    ] = None


class WishesInput(Input):
    """Whether and where notices are to be sent."""

    address: Annotated[
        Text | None,
        Field(
            min_length=3,
            max_length=LONGEST_ADDRESS,
            description="A mail address; null for what the sign-in tells.",
        ),
    ]
    sent: Annotated[
        list[Annotated[Text, Field(max_length=100)]],
        Field(max_length=100, description="The optional kinds to be sent; the others of them are not."),
    ]


def routes(gate: Gate, mailbox: Mailbox) -> APIRouter:
    """The routes of notices."""
    router = APIRouter(tags=["notices"])
    person, requester = Depends(gate.person), Depends(gate.requester)

    @router.get("/notices")
    async def list_notices(
        request: Request,
        response: Response,
        unread_only: Annotated[bool, Query(description="Only those that were not seen.")] = False,
        before: Before = None,
        limit: Rows = 50,
        visitor: Visitor = person,
    ) -> NoticesModel:
        """What the caller is told, newest first."""
        found, following = await mailbox.notices(visitor.name, unread_only=unread_only, before=before, limit=limit)
        link_next(request, response, before=following)
        return NoticesModel(
            notices=tuple(_notice(one) for one in found),
            unread=await mailbox.unread(visitor.name),
            next_before=following,
        )

    @router.post("/notices/read")
    async def mark_notices_read(given: ReadInput, visitor: Visitor = requester) -> UnreadModel:
        """Note that the caller has seen notices. Other people's are passed over."""
        return UnreadModel(unread=await mailbox.mark_read(visitor.name, given.numbers))

    @router.get("/notices/wishes")
    async def read_wishes(visitor: Visitor = person) -> WishesModel:
        """Whether and where the caller is sent notices."""
        return _wishes(await mailbox.wishes(visitor.name))

    @router.put("/notices/wishes")
    async def set_wishes(given: WishesInput, visitor: Visitor = requester) -> WishesModel:
        """Say whether and where to be sent notices. It takes the place of what was said before."""
        await mailbox.choose(visitor.name, given.sent)
        await mailbox.set_address(visitor.name, given.address)
        return _wishes(await mailbox.wishes(visitor.name))

    return router


def _notice(one: Notice) -> NoticeModel:
    return NoticeModel(
        id=one.id,
        kind=one.kind,
        subject=one.subject,
        text=one.text,
        optional=one.optional,
        made_at=one.made_at,
        read_at=one.read_at,
    )


def _wishes(found: Wishes) -> WishesModel:
    return WishesModel(
        address=found.address,
        optional=tuple(ChoiceModel(kind=one.kind, when=one.when, sent=one.sent) for one in found.choices),
    )
