"""Requests for allocations, and what was decided about them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from hubquota.models.states import Facts, State, state_of

Decision = Literal["approved", "denied", "withdrawn"]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a person, and whether they run the platform."""

    name: str
    admin: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody's request for an allocation, or for one that follows another."""

    id: int
    account: str
    tier: str
    #: Units that are asked for.
    amount: int
    #: The allocation that it is to follow; None for a first one.
    renews: int | None
    justification: str
    #: What came of the term that it follows: papers, DOIs.
    results: str
    #: What that term had used when this was asked for, in units.
    used: int
    asked_by: str
    asked_at: datetime
    decision: Decision | None
    decided_by: str | None
    decided_at: datetime | None
    decision_reason: str | None
    #: The allocation that an approval opened.
    allocation: int | None

    @property
    def is_open(self) -> bool:
        """Whether nobody has decided about it."""
        return self.decision is None

    @property
    def state(self) -> State:
        """Where it is, as long as it is no allocation."""
        decided = {self.decision: self.decided_at}
        return state_of(
            Facts(
                requested_at=self.asked_at,
                withdrawn_at=decided.get("withdrawn"),
                denied_at=decided.get("denied"),
                granted_at=decided.get("approved"),
                start=decided.get("approved"),
            ),
            self.decided_at or self.asked_at,
        )


class ConflictingRequestError(ValueError):
    """There is an open request for the same thing already, or somebody has decided about it."""


class NotAllowedError(PermissionError):
    """Somebody who may not do that."""
