"""What the hub's process measures of itself, for Prometheus. The hub shows it at its own `/hub/metrics`."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from time import perf_counter
from typing import get_args

from prometheus_client import REGISTRY, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from hubquota.models.ledger import Limit, Refused

TIMEOUTS = Counter(
    "hubquota_desk_timeouts", "Questions that the ledger's database did not answer within the deadline."
)
FAILURES = Counter("hubquota_desk_failures", "Questions that the ledger's database answered with a failure.")
OWED = Gauge("hubquota_desk_owed_writes", "Begins and ends of leases that are still to be written to the ledger.")


class Admissions(Collector):
    """What came of the decisions about starts, and how long they took.

    All are made in the hub's one event loop, so this needs no locks, and costs half of what the library's own
    counters do: a crowd's starts come by here at the same moment.
    """

    #: Upper ends of the histogram's buckets, in seconds.
    SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

    def __init__(self) -> None:
        # Each outcome is there from the start, so that the first of a kind counts as a rise from zero.
        self._outcomes = dict.fromkeys(("admitted", "abandoned", "failed", *get_args(Limit)), 0)
        self._within = [0] * (len(self.SECONDS) + 1)
        self._sum = 0.0

    def note(self, outcome: str, seconds: float) -> None:
        """Note a decision.

        Args:
            outcome: "admitted", the limit that a refusal names ("unavailable" where the database did not answer),
                "abandoned" where nobody waited for the answer, or "failed".
            seconds: from the question to the answer.
        """
        self._outcomes[outcome] += 1
        self._within[bisect_left(self.SECONDS, seconds)] += 1
        self._sum += seconds

    def collect(self) -> Iterator[Metric]:
        """Return it as Prometheus reads it."""
        counted = CounterMetricFamily(
            "hubquota_admissions",
            "Starts of servers that were decided about, by what came of them.",
            labels=["outcome"],
        )
        for outcome, number in self._outcomes.items():
            counted.add_metric([outcome], number)
        yield counted
        ends = [*map(str, map(float, self.SECONDS)), "+Inf"]
        yield HistogramMetricFamily(
            "hubquota_admission_duration_seconds",
            "How long a decision about a start took, from the question to the answer.",
            buckets=list(zip(ends, accumulate(self._within), strict=True)),
            sum_value=self._sum,
        )


ADMISSIONS = Admissions()
REGISTRY.register(ADMISSIONS)


class admission:  # noqa: N801  (it reads as a function does)
    """Measure one decision about a start, which is what happens within `with admission():`."""

    # A generator would do, at several times the cost.
    __slots__ = ("_begun",)

    def __enter__(self) -> None:
        self._begun = perf_counter()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is None:
            outcome = "admitted"
        elif isinstance(error, Refused):
            outcome = error.limit
        else:
            outcome = "failed" if isinstance(error, Exception) else "abandoned"
        ADMISSIONS.note(outcome, perf_counter() - self._begun)
