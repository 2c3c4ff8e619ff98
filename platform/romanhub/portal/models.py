"""What the portal's JSON API answers with.

Amounts of credits are decimal text, with up to ten decimals: one unit of the ledger is 1/3,600,000,000 of a
credit, so ten decimals name every amount in the ledger without doubt. Times are UTC.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from hubquota.models.ledger import Balance, EntryKind
from hubquota.models.money import to_credits
from hubquota.models.tiers import Size, Tier
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

_TEN_DECIMALS = Decimal("1e-10")


def credits_text(units: int) -> str:
    """Units of the ledger as credits in decimal text, such as `37.25`, with no more decimals than it takes."""
    text = f"{to_credits(units).quantize(_TEN_DECIMALS):f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


#: An amount that is held in units and written in credits.
Amount = Annotated[int, PlainSerializer(credits_text, return_type=str)]


def _price_text(price: Decimal) -> str:
    return f"{price.normalize():f}"


#: A price in credits an hour, exact.
Price = Annotated[Decimal, PlainSerializer(_price_text, return_type=str)]


class Answer(BaseModel):
    """What the API answers with: it does not change once it is made."""

    model_config = ConfigDict(frozen=True)


class BalanceModel(Answer):
    """What an account has, in credits."""

    posted: Amount = Field(description="The sum of everything granted and charged so far, in credits.")
    accrued: Amount = Field(description="What running things have used and are charged for when they end.")
    set_aside: Amount = Field(description="What running things still hold for their first minutes.")
    available: Amount = Field(description="What can be used now: posted, less accrued, less set aside.")


class RunningModel(Answer):
    """Something that runs, or is starting, and what it has cost."""

    kind: str = Field(description="What runs, such as server or dask-worker.")
    key: str = Field(description="Which one, such as server:ada/.")
    label: str = Field(description="What people call it.")
    price: Price = Field(description="What it costs, in credits an hour.")
    started_at: datetime | None = Field(description="When it began to run; null while it is starting.")
    seconds: int = Field(description="How long it has run, in seconds.")
    cost: Amount = Field(description="What it has cost so far, in credits.")
    notice: str | None = Field(description="Why it is about to be stopped, where it is.")


class SessionModel(Answer):
    """The session that a charge is for."""

    kind: str = Field(description="What ran, such as server or dask-worker.")
    key: str = Field(description="Which one, such as server:ada/.")
    label: str = Field(description="What people call it.")
    price: Price = Field(description="What it cost, in credits an hour.")
    started_at: datetime | None = Field(description="When it began to run.")
    ended_at: datetime | None = Field(description="When it ended.")
    seconds: int = Field(description="How long it ran, in seconds; the charge is for exactly these.")
    reason: str | None = Field(description="Why it ended.")


class EntryModel(Answer):
    """One line of an account's journal."""

    id: int = Field(description="The line's number.")
    at: datetime = Field(description="When it was written.")
    kind: EntryKind = Field(description="What it says: a grant, a charge, a correction, an expiry and so on.")
    amount: Amount = Field(description="Credits: above zero for what adds, below zero for what takes away.")
    balance_after: Amount = Field(description="The posted balance after this line, in credits.")
    actor: str = Field(description="Who did it: a person, or a part of the platform.")
    reason: str = Field(description="Why.")
    session: SessionModel | None = Field(
        description="The session that the charge is for, where it is for the whole of one; else null."
    )


class AccountModel(Answer):
    """An account, without its history."""

    name: str = Field(description="Whose account it is.")
    kind: str = Field(description="What kind of account it is.")
    tier: str = Field(description="The tier it is on.")
    opened_at: datetime = Field(description="When it was opened.")


class StatementModel(Answer):
    """An account's story, newest first."""

    account: AccountModel
    balance: BalanceModel
    running: tuple[RunningModel, ...] = Field(description="What runs now.")
    entries: tuple[EntryModel, ...] = Field(description="The journal, newest line first.")
    next_before: int | None = Field(
        description="Ask again with this as `before` for the lines further back; null at the beginning."
    )


class MeModel(Answer):
    """Who is asking, and what they have."""

    name: str
    tier: str = Field(description="The tier, or the one that a first start will open the account on.")
    admin: bool = Field(description="Whether this request may read every account.")
    balance: BalanceModel | None = Field(description="Null until the person's first start opens their account.")


class TiersModel(Answer):
    """What each tier offers; sizes are described once, and tiers name them."""

    ask: str = Field(description="How to ask for more.")
    sizes: dict[str, Size] = Field(description="The sizes of machine, by name.")
    tiers: dict[str, Tier] = Field(description="The tiers, by name, smallest first.")


class HealthModel(Answer):
    """Whether the portal can do its work."""

    status: Literal["ok"] = "ok"


def balance_model(balance: Balance) -> BalanceModel:
    """Return a balance as the API says it."""
    return BalanceModel(
        posted=balance.posted,
        accrued=balance.accrued,
        set_aside=balance.set_aside,
        available=balance.available,
    )
