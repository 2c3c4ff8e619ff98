"""What people read of the data, as their programs report it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hubquota.services.base import Service
from hubquota.storage import reads
from hubquota.storage.engine import decision, reading
from hubquota.storage.times import DAY

#: How long it is remembered that a report was counted: whoever sends one again does so sooner.
_REMEMBERED = 7 * DAY


@dataclass(frozen=True, slots=True)
class DataRead:
    """What was read of one data set, in one region, by one cluster or, where that is empty, by notebooks."""

    dataset: str
    region: str
    cluster: str
    bytes: int
    requests: int


class DataReads(Service):
    """Counts bytes by person, day, data set, region and cluster."""

    def count(self, person: str, report: str, found: Iterable[DataRead]) -> bool:
        """Count a report; return False, and count nothing, if it was counted before.

        Args:
            person: who read.
            report: the report's own name.
            found: what it says.

        Raises:
            ValueError: a number is below zero.
        """
        summed: dict[tuple[str, str, str], list[int]] = {}
        for one in found:
            if one.bytes < 0 or one.requests < 0:
                raise ValueError("What was read cannot be below zero.")
            total = summed.setdefault((one.dataset, one.region, one.cluster), [0, 0])
            total[0] += one.bytes
            total[1] += one.requests
        with decision(self._engine) as connection:
            now = self._now()
            if not reads.note(connection, person=person, report=report, now=now):
                return False
            reads.forget(connection, before=now - _REMEMBERED)
            keys = ("dataset", "region", "cluster")
            reads.add(
                connection,
                (
                    {**dict(zip(keys, key, strict=True)), "person": person, "day": now - now % DAY}
                    | {"bytes": total[0], "requests": total[1]}
                    for key, total in summed.items()
                ),
            )
        return True

    def of_person(self, person: str, days: int) -> list[DataRead]:
        """Return what somebody read today and on the days before, so many in all; the most bytes first."""
        with reading(self._engine) as connection:
            since = self._since(days)
            return [
                DataRead(row.dataset, row.region, row.cluster, int(row.bytes), int(row.requests))
                for row in reads.sums(connection, "dataset", "region", "cluster", person=person, since=since)
            ]

    def totals(self, days: int) -> list[DataRead]:
        """Return what everybody read, by data set and region; `cluster` is empty."""
        with reading(self._engine) as connection:
            return [
                DataRead(row.dataset, row.region, "", int(row.bytes), int(row.requests))
                for row in reads.sums(connection, "dataset", "region", person=None, since=self._since(days))
            ]

    def _since(self, days: int) -> int:
        now = self._now()
        return now - now % DAY - (days - 1) * DAY
