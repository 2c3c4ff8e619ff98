"""What the portal knows of a Dask cluster of the user's: cost, time left, warnings and why it ended.

These models read answers, so they pass over what they do not know. Amounts are credits.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field

from romanhub.client.account import counted, credits_text
from romanhub.client.connection import Portal


class _Reply(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class ClusterState(_Reply):
    """One cluster at a moment."""

    name: str = Field(description="What the gateway calls it.")
    account: str = Field(description="The account that pays.")
    started_at: datetime = Field(description="When it was made.")
    ended_at: datetime | None = Field(description="When it ended; none while it runs.")
    reason: str | None = Field(description="Why it ended, or is about to.")
    workers: int = Field(description="How many workers run now.")
    most: int = Field(description="How many workers it could have now.")
    limit: int = Field(description="How many workers may run on the account at once.")
    price: Decimal = Field(description="What its workers cost now, in credits an hour.")
    cost: Decimal = Field(description="What it has cost so far, in credits.")
    seconds_left: int | None = Field(description="How long what pays for it lasts; none where nothing is used up.")
    warnings: tuple[str, ...] = Field(description="What its owner should know, oldest first.")

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.ended_at is not None

    @property
    def cost_text(self) -> str:
        """What it has cost so far, in credits: its first minutes cost less than can be told in hundredths."""
        return "less than 0.01" if 0 < self.cost < Decimal("0.01") else f"{self.cost:.2f}"

    def lines(self) -> list[str]:
        """Return what it costs and how long it lasts, as sentences; last, why it ended or what to watch for."""
        cost = f"{self.cost_text} credits"
        if self.ended_at is not None:
            return [
                f"It has cost {cost}.",
                f"It ended on {self.ended_at:%Y-%m-%d at %H:%M} UTC. {self.reason or ''}",
            ]
        now = (
            f"{counted(self.workers, 'worker')} now for {credits_text(self.price)} credits an hour"
            if self.workers
            else "No worker runs now"
        )
        left = (
            f" At this rate, what {self.account} has lasts {time_text(self.seconds_left)}."
            if self.seconds_left is not None
            else ""
        )
        return [f"{now}; {cost} so far.{left}", *self.warnings]


class Offer(_Reply):
    """What an account could start now."""

    account: str = Field(description="The account that would pay.")
    own: bool = Field(description="Whether it is the user's own.")
    tier: str = Field(description="The title of its tier.")
    workers: int = Field(description="How many workers may run on it at once, over all clusters.")
    room: int = Field(description="How many could start now.")
    price: Decimal = Field(description="What a worker costs while it runs, in credits an hour.")
    available: Decimal = Field(description="What the account, or the user's cap on it, has left, in credits.")
    running: Decimal = Field(description="What runs on it already costs, in credits an hour.")


def read_cluster(portal: Portal, name: str) -> ClusterState:
    """Return a cluster of the user's. Raises what `Portal.get` raises."""
    return portal.get(f"api/clusters/{name}", ClusterState)


def read_offer(portal: Portal, account: str | None, *, worker_cores: int = 0, worker_memory: int = 0) -> Offer:
    """Return what an account could start now.

    Raises what `Portal.get` raises.

    :param account: the account that would pay; without one, that which pays by default.
    :param worker_cores: the cores of a worker; 0 for all that the account's tier gives.
    :param worker_memory: the memory of a worker, in GiB; 0 for all that the account's tier gives.
    """
    asked = {"account": account, "worker_cores": worker_cores, "worker_memory": worker_memory}
    query = urlencode({name: value for name, value in asked.items() if value})
    return portal.get(f"api/clusters/offer{'?' if query else ''}{query}", Offer)


def time_text(seconds: int) -> str:
    """Write a length of time for people, rounded down: about 3 hours, 12 minutes, 40 seconds."""
    for size, noun in ((172_800, "day"), (7200, "hour"), (120, "minute")):
        if seconds >= size:
            unit = {"day": 86_400, "hour": 3600, "minute": 60}[noun]
            return f"about {counted(seconds // unit, noun)}"
    return counted(max(0, seconds), "second")
