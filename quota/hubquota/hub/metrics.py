"""What the hub's process measures of itself, for Prometheus. The hub shows it at its own `/hub/metrics`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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
for _outcome in ("admitted", "abandoned", "failed", *get_args(Limit)):
    ADMISSIONS.labels(_outcome)


@contextmanager
def admission() -> Iterator[None]:
    """Measure one decision about a start, which is what happens within."""
    begun = perf_counter()
    outcome = "abandoned"
    try:
        yield
        outcome = "admitted"
    except Refused as refused:
        outcome = refused.limit
        raise
    except Exception:
        outcome = "failed"
        raise
    finally:
        ADMISSIONS.labels(outcome).inc()
        DURATION.observe(perf_counter() - begun)
