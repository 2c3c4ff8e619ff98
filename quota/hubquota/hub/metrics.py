"""What the hub's process measures of itself, for Prometheus. The hub shows it at its own `/hub/metrics`."""

from __future__ import annotations

from time import perf_counter
from typing import get_args

from prometheus_client import Counter, Gauge, Histogram

from hubquota.models.ledger import Limit, Refused

#: `outcome` is "admitted", the limit that a refusal names ("unavailable" where the database did not answer),
#: "abandoned" where nobody waited for the answer, or "failed".
ADMISSIONS = Counter(
    "hubquota_admissions", "Starts of servers that were decided about, by what came of them.", ["outcome"]
)
DURATION = Histogram(
    "hubquota_admission_duration_seconds",
    "How long a decision about a start took, from the question to the answer.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
TIMEOUTS = Counter(
    "hubquota_desk_timeouts", "Questions that the ledger's database did not answer within the deadline."
)
FAILURES = Counter("hubquota_desk_failures", "Questions that the ledger's database answered with a failure.")
OWED = Gauge("hubquota_desk_owed_writes", "Begins and ends of leases that are still to be written to the ledger.")

# Each outcome is there from the start, so that the first of a kind counts as a rise from zero.
_OUTCOMES = {name: ADMISSIONS.labels(name) for name in ("admitted", "abandoned", "failed", *get_args(Limit))}


class admission:  # noqa: N801  (it reads as a function does)
    """Measure one decision about a start, which is what happens within `with admission():`."""

    # A generator would do, at several times the cost.
    __slots__ = ("_begun",)

    def __enter__(self) -> None:
        self._begun = perf_counter()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        outcome = "admitted"
        if isinstance(error, Refused):
            outcome = error.limit
        elif error is not None:
            outcome = "failed" if isinstance(error, Exception) else "abandoned"
        _OUTCOMES[outcome].inc()
        DURATION.observe(perf_counter() - self._begun)
