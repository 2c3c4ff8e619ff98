"""The dashboards for Grafana. `helm/romanhub/files/dashboards` is made from it."""

from __future__ import annotations

import json
from typing import Any

from pydantic import Field

from romanhub.chart.model import Values

#: How wide and high a panel is, in Grafana's grid of 24 columns.
_WIDE, _HIGH = 12, 8


class Line(Values):
    """One query of a panel."""

    query: str = Field(description="What is asked, in PromQL.")
    legend: str = Field(default="", description="What its lines are called, with labels in double braces.")


class Panel(Values):
    """One graph."""

    title: str = Field(description="What it shows.")
    about: str = Field(min_length=20, description="How to read it, in one sentence.")
    unit: str = Field(default="short", description="Grafana's name of the unit.")
    lines: tuple[Line, ...] = Field(min_length=1, description="What it draws.")


class Dashboard(Values):
    """One page of graphs."""

    uid: str = Field(pattern=r"^romanhub(-[a-z]+)?$", description="How Grafana knows it.")
    title: str = Field(description="Its title.")
    panels: tuple[Panel, ...] = Field(min_length=1, description="Its graphs, from left to right.")


def _one(title: str, about: str, query: str, legend: str = "", unit: str = "short") -> Panel:
    return Panel(title=title, about=about, unit=unit, lines=(Line(query=query, legend=legend),))


DASHBOARDS: tuple[Dashboard, ...] = (
    Dashboard(
        uid="romanhub",
        title="RomanHub",
        panels=(
            _one(
                "Servers and workers that run",
                "What people are charged for now, as the ledger has it.",
                'sum by (kind) (hubquota_open_leases{state="running"})',
                "{{kind}}",
            ),
            _one(
                "Starts that were decided about, a minute",
                "Everything but admitted is a refusal with its limit, or a failure.",
                "sum by (outcome) (rate(hubquota_admissions_total[5m])) * 60",
                "{{outcome}}",
            ),
            Panel(
                title="How long a start of a server takes",
                about="From the request until the server answers; a node that has to come first is in it.",
                unit="s",
                lines=(
                    Line(
                        query="histogram_quantile(0.5, sum by (le) "
                        '(rate(jupyterhub_server_spawn_duration_seconds_bucket{status="success"}[30m])))',
                        legend="median",
                    ),
                    Line(
                        query="histogram_quantile(0.95, sum by (le) "
                        '(rate(jupyterhub_server_spawn_duration_seconds_bucket{status="success"}[30m])))',
                        legend="95 of 100",
                    ),
                ),
            ),
            _one(
                "The hub's CPU",
                "The hub is one process: at one core people begin to wait, whatever else is free.",
                "rate(process_cpu_seconds_total[5m])",
                "{{pod}}",
            ),
            _one(
                "The robot's steps",
                "How long each step of the last probe took.",
                "romanhub_probe_step_seconds",
                "{{step}}",
                "s",
            ),
            _one(
                "Data that was read today",
                "As the readers' programs report it, since midnight (UTC).",
                "sum by (dataset) (hubquota_data_read_bytes)",
                "{{dataset}}",
                "bytes",
            ),
        ),
    ),
    Dashboard(
        uid="romanhub-ledger",
        title="RomanHub: the ledger",
        panels=(
            _one(
                "Credits charged, an hour",
                "What runs costs now, by the tier that pays.",
                "sum by (tier) (rate(hubquota_credits_charged_total[15m])) * 3600",
                "{{tier}}",
            ),
            _one(
                "Credits that are left",
                "Neither spent nor held, over all allocations that can pay now.",
                "sum by (tier) (hubquota_credits_available)",
                "{{tier}}",
            ),
            _one(
                "Credits that are held",
                "Set aside for what runs, an hour ahead at most.",
                "sum by (tier) (hubquota_credits_held)",
                "{{tier}}",
            ),
            Panel(
                title="How long a decision takes",
                about="From the question to the answer, in the hub; the database's own time is in it.",
                unit="s",
                lines=(
                    Line(
                        query="histogram_quantile(0.5, sum by (le) "
                        "(rate(hubquota_admission_duration_seconds_bucket[5m])))",
                        legend="median",
                    ),
                    Line(
                        query="histogram_quantile(0.99, sum by (le) "
                        "(rate(hubquota_admission_duration_seconds_bucket[5m])))",
                        legend="99 of 100",
                    ),
                ),
            ),
            Panel(
                title="What the database did not take",
                about="Writes that wait, and questions without an answer, a minute; all are zero on a good day.",
                lines=(
                    Line(query="hubquota_desk_owed_writes", legend="writes that are owed"),
                    Line(query="rate(hubquota_desk_timeouts_total[5m]) * 60", legend="no answer in time"),
                    Line(query="rate(hubquota_desk_failures_total[5m]) * 60", legend="failures"),
                ),
            ),
            _one(
                "Allocations",
                "By their state; most of what is exhausted or in grace asks for more before long.",
                "hubquota_allocations",
                "{{state}}",
            ),
            _one(
                "Accounts",
                "Of people and of projects.",
                "sum by (kind) (hubquota_accounts)",
                "{{kind}}",
            ),
            Panel(
                title="What waits for a person",
                about="Requests and plans of purges without a decision, and notices that could not be sent.",
                lines=(
                    Line(query="hubquota_open_requests", legend="requests"),
                    Line(query="hubquota_waiting_purge_plans", legend="plans of purges"),
                    Line(query='sum(hubquota_undelivered_notices{state!="waiting"})', legend="notices that fail"),
                ),
            ),
            _one(
                "What the watch does, a minute",
                "Stops and closes by their kind; a pass that finds nothing to do draws nothing.",
                "sum by (action) (rate(hubquota_watch_actions_total[15m])) * 60",
                "{{action}}",
            ),
        ),
    ),
    Dashboard(
        uid="romanhub-dask",
        title="RomanHub: Dask clusters",
        panels=(
            _one(
                "Clusters",
                "By their phase, as Kubernetes has them; what ended stays for a while.",
                "romanhub_dask_clusters",
                "{{phase}}",
            ),
            _one(
                "Workers and schedulers that run",
                "As the controller hears of them.",
                'sum by (kind) (romanhub_dask_pods{state="runs"})',
                "{{kind}}",
            ),
            _one(
                "Pods that wait for a node",
                "More of them for longer than nodes take to come: the cloud has none, or a limit is reached.",
                'sum by (kind) (romanhub_dask_pods{state="waits"})',
                "{{kind}}",
            ),
            _one(
                "Ends of workers that nobody asked for, an hour",
                "Out of memory, evicted, or with their node; spot machines that go are among them.",
                'sum by (why) (rate(romanhub_dask_pod_ends_total{kind="worker",why!="asked"}[30m])) * 3600',
                "{{why}}",
            ),
            _one(
                "Workers in the ledger",
                "Leases by their state; those that run are the same as the workers that run.",
                'sum by (state) (hubquota_open_leases{kind="dask-worker"})',
                "{{state}}",
            ),
            _one(
                "Ends that the ledger has not taken",
                "Zero on a good day; they are told again until it has taken them, and nobody is charged more.",
                "romanhub_dask_unnoted_ends",
            ),
        ),
    ),
)


def rendered(dashboard: Dashboard) -> str:
    """The dashboard as Grafana reads it."""
    panels = [_panel(at, one) for at, one in enumerate(dashboard.panels)]
    source = {"name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus"}
    found = {
        "title": dashboard.title,
        "uid": dashboard.uid,
        "schemaVersion": 39,
        "tags": ["romanhub"],
        "time": {"from": "now-24h", "to": "now"},
        "refresh": "1m",
        "templating": {"list": [source]},
        "panels": panels,
    }
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def _panel(at: int, panel: Panel) -> dict[str, Any]:
    return {
        "id": at + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.about,
        "gridPos": {"h": _HIGH, "w": _WIDE, "x": at % 2 * _WIDE, "y": at // 2 * _HIGH},
        "datasource": {"type": "prometheus", "uid": "${source}"},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + number), "expr": line.query, "legendFormat": line.legend}
            for number, line in enumerate(panel.lines)
        ],
    }


def dashboard_files() -> dict[str, str]:
    """The chart's files of dashboards, by their names in its folder `files/dashboards`."""
    return {f"{one.uid}.json": rendered(one) for one in DASHBOARDS}
