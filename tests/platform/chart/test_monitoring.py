"""Alerts and dashboards ask for what the parts really tell: each is scraped, and the names compared."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import httpx
from hubquota.hub.watch_metrics import WatchMetrics
from hubquota.services.metrics import LedgerCollector
from hubquota.storage.engine import make_engine
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from romanhub.chart.alerts import ALERTS
from romanhub.chart.dashboards import DASHBOARDS
from romanhub.community.proof.metrics import RunnerMetrics
from romanhub.kubernetes.lives import End, Life
from romanhub.kubernetes.metrics import ClusterCollector, ClusterMetrics
from romanhub.probe.report import Report, Step

from tests.platform.chart.test_hub import hub, told

__all__ = ["hub", "told"]  # the fixtures

#: Names in a query, without its functions and labels.
_NAMES = re.compile(r"\b(?:hubquota|romanhub|jupyterhub|process)_[a-z_]+")

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def clusters(*lives: Life) -> CollectorRegistry:
    """What the controller tells of these pods of one cluster."""
    registry = CollectorRegistry()
    phase = {"ns.one": {"status": {"phase": "Running"}}}
    metrics = ClusterMetrics(registry, ClusterCollector(lambda: phase, lambda: lives, lambda: 1))
    for life in lives:
        if life.end is not None:
            metrics.ended(life)
    return registry


def life(pod: str, *, end: End | None = None, began: bool = True) -> Life:
    """A worker."""
    return Life(pod, "ns.one", pod, 1, True, NOW, NOW if began else None, end=end)


def samples(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """What a scrape has: by name, by the values of the labels."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for one in family.samples:
            found.setdefault(one.name, {})[tuple(one.labels.values())] = one.value
    return found


def test_everything_that_is_asked_for_is_told(hub: str, told: dict[str, str]) -> None:
    token = Path(told["ROMANHUB_SECRETS"], "metrics").read_text()
    answer = httpx.get(f"{hub}/hub/metrics", headers={"Authorization": f"token {token}"}, trust_env=False)
    assert answer.is_success, answer.text
    assert httpx.get(f"{hub}/hub/metrics", trust_env=False).status_code == 403, "not everybody's to read"
    watch = CollectorRegistry()
    watch.register(LedgerCollector(make_engine(told["HUBQUOTA_DATABASE_URL"])))
    WatchMetrics(watch)
    runner = CollectorRegistry()
    RunnerMetrics(runner)
    probe = Report(url=hub, began=NOW, steps=[Step(name="sign-in", title="Sign in", seconds=1)])
    texts = [answer.text, probe.metrics()]
    texts += [generate_latest(one).decode() for one in (watch, runner, clusters())]
    # What has labels has no line before the first of its kind; it is announced all the same.
    announced = [one for text in texts for one in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)]
    told_of = {f"{name}_bucket" if kind == "histogram" else name for name, kind in announced}
    queries = [one.query for one in ALERTS]
    queries += [line.query for board in DASHBOARDS for panel in board.panels for line in panel.lines]
    asked = {name for query in queries for name in _NAMES.findall(query)}
    assert len(asked) > 20
    assert asked - told_of == set(), "nothing tells these"


def test_the_controller_counts_pods_and_why_they_ended() -> None:
    killed = life("c", end=End("Out of memory.", "out-of-memory", own=True))
    asked_for = life("d", end=End("It was scaled down."))
    found = samples(generate_latest(clusters(life("a"), life("b", began=False), killed, asked_for)).decode())
    pods = found["romanhub_dask_pods"]
    assert (pods["worker", "runs"], pods["worker", "waits"], pods["worker", "ended"]) == (1, 1, 2)
    ends = found["romanhub_dask_pod_ends_total"]
    assert (ends["worker", "out-of-memory"], ends["worker", "asked"], ends["worker", "evicted"]) == (1, 1, 0)
    assert found["romanhub_dask_clusters"]["Running",] == 1
    assert found["romanhub_dask_unnoted_ends"][()] == 1


def test_every_alert_says_what_to_do() -> None:
    assert len({one.name for one in ALERTS}) == len(ALERTS)
    for one in ALERTS:
        assert one.action != one.then
