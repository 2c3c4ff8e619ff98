"""Caps: how much of a project's credits one member may spend, and how many workers they may run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Cap:
    """What one member may use of a project. A new cap takes the place of the one before."""

    project: str
    member: str
    #: Units that they may spend of the allocations whose term is on; None for no cap.
    credits: int | None
    #: How many Dask workers they may run at once; None for no cap.
    workers: int | None
    at: datetime
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class MemberUse:
    """What one person has used of a project in the terms that are on."""

    member: str
    #: Units charged.
    spent: int
    #: Units that what they run has run up, or holds where that is more.
    taken: int
    cap: Cap | None

    @property
    def left(self) -> int | None:
        """What the cap leaves, in units; None without a cap on credits."""
        if self.cap is None or self.cap.credits is None:
            return None
        return self.cap.credits - self.spent - self.taken


@dataclass(frozen=True, slots=True)
class Ending:
    """When nothing pays any more for what somebody runs on an account, and why."""

    at: datetime
    reason: str
