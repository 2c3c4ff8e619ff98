"""Not starting workers again and again that end as soon as they have begun."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

#: Who runs for less than this has failed to start.
SOON = timedelta(seconds=60)

#: So many failures one after the other, and the next start has to wait: at first so long, at most so long.
FREE = 2
FIRST, LONGEST = timedelta(seconds=15), timedelta(minutes=5)


@dataclass
class _Failures:
    number: int = 0
    last: datetime | None = None


class Retries:
    """Counts, for each cluster, workers that ended soon after their begin, one after the other."""

    def __init__(self) -> None:
        """Begin without any."""
        self._failures: dict[str, _Failures] = {}

    def ended(self, cluster: str, began: datetime, ended: datetime) -> None:
        """Take that a worker ended that nobody had told to."""
        if ended - began >= SOON:
            self._failures.pop(cluster, None)
            return
        found = self._failures.setdefault(cluster, _Failures())
        found.number += 1
        found.last = ended

    def may_start(self, cluster: str, now: datetime) -> bool:
        """Return whether a worker of a cluster may be started now."""
        found = self._failures.get(cluster)
        if found is None or found.last is None or found.number <= FREE:
            return True
        wait: timedelta = min(LONGEST, FIRST * 2 ** min(10, found.number - FREE - 1))
        return now >= found.last + wait

    def forget(self, cluster: str) -> None:
        """Take that a cluster is gone."""
        self._failures.pop(cluster, None)
