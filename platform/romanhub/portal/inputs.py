"""What the JSON API takes. Amounts are decimal text in credits, times have a zone, text has no odd characters."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import Header, Query
from hubquota.models.ledger import Role
from hubquota.models.money import LARGEST, MOST_CREDITS, to_units
from hubquota.models.reading import Place
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from romanhub.portal.problems import invalid

_ODD = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]|[\ud800-\udfff]")


def clean_text(text: str) -> str:
    """Return a text in which there is nothing that cannot be kept or shown; raises ValueError."""
    if _ODD.search(text):
        raise ValueError("The text has characters that cannot be shown, such as NUL.")
    return text


def _within_reason(at: datetime) -> datetime:
    if not 2000 <= at.year <= 2200:
        raise ValueError("The year cannot be meant: it is to be from 2000 to 2200.")
    return at.astimezone(UTC)


def _amount(text: str) -> str:
    if abs(to_units(text)) > LARGEST:
        raise ValueError(f"An act moves up to {MOST_CREDITS:,} credits.")
    return text


Text = Annotated[str, AfterValidator(clean_text)]
Reason = Annotated[Text, Field(min_length=1, max_length=2000, description="Why; it is kept with the act.")]
Long = Annotated[Text, StringConstraints(max_length=20_000)]
Name = Annotated[Text, Field(min_length=1, max_length=255, description="An account's name.")]
#: An amount above zero, in credits, with up to eight decimals.
Credits = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]{1,8}(\.[0-9]{1,8})?$"),
    AfterValidator(_amount),
    Field(description="Credits as decimal text, such as 12.5.", examples=["12.5"]),
]
#: An amount that may be below zero.
Signed = Annotated[
    str,
    StringConstraints(pattern=r"^-?[0-9]{1,8}(\.[0-9]{1,8})?$"),
    AfterValidator(_amount),
    Field(description="Credits as decimal text; below zero to take away.", examples=["-2.5"]),
]
Moment = Annotated[AwareDatetime, AfterValidator(_within_reason)]
Number = Annotated[int, Field(ge=1, lt=2**63)]

# Of queries and headers.
Lines = Annotated[int, Query(ge=1, le=500, description="How many lines to answer with.")]
Rows = Annotated[int, Query(ge=1, le=200, description="How many rows to answer with.")]
Before = Annotated[int | None, Query(ge=1, lt=2**63, description="Only lines from before this one.")]
PlaceText = Annotated[str, Query(max_length=60, description="`next_before` of the page before.")]
AccountName = Annotated[
    Text | None,
    Query(max_length=255, description="Whose account or which project; the caller's own if not given."),
]
IdempotencyKey = Annotated[
    str,
    Header(
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="A key of the caller's choice that says which act this is. Sent again with the same key and "
        "the same content, it is not done again and the answer is the same; with another content it is refused.",
    ),
]


def place_of(text: str) -> Place | None:
    """Return the place in an audit that a text names, None for no text; raises PortalError where it is none."""
    try:
        return Place.of(text) if text else None
    except ValueError as error:
        raise invalid(str(error)) from None


class Input(BaseModel):
    """What is sent: nothing but what is described."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class GrantInput(Input):
    """A new allocation."""

    account: Name
    amount: Credits
    reason: Reason
    tier: Annotated[Text | None, Field(max_length=100, description="Its tier; the account's if null.")] = None
    start: Annotated[Moment | None, Field(description="From when on it pays; now if null.")] = None
    end: Annotated[Moment | None, Field(description="When its term ends; null for no end.")] = None
    renewable: bool = Field(default=False, description="Whether another may follow it on request.")


class SupplementInput(Input):
    """Credits to add to an allocation."""

    amount: Credits
    reason: Reason


class ExtensionInput(Input):
    """A later end of an allocation's term."""

    end: Annotated[Moment | None, Field(description="The new end; null takes the end away.")]
    reason: Reason


class TransferInput(Input):
    """Credits to move to another allocation."""

    target: Annotated[Number, Field(description="The allocation that they go to.")]
    amount: Credits
    reason: Reason


class ReasonInput(Input):
    """Why something is done."""

    reason: Reason


class CorrectionInput(Input):
    """A mistake in the journal that is put right."""

    amount: Signed
    reason: Reason


class AskInput(Input):
    """A request for an allocation, or for one that follows another."""

    account: Annotated[Name | None, Field(description="Whose it is to be; the caller's own if null.")] = None
    tier: Annotated[Text | None, Field(max_length=100, description="Its tier; not with `renews`.")] = None
    amount: Annotated[
        Credits | None, Field(description="How much; the tier's budget, or what the last one had, if null.")
    ] = None
    renews: Annotated[Number | None, Field(description="The allocation that it is to follow.")] = None
    justification: Annotated[Long, Field(min_length=1, description="What it is for.")]
    results: Annotated[Long, Field(description="What came of the last term: papers, DOIs.")] = ""


class ApprovalInput(Input):
    """A request that is granted, perhaps cut."""

    reason: Reason
    amount: Annotated[Credits | None, Field(description="Less than was asked for, or null for all of it.")] = None
    tier: Annotated[Text | None, Field(max_length=100, description="Another tier; null for the one asked.")] = None
    start: Annotated[Moment | None, Field(description="When it starts; null for now, or after the last.")] = None
    end: Annotated[
        Moment | None, Field(description="When it ends; null for the tier's term from its start on.")
    ] = None


class ProjectInput(Input):
    """A project that is to be opened. Users and projects share one space of names."""

    name: Name
    pi: Annotated[Name, Field(description="The name of whoever leads it, on the hub.")]
    tier: Annotated[Text, Field(max_length=100, description="The tier that it is on while it has no allocation.")]


class MemberInput(Input):
    """Somebody's part in a project."""

    project: Name
    member: Annotated[Name, Field(description="Their name on the hub.")]
    role: Annotated[Role | None, Field(description="What they are in it; null ends their part.")]


ExportFormat = Literal["csv", "json"]
