"""The same decision about many requests: first as a plan that is shown, then as it was shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from hubquota.models.ledger import UnknownAccountError, UnknownRequestError
from hubquota.models.requests import Actor, ConflictingRequestError, Request
from hubquota.models.tiers import Tiers
from hubquota.services.requests import Requests

#: What is decided about a request.
Verdict = Literal["approve", "deny"]

_DECIDED: dict[Verdict, str] = {"approve": "approved", "deny": "denied"}


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """One request of a plan, as it was seen."""

    number: int
    #: None where there is no request of that number.
    request: Request | None
    #: The term of what would be granted; None where nothing would.
    start: datetime | None
    end: datetime | None
    #: Why it is left alone; None where it would be decided.
    refusal: str | None


@dataclass(frozen=True, slots=True)
class DecisionResult:
    """What came of a plan for one request."""

    number: int
    #: Whose it is; empty where there is no such request.
    account: str
    #: None where it was decided; else why it was not.
    refusal: str | None


class Decisions(Requests):
    """Approves or denies many requests. What is approved is granted in full, for the term of its tier."""

    def preview(self, numbers: Sequence[int], verdict: Verdict, tiers: Tiers) -> list[DecisionRow]:
        """Return what a decision would come to, in the order of the numbers. Nothing is changed."""
        rows: list[DecisionRow] = []
        for number in dict.fromkeys(numbers):
            start = end = None
            request: Request | None = None
            refusal = None
            try:
                request = self.request(number)
                if not request.is_open:
                    refusal = f"It was {request.decision} by {request.decided_by} already."
                elif verdict == "approve":
                    start, end = self.term_of(request, _days(tiers, request))
            except (ValueError, UnknownRequestError) as error:
                refusal = str(error)
            rows.append(DecisionRow(number, request, start, end, refusal))
        return rows

    def carry_out(
        self,
        plan: Sequence[tuple[int, datetime | None]],
        verdict: Verdict,
        tiers: Tiers,
        *,
        by: Actor,
        reason: str,
    ) -> list[DecisionResult]:
        """Decide what was shown, each request in a transaction of its own.

        What somebody has decided meanwhile is left alone, and the result says so. What this very decision was
        made about before counts as done, so a plan that was interrupted can be repeated.

        Args:
            plan: each request's number, and the end of the term that was shown.
            verdict: the decision.
            tiers: what the tiers file says.
            by: who decides.
            reason: why, for whoever asked.

        Raises:
            ValueError: there is no reason.
        """
        if not reason.strip():
            raise ValueError("Say why: everybody who asked reads the reason.")
        results = []
        for number, end in plan:
            refusal, account = None, ""
            try:
                request = self.request(number)
                account = request.account
                if (request.decision, request.decided_by, request.decision_reason) == (
                    _DECIDED[verdict],
                    by.name,
                    reason,
                ):
                    pass
                elif verdict == "approve":
                    _days(tiers, request)
                    renewable = tiers.tiers[request.tier].renewable
                    self.approve(number, by=by, reason=reason, end=end, renewable=renewable)
                else:
                    self.deny(number, by=by, reason=reason)
            except (ValueError, UnknownRequestError, UnknownAccountError, ConflictingRequestError) as error:
                refusal = str(error)
            results.append(DecisionResult(number, account, refusal))
        return results


def _days(tiers: Tiers, request: Request) -> int:
    """Return how long the term of a request's tier is; raises ValueError where there is no such tier any more."""
    if request.tier not in tiers.tiers:
        raise ValueError(f"There is no tier '{request.tier}' any more. Decide about it by itself.")
    return tiers.tiers[request.tier].term_days
