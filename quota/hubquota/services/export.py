"""Exports: what was used, the journal and the allocations of a range of time, a row at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal, TypedDict, Unpack

from sqlalchemy import Select

from hubquota.models.export import AllocationRow, AuditRow, JournalRow, UsageRow, UsageTotal
from hubquota.models.reading import AuditQuery, check_query
from hubquota.services.base import Service, known
from hubquota.storage import export
from hubquota.storage.engine import reading
from hubquota.storage.times import seconds

#: What can be exported.
What = Literal["usage", "journal", "allocations"]

#: What usage can be added up by.
Group = Literal["account", "person", "kind"]


class Range(TypedDict, total=False):
    """Which rows are wanted, where not all are; None for any."""

    #: The first moment of the range; None for the beginning.
    since: datetime | None
    #: The first moment after it; None for now.
    until: datetime | None
    account: str | None
    #: Of leases: each counts for each tier whose allocations pay for it. The journal tells how much each paid.
    tier: str | None


class Only(Range, total=False):
    """The same of what somebody ran."""

    person: str | None
    #: Of a lease ("server"), or of a line of the journal ("charge").
    kind: str | None


class Export(Service):
    """Yields rows. Each call sees one moment of the database, and its memory does not grow with the rows.

    A caller that stops early has to close the generator, which lets the database go.

    Raises:
        UnknownAccountError: there is no account of that name.
        ValueError: the range ends before it begins, or a time has no zone.
    """

    def usage(self, **only: Unpack[Only]) -> Iterator[UsageRow]:
        """Yield what ran in a range, cut at its bounds: the rate times the whole seconds, in units."""
        wanted = _filter(**only)
        return self._rows(wanted, lambda connection, now: export.usage(connection, wanted, now))

    def journal(self, **only: Unpack[Only]) -> Iterator[JournalRow]:
        """Yield the lines that were written in a range, in their order."""
        wanted = _filter(**only)
        return self._rows(wanted, lambda connection, _now: export.journal_rows(connection, wanted))

    def audit(self, query: AuditQuery) -> Iterator[AuditRow]:
        """Yield what `Histories.audit` finds, the oldest first.

        Raises:
            ValueError: as there.
        """
        check_query(query)
        wanted = replace(_filter(since=query.since, until=query.until, kind=query.kind), actor=query.actor)
        return self._rows(wanted, lambda connection, _now: export.audit_rows(connection, wanted, query))

    def allocations(self, **only: Unpack[Range]) -> Iterator[AllocationRow]:
        """Yield the allocations whose terms touch a range, as they are now."""
        wanted = _filter(**only)
        return self._rows(wanted, lambda connection, now: export.allocation_rows(connection, wanted, now))

    def count(self, what: What, **only: Unpack[Only]) -> int:
        """Return how many rows there are to go through."""
        wanted, now = _filter(**only), self._now()
        statements: dict[What, Select[Any]] = {
            "usage": export.usage_statement(wanted, now),
            "journal": export.journal_statement(wanted),
            "allocations": export.allocations_statement(wanted),
        }
        with reading(self._engine) as connection:
            if wanted.account is not None:
                known(connection, wanted.account)
            return export.count(connection, statements[what], {"now": now} if what == "allocations" else None)

    def _rows(self, wanted: export.Filter, read: Callable[[Any, int], Iterator[Any]]) -> Iterator[Any]:
        with reading(self._engine) as connection:
            if wanted.account is not None:
                known(connection, wanted.account)
            yield from read(connection, self._now())


def added_up(rows: Iterable[UsageRow], by: Sequence[Group]) -> list[UsageTotal]:
    """Return usage added up by what rows have in common, the largest first. Keeps one total a group."""
    found: dict[tuple[str, ...], list[int]] = {}
    # Rows come by lease, so that a lease of several parts is counted once.
    last: dict[tuple[str, ...], int] = {}
    for row in rows:
        group = tuple(getattr(row, name) for name in by)
        sums = found.setdefault(group, [0, 0, 0, 0])
        new = last.get(group) != row.lease
        last[group] = row.lease
        for position, more in enumerate((int(new), row.seconds, row.amount, row.accrued)):
            sums[position] += more
    totals = [UsageTotal(group, *sums) for group, sums in found.items()]
    return sorted(totals, key=lambda total: (-total.amount, total.group))


def _filter(since: datetime | None = None, until: datetime | None = None, **only: str | None) -> export.Filter:
    first = None if since is None else seconds(since)
    after = None if until is None else seconds(until)
    if first is not None and after is not None and after <= first:
        raise ValueError("A range of time ends after it begins.")
    return export.Filter(first, after, **only)
