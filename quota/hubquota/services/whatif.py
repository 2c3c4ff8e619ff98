"""What if: another policy on the use of a range of time that is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import groupby
from pathlib import Path

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from hubquota.models.admissions import MINIMUM_SECONDS
from hubquota.models.ledger import ImpossibleError
from hubquota.models.tiers import Tiers, next_change
from hubquota.models.whatif import Budgets, Outcome, Policy, Replay, Source, Sums, Unmapped, Used
from hubquota.models.words import duration_text
from hubquota.services.base import Service
from hubquota.services.tiersfile import load_tiers, parse_tiers
from hubquota.storage import whatif
from hubquota.storage.engine import reading, took_too_long
from hubquota.storage.times import moment, seconds

#: How many accounts are read at a time.
_PAGE = 200
#: How many seconds one statement of a replay may take on PostgreSQL: nobody's start waits for it.
PATIENCE = 120

#: What a replay takes for granted, for whoever reads its outcome.
ASSUMPTIONS = (
    "Each allocation keeps its dates and its tier. What it had paid before the range is spent.",
    "A server's size is told by its label, which has the size's title, and a scratch space's GiB by its own; a "
    "Dask worker costs what the account's tier says. Leases that say none of these keep the price they had, and "
    "are listed as unmapped.",
    "A start needs credits for the first ten minutes of all that would run then. What is refused or stopped is "
    "not tried again.",
    "Suspensions, stops for idleness, longest sessions and the number of Dask clusters are not replayed.",
)


@dataclass(frozen=True, slots=True)
class Report:
    """What a policy would have done. Amounts are units."""

    since: datetime
    until: datetime
    budgets: Budgets
    #: How many accounts there are that ran something or had an allocation, and how many would have run out.
    accounts: int
    accounts_out: int
    total: Sums
    #: By the policy's tiers, in the order of its file.
    tiers: dict[str, Sums]
    #: By kind and label: leases that kept the price they had.
    unmapped: dict[tuple[str, str], Unmapped]
    #: The accounts for which something would have been refused or stopped, by name.
    outcomes: tuple[Outcome, ...]
    assumptions: tuple[str, ...] = ASSUMPTIONS


class WhatIf(Service):
    """Replays what ran."""

    def accounts(self) -> int:
        """Return how many accounts a replay has to go through."""
        with reading(self._engine) as connection:
            return whatif.number_of_accounts(connection)

    def run(
        self,
        policy: Policy,
        since: datetime,
        until: datetime | None = None,
        *,
        budgets: Budgets = "tier",
        done: Callable[[int], object] = lambda _more: None,
    ) -> Report:
        """Return what a policy would have done to the use of a range of time.

        Its memory grows with what one account runs at a time and with the accounts for which something
        would have been refused or stopped, not with the use.

        Args:
            policy: from `policy_of`.
            since: the first moment.
            until: the first moment after the range; now if not given, and at the latest.
            budgets: whether each allocation has what the policy's tier gives, what it was really granted
                (with all that was added to it later), or more than it can spend.
            done: is told how many more accounts are done.

        Raises:
            ValueError: the range ends before it begins, or a time has no zone.
            ImpossibleError: the database gave up reading it.
        """
        first, now = seconds(since), self._now()
        after = now if until is None else min(seconds(until), now)
        if after <= first:
            raise ValueError("A range of time ends after it begins, and begins before now.")
        replay = Replay(policy, minimum_seconds=MINIMUM_SECONDS, unlimited=budgets == "unlimited")
        notable: list[Outcome] = []
        last = 0
        with _patiently(self._engine) as connection:
            while page := whatif.owners(connection, after=last, limit=_PAGE):
                last = page[-1].id
                granted = whatif.granted(connection, [owner.id for owner in page], first, after)
                parts = whatif.used(connection, page[0].id, last, first, after)
                by_number = {owner.id: owner for owner in page}
                for number, group in groupby(parts, key=lambda part: part[0]):
                    owner = by_number[number]
                    sources = [
                        _source(one, policy.at(max(one.start, first)), budgets) for one in granted.get(number, [])
                    ]
                    outcome = replay.account(owner.name, owner.kind, owner.tier, sources, _parts(group))
                    if outcome.refused or outcome.ran_out:
                        notable.append(outcome)
                done(len(page))
        order = [*policy.at(after).tiers]
        return Report(
            since=since,
            until=moment(after),
            budgets=budgets,
            accounts=replay.accounts,
            accounts_out=replay.accounts_out,
            total=replay.total,
            tiers=dict(
                sorted(replay.tiers.items(), key=lambda item: order.index(item[0]) if item[0] in order else 999)
            ),
            unmapped=replay.unmapped,
            outcomes=tuple(sorted(notable, key=lambda one: one.account)),
        )


@contextmanager
def _patiently(engine: Engine) -> Iterator[Connection]:
    """Open a transaction whose statements may take longer than a decision's.

    Raises:
        ImpossibleError: one took longer still.
    """
    try:
        with reading(engine, patience=PATIENCE) as connection:
            yield connection
    except DBAPIError as error:
        if not took_too_long(error):
            raise
        raise ImpossibleError(
            f"The database gave up reading the use of that range after {duration_text(PATIENCE)}. Choose a "
            "shorter range, or try again when less else is going on."
        ) from error


def policy_of(
    path: Path | str,
    since: datetime,
    until: datetime,
    *,
    prices_on: date | None = None,
    was: Path | str | None = None,
) -> Policy:
    """Return a tiers file as a policy for a range of time.

    Args:
        path: the file.
        since: the range's first moment.
        until: the first moment after it.
        prices_on: the day whose prices count throughout; each start's own day if not given.
        was: the tiers file that was in force, where the titles of sizes have changed since.

    Raises:
        TiersFileError: one of the files cannot be used, or has no prices for one of the days.
    """
    titles = (
        {}
        if was is None
        else {size.title: name for name, size in load_tiers(was, prices_on or None).sizes.items()}
    )
    return Policy(
        _periods(lambda day: load_tiers(path, day), since, until, prices_on), titles, prices_on=prices_on
    )


def policy_of_text(text: str, since: datetime, until: datetime, *, name: str) -> Policy:
    """Return the text of a tiers file as a policy for a range of time; messages call the file by the name.

    Raises:
        TiersFileError: the text cannot be used, or has no prices for one of the days.
    """
    return Policy(_periods(lambda day: parse_tiers(text, name=name, on=day), since, until, None), {})


def _periods(
    load: Callable[[date], Tiers], since: datetime, until: datetime, prices_on: date | None
) -> list[tuple[int, Tiers]]:
    periods: list[tuple[int, Tiers]] = []
    day: date | None = prices_on or since.astimezone(UTC).date()
    while day is not None and (not periods or day < until.astimezone(UTC).date()):
        tiers = load(day)
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        periods.append((seconds(start) if periods else 0, tiers))
        day = None if prices_on is not None else next_change(tiers, day)
    return periods


def _source(one: whatif.Granted, tiers: Tiers, budgets: Budgets) -> Source:
    budget = tiers.tiers[one.tier].budget_units if one.tier in tiers.tiers else one.granted
    given = one.granted if budgets == "granted" else budget
    return Source(one.id, given - one.charged_before, one.start, one.end, False, one.tier)


def _parts(group: Iterator[tuple[int, Used]]) -> Iterator[Used]:
    for _, part in group:
        yield part
