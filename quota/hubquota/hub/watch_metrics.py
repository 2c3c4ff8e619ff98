"""What the watch measures of its own passes, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge

from hubquota.hub.watch import Pass, Watch
from hubquota.services.base import utc_now

#: What a pass only looked at.
_LOOKED = frozenset({"seen"})


class WatchMetrics:
    """Counts passes, and what they did."""

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], datetime] = utc_now) -> None:
        """Count in a registry."""
        self._clock = clock
        self._passes = Counter(
            "hubquota_watch_passes",
            "Passes of the watch, by whether they came through.",
            ["result"],
            registry=registry,
        )
        self._last = Gauge(
            "hubquota_watch_last_pass_timestamp_seconds",
            "When the watch last came through: it looked at every server and swept the ledger.",
            registry=registry,
        )
        self._seen = Gauge(
            "hubquota_watch_servers", "Servers with a lease that the last pass saw running.", registry=registry
        )
        self._did = Counter(
            "hubquota_watch_actions", "What the passes did, by kind.", ["action"], registry=registry
        )
        for result in ("done", "failed"):
            self._passes.labels(result)
        self._count(Pass())

    def passed(self, done: Pass) -> None:
        """Note a pass that came through."""
        self._passes.labels("done").inc()
        self._last.set(self._clock().timestamp())
        self._seen.set(done.seen)
        self._count(done)

    def failed(self) -> None:
        """Note a pass that did not."""
        self._passes.labels("failed").inc()

    def _count(self, done: Pass) -> None:
        for model in (done, done.swept):
            for name in (field.name for field in fields(model) if field.name not in _LOOKED):
                number = getattr(model, name)
                if isinstance(number, int):
                    self._did.labels(name).inc(number)


class MeasuredWatch(Watch):
    """A watch that counts its passes."""

    def __init__(self, metrics: WatchMetrics, *arguments: Any, **more: Any) -> None:
        """Count in `metrics`; the rest is as for `Watch`."""
        super().__init__(*arguments, **more)
        self._metrics = metrics

    def pass_once(self) -> Pass:
        """Look at every server once, and count that; as for `Watch` otherwise."""
        try:
            done = super().pass_once()
        except Exception:
            self._metrics.failed()
            raise
        self._metrics.passed(done)
        return done
