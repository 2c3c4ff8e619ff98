"""What this process has read of the data sets, counted in one place and reported to the platform in batches."""

from __future__ import annotations

import atexit
import os
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from romanhub.client.credentials import source
from romanhub.client.errors import ArchiveUnavailableError, RomanHubError
from romanhub.models.usage import MOST_READS, Read, UsageReport

#: The variable that names the Dask cluster that a worker is of.
CLUSTER_VARIABLE = "DASK_GATEWAY_CLUSTER_NAME"

#: How long reads are gathered before they are reported, in seconds.
BATCH = 60.0


@dataclass
class Amount:
    """How much was read: bytes of objects, and the requests that it took."""

    bytes: int = 0
    requests: int = 0


@dataclass
class Usage:
    """Counts what is read, by data set and region, and hands it to `send` now and then.

    :param send: takes a report and returns whether it arrived; one that did not is sent again, with its own id.
    :param later: calls something after so many seconds, without keeping the process alive.
    """

    send: Callable[[UsageReport], bool]
    later: Callable[[float, Callable[[], None]], None]
    cluster: str | None = None
    _total: dict[tuple[str, str], Amount] = field(default_factory=dict)
    _waiting: dict[tuple[str, str], Amount] = field(default_factory=dict)
    _unsent: list[UsageReport] = field(default_factory=list)
    _scheduled: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, dataset: str, region: str, *, bytes: int, requests: int) -> None:  # noqa: A002  -- what it is
        """Count a read."""
        with self._lock:
            for counts in (self._total, self._waiting):
                amount = counts.setdefault((dataset, region), Amount())
                amount.bytes += bytes
                amount.requests += requests
            schedule, self._scheduled = not self._scheduled, True
        if schedule:
            self.later(BATCH, self.report)

    def total(self) -> Mapping[tuple[str, str], Amount]:
        """Return what this process has read since it started, by data set and region."""
        with self._lock:
            return {key: Amount(amount.bytes, amount.requests) for key, amount in self._total.items()}

    def report(self) -> None:
        """Send what was counted since the last report, and what did not arrive before."""
        with self._lock:
            self._scheduled = False
            reads = [
                Read(dataset=dataset, region=region, bytes=amount.bytes, requests=amount.requests)
                for (dataset, region), amount in self._waiting.items()
            ]
            self._waiting.clear()
            for at in range(0, len(reads), MOST_READS):
                batch = tuple(reads[at : at + MOST_READS])
                self._unsent.append(UsageReport(id=uuid.uuid4().hex, cluster=self.cluster, reads=batch))
            sending, self._unsent = self._unsent, []
        failed = [report for report in sending if not self.send(report)]
        if failed:
            with self._lock:
                self._unsent = [*failed, *self._unsent]
                schedule, self._scheduled = not self._scheduled, True
            if schedule:
                self.later(BATCH, self.report)


def to_broker(report: UsageReport) -> bool:
    """Send a report to the platform's broker; return whether it arrived, or has nowhere to go."""
    try:
        source().report(report)
    except ArchiveUnavailableError:
        return False
    except RomanHubError:
        # Outside of the platform, or not taken: what is refused today is refused in a minute.
        return True
    return True


def _later(seconds: float, what: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, what)
    timer.daemon = True
    timer.start()


#: What this process has read.
usage = Usage(to_broker, _later, os.environ.get(CLUSTER_VARIABLE))
atexit.register(usage.report)
