"""The same act on many accounts at once: first as a plan that is shown, then as it was shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from hubquota.models.ledger import Allocation, ImpossibleError, UnknownAccountError
from hubquota.models.reading import AccountQuery
from hubquota.services.allocations import Allocations
from hubquota.services.base import Service
from hubquota.storage import accounts, allocations, directory
from hubquota.storage.engine import reading
from hubquota.storage.times import moment


@dataclass(frozen=True, slots=True)
class BulkAct:
    """What to do to the allocation of each account that ends last: add credits, days, or both."""

    #: Units to add; none if zero.
    units: int = 0
    #: Days to add to the term; none if zero.
    days: int = 0

    def __post_init__(self) -> None:
        if self.units < 0 or self.days < 0 or not (self.units or self.days):
            raise ValueError("Say how many credits or how many days to add: one of them, above zero.")


@dataclass(frozen=True, slots=True)
class BulkRow:
    """One account of a plan, as it was seen."""

    account: str
    #: The allocation that would be changed; None where there is none, and `refusal` says why.
    allocation: Allocation | None
    #: Its end after the act; None where it has none.
    end: datetime | None
    refusal: str | None


@dataclass(frozen=True, slots=True)
class BulkResult:
    """What came of a plan for one account."""

    account: str
    allocation: int
    #: None where it was done; else why it was not.
    refusal: str | None


class Bulk(Service):
    """Supplements and extends allocations of many accounts."""

    def matching(
        self, query: AccountQuery, *, limit: int, after: str | None = None
    ) -> tuple[list[str], str | None]:
        """Return names of accounts that a query finds, and what to pass as `after` for more; None at the end.

        Args:
            query: which.
            limit: how many names at most.
            after: what the call before returned.

        Raises:
            ValueError: `after` is not of this query's order.
        """
        with reading(self._engine) as connection:
            found = directory.page(connection, query, after=after, limit=limit + 1, now=self._now())
        shown = found[:limit]
        return [owner.name for owner, _ in shown], shown[-1][1] if len(found) > limit else None

    def preview(self, names: Sequence[str], act: BulkAct) -> list[BulkRow]:
        """Return what an act would change, in the order of the names. Nothing is changed."""
        rows: list[BulkRow] = []
        with self._reading_of(*names) as connection:
            now = self._now()
            for name in dict.fromkeys(names):
                owner = accounts.find(connection, name)
                if owner is None:
                    rows.append(BulkRow(name, None, None, f"There is no account '{name}'."))
                    continue
                running = [
                    one
                    for one in allocations.of_account(connection, owner.id, now, lapsed=False)
                    if one.end is None or one.end > moment(now)
                ]
                if not running:
                    rows.append(BulkRow(name, None, None, "It has no allocation whose term is not over."))
                    continue
                last = running[-1]
                if act.days and last.end is None:
                    rows.append(BulkRow(name, None, None, f"Allocation {last.id} has no end to move."))
                    continue
                rows.append(BulkRow(name, last, _later(last.end, act.days), None))
        return rows

    def apply(
        self, plan: Sequence[tuple[int, datetime | None]], act: BulkAct, *, actor: str, reason: str, key: str
    ) -> list[BulkResult]:
        """Do what was shown, to the allocations that were shown, each in a transaction of its own.

        An allocation whose end is no longer what the plan saw is left alone, and the result says so. What was
        done once under a key is not done again, so a plan that was interrupted can be repeated.

        Args:
            plan: each allocation's number, and the end that it had when it was shown.
            act: what to do.
            actor: who does it.
            reason: why.
            key: says which plan this is.

        Raises:
            ValueError: there is no reason.
        """
        if not reason.strip():
            raise ValueError("Say why: the reason is on every line that is written.")
        ledger = Allocations.sharing(self)
        results = []
        for number, seen_end in plan:
            with reading(self._engine) as connection:
                found = allocations.find(connection, number, self._now())
            name = found.account if found else ""
            try:
                if found is None:
                    raise ImpossibleError(f"There is no allocation {number}.")
                goal = _later(seen_end, act.days)
                if found.end not in (seen_end, goal):
                    raise ImpossibleError("Its end has been moved since the plan was shown. Look again.")
                if act.units:
                    ledger.supplement(number, act.units, actor=actor, reason=reason, key=f"{key}:{number}")
                if act.days:
                    ledger.extend_term(number, goal, actor=actor, reason=reason, key=f"{key}:{number}")
            except (ValueError, UnknownAccountError) as refusal:
                results.append(BulkResult(name, number, str(refusal)))
            else:
                results.append(BulkResult(name, number, None))
        return results


def _later(end: datetime | None, days: int) -> datetime | None:
    return None if end is None else end + timedelta(days=days)
