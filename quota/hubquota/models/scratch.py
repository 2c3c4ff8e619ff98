"""Scratch space: so many GiB, under a name, until a date."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from hubquota.models.ledger import AccountKind
from hubquota.models.letters import Letter, letter, time_text
from hubquota.models.money import format_credits

#: The bytes of a GiB.
GIB = 1024**3

_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")

#: Where a scratch space is: open, ended and still there, moved aside, or gone.
ScratchState = Literal["open", "ended", "aside", "cleared"]


def scratch_label(name: str, gib: int) -> str:
    """Return how the lease of a scratch space is labelled."""
    return f"Scratch {name}, {gib} GiB"


def gib_of(label: str) -> int | None:
    """Return how large the scratch space is that a label of `scratch_label` is of; None for any other."""
    size = label.rpartition(", ")[2].removesuffix(" GiB")
    return int(size) if size.isdecimal() else None


class UnknownScratchError(LookupError):
    """There is no scratch space of that number or name."""


@dataclass(frozen=True, slots=True)
class Scratch:
    """One scratch space."""

    id: int
    account: str
    kind: AccountKind
    #: Who made it.
    person: str
    name: str
    gib: int
    made_at: datetime
    ends_at: datetime
    #: The lease that pays for it, or that paid for it last.
    lease: int
    #: What it costs, in units a second.
    rate: int
    ended_at: datetime | None
    reason: str | None
    #: What was found in it, in bytes; None before the first look.
    used: int | None
    measured_at: datetime | None
    aside_at: datetime | None
    cleared_at: datetime | None

    @property
    def state(self) -> ScratchState:
        """Where it is."""
        if self.cleared_at is not None:
            return "cleared"
        if self.aside_at is not None:
            return "aside"
        return "open" if self.ended_at is None else "ended"

    @property
    def is_over(self) -> bool:
        """Whether there was more in it than its size when it was measured last."""
        return self.used is not None and self.used > self.gib * GIB


@dataclass(frozen=True, slots=True)
class Quote:
    """What a scratch space would cost."""

    gib: int
    days: int
    #: Units a second.
    rate: int
    #: Units in all.
    price: int
    ends_at: datetime


def check_name(name: str) -> str:
    """Return a name for a scratch space; raises ValueError where it cannot be one."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"'{name}' cannot be the name of a scratch space: lower-case letters, digits and hyphens, a letter "
            "first, 63 at most."
        )
    return name


def ending_letter(one: Scratch, when: str, grace_days: int) -> Letter:
    """A scratch space nears its end."""
    return letter(
        "scratch-ending",
        f"{one.id}:{int(one.ends_at.timestamp())}:{when}",
        f"The scratch space {one.name} of {one.account} ends on {one.ends_at:%Y-%m-%d}",
        f"{one.gib} GiB of scratch, {one.name} on {one.account}, end at {time_text(one.ends_at)}. Extend it, or "
        f"copy what you need: after its end it cannot be reached, and {grace_days} days later it is taken away.",
    )


def ended_letter(one: Scratch, reason: str, grace_days: int) -> Letter:
    """A scratch space has come to its end."""
    return letter(
        "scratch-ended",
        f"{one.id}:{one.lease}",
        f"The scratch space {one.name} of {one.account} has ended",
        f"{reason} What is in {one.name} cannot be reached any more. For {grace_days} days it is kept: extend it "
        "within them, and everything is there again. After that it is taken away.",
    )


def price_text(quote: Quote) -> str:
    """Return what a scratch space would cost, as a sentence."""
    return (
        f"{quote.gib} GiB for {quote.days} days cost {format_credits(quote.price, rounding='up')} credits, "
        f"charged as time goes by until {time_text(quote.ends_at)}; nothing for the time after an earlier release."
    )
