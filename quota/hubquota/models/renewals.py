"""Renewing many allocations at once: what is wanted, what would be done, and what was done."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Filter:
    """Which allocations to renew. Only those that may be renewed and are not, and whose term is not over."""

    #: Only those that end before this time.
    ends_before: datetime
    #: Only those of this tier; None for every tier of the tiers file.
    tier: str | None = None
    #: Only those whose account was charged within so many days before the end; None for all.
    active_within_days: int | None = None
    #: Only accounts whose name this pattern fits: `*` stands for any text, `?` for one character.
    accounts: str = "*"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One line of a list of renewals."""

    line: int
    account: str
    tier: str
    #: Units; None for the tier's budget.
    units: int | None
    #: None for the tier's term.
    end: datetime | None
    reason: str


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a line cannot be done as it is, or was not."""

    line: int
    account: str
    text: str


@dataclass(frozen=True, slots=True)
class Item:
    """One renewal that would be made."""

    line: int
    account: str
    #: The allocation that would be followed.
    allocation: int
    tier: str
    units: int
    start: datetime
    end: datetime
    reason: str
    #: The allocation that follows it by now, where it is done; None before.
    following: int | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """What would be done, and what is wrong."""

    #: With which it is carried out; None where nothing can be, or something is wrong.
    token: str | None
    items: tuple[Item, ...]
    problems: tuple[Problem, ...]

    @property
    def units(self) -> int:
        """What would be granted in all."""
        return sum(item.units for item in self.items)


@dataclass(frozen=True, slots=True)
class Carried:
    """What carrying a preview out has done."""

    renewed: int
    #: Those that an earlier run had done.
    before: int
    #: Those that somebody changed while this ran.
    left_alone: tuple[Problem, ...]


class StalePreviewError(ValueError):
    """Something that a preview saw has changed since."""


class UnknownPreviewError(LookupError):
    """There is no preview of that token."""
