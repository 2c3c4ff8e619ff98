"""What the controller of Dask clusters measures, for Prometheus, at its own `/metrics`."""

from __future__ import annotations

from collections import Counter as Count
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from romanhub.kubernetes.lives import Life

#: The states of a DaskCluster that are always told, so that a graph begins at zero.
PHASES = ("Pending", "Running", "Stopped", "Failed")


class ClusterCollector(Collector):
    """Counts clusters and their pods at a scrape."""

    def __init__(
        self,
        clusters: Callable[[], Mapping[str, Mapping[str, Any]]],
        pods: Callable[[], Iterable[Life]],
        unnoted: Callable[[], int],
    ) -> None:
        """Count what is known of the gateway's objects.

        Args:
            clusters: returns all DaskCluster objects.
            pods: returns all pods of which anything is known.
            unnoted: returns how many ends the ledger has not taken yet.
        """
        self._clusters, self._pods, self._unnoted = clusters, pods, unnoted

    def describe(self) -> list[Metric]:
        """Return nothing: there is nothing to count before the controller has heard of the cluster."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield what there is to tell."""
        phases = Count((one.get("status") or {}).get("phase") or "Pending" for one in self._clusters().values())
        yield _gauge(
            "romanhub_dask_clusters",
            "Dask clusters of which Kubernetes has an object, by their phase.",
            ("phase",),
            {(phase,): phases[phase] for phase in (*PHASES, *(set(phases) - set(PHASES)))},
        )
        states = Count((_kind(life), _state(life)) for life in self._pods())
        yield _gauge(
            "romanhub_dask_pods",
            "Pods of Dask clusters, by kind and by whether they wait for a node, run, or have ended.",
            ("kind", "state"),
            {
                (kind, state): states[kind, state]
                for kind in ("scheduler", "worker")
                for state in ("waits", "runs", "ended")
            },
        )
        yield _gauge(
            "romanhub_dask_unnoted_ends",
            "Pods whose end the ledger has not taken yet.",
            (),
            {(): self._unnoted()},
        )


class ClusterMetrics:
    """Counts ends of pods, by why."""

    def __init__(self, registry: CollectorRegistry, collector: ClusterCollector) -> None:
        registry.register(collector)
        self._ends = Counter(
            "romanhub_dask_pod_ends",
            "Pods of Dask clusters that ended, by kind and by why: what somebody asked for is `asked`.",
            ["kind", "why"],
            registry=registry,
        )
        for kind in ("scheduler", "worker"):
            for why in ("asked", "out-of-memory", "evicted", "node-lost", "failed"):
                self._ends.labels(kind, why)

    def ended(self, life: Life) -> None:
        """Note that a pod ended."""
        why = life.end.kind if life.end is not None and life.end.own and life.end.kind else "asked"
        self._ends.labels(_kind(life), why).inc()


def _kind(life: Life) -> str:
    return "worker" if life.worker else "scheduler"


def _state(life: Life) -> str:
    return "runs" if life.runs else "waits" if life.waits else "ended"


def _gauge(name: str, text: str, labels: tuple[str, ...], found: Mapping[tuple[str, ...], float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, number in sorted(found.items()):
        family.add_metric(list(values), number)
    return family
