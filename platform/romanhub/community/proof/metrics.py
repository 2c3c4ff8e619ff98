"""What the runner measures of itself, for Prometheus."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge

from romanhub.community.proof.runner import Runner


class RunnerMetrics:
    """Counts looks at the queue."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._looks = Counter(
            "romanhub_runner_looks",
            "Looks at the queue of runs, by whether they came through.",
            ["result"],
            registry=registry,
        )
        self._last = Gauge(
            "romanhub_runner_last_look_timestamp_seconds",
            "When the runner last came through: it asked the hub and both databases what there is to do.",
            registry=registry,
        )
        for result in ("done", "failed"):
            self._looks.labels(result)

    def looked(self, now: datetime) -> None:
        """Note a look that came through."""
        self._looks.labels("done").inc()
        self._last.set(now.timestamp())

    def failed(self) -> None:
        """Note one that did not."""
        self._looks.labels("failed").inc()


class MeasuredRunner(Runner):
    """A runner that counts its looks. The rest is as for `Runner`."""

    def __init__(self, metrics: RunnerMetrics, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._metrics = metrics

    async def step(self) -> None:
        """Do what is to be done now, and count that."""
        try:
            await super().step()
        except Exception:
            self._metrics.failed()
            raise
        self._metrics.looked(self._clock())
