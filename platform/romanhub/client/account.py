"""The caller's account and tier, as far as a notebook needs them, from the portal's API.

These models read answers, so they pass over what they do not know: a portal may be newer than the
software in a running server. Amounts are credits.
"""

from __future__ import annotations

from decimal import Decimal

from pydantic import BaseModel, ConfigDict, Field

from romanhub.client.connection import Portal


class _Reply(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Available(_Reply):
    """What an account has."""

    available: Decimal = Field(description="What can be used now, in credits.")


class Running(_Reply):
    """Something that runs on the account, or is starting."""

    kind: str = Field(description="What runs, such as server or dask-worker.")
    label: str = Field(description="What people call it.")
    price: Decimal = Field(description="What it costs, in credits an hour.")
    seconds: int = Field(description="How long it has run, in seconds.")
    cost: Decimal = Field(description="What it has cost so far, in credits.")


class Me(_Reply):
    """Who is asking."""

    name: str = Field(description="The user's name.")
    tier: str = Field(description="The name of the user's tier.")
    balance: Available | None = Field(description="What the account has; none until it is opened.")


class Statement(_Reply):
    """The account's balance and what runs on it."""

    balance: Available = Field(description="What the account has.")
    running: tuple[Running, ...] = Field(description="What runs now.")


class Dask(_Reply):
    """What a tier may do with Dask clusters."""

    workers: int = Field(description="How many workers may run at once, over all clusters.")
    worker_cores: int = Field(description="CPU cores of one worker.")
    worker_memory_gib: int = Field(description="Memory of one worker, in GiB.")
    price: Decimal = Field(description="What one worker costs while it runs, in credits an hour.")


class Tier(_Reply):
    """What a tier offers."""

    title: str = Field(description="The tier's name as people read it.")
    dask: Dask = Field(description="What the tier may do with Dask clusters.")


class Tiers(_Reply):
    """Every tier."""

    ask: str = Field(description="How to ask for more.")
    tiers: dict[str, Tier] = Field(description="The tiers, by name.")


def read_me(portal: Portal) -> Me:
    """Return who is asking. Raises what `Portal.get` raises."""
    return portal.get("api/me", Me)


def read_tiers(portal: Portal) -> Tiers:
    """Return what the tiers offer. Raises what `Portal.get` raises."""
    return portal.get("api/tiers", Tiers)


def read_statement(portal: Portal) -> Statement:
    """Return the balance and what runs. Raises what `Portal.get` raises."""
    return portal.get("api/statement?limit=1", Statement)


def credits_text(amount: Decimal) -> str:
    """Write an amount of credits for people: two decimals, or as many as show that it is not nothing."""
    rounded = amount.quantize(Decimal("0.01"))
    if amount and abs(amount - rounded) * 100 > abs(amount):
        text = f"{amount:.2g}"
        return f"{Decimal(text):f}"
    return f"{rounded:f}"


def counted(count: int, one: str, many: str | None = None) -> str:
    """Write a count with its noun: 1 worker, 2 workers."""
    return f"{count} {one if count == 1 else many or one + 's'}"
