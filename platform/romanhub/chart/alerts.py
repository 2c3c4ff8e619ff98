"""The alerts for Prometheus, and their runbook. `helm/romanhub/files/alerts.yaml` is made from it."""

from __future__ import annotations

from typing import Literal

import yaml
from pydantic import Field

from romanhub.chart.model import Values


class Alert(Values):
    """One thing that Prometheus says when it is so."""

    name: str = Field(pattern=r"^RomanHub[A-Za-z]+$", description="What it is called.")
    query: str = Field(description="When it is so, in PromQL.")
    lasting: str = Field(pattern=r"^\d+[mh]$", description="For how long before it is said.")
    severity: Literal["critical", "warning"] = Field(description="Critical: people cannot work.")
    summary: str = Field(min_length=20, description="What is wrong, and what it means for people.")
    action: str = Field(min_length=10, description="What to do first.")
    then: str = Field(min_length=20, description="What it usually is, and what to do about that.")


ALERTS: tuple[Alert, ...] = (
    Alert(
        name="RomanHubLedgerDown",
        query="hubquota_ledger_up == 0",
        lasting="2m",
        severity="critical",
        summary="The ledger's database does not answer, so nothing can be started.",
        action="Look at PostgreSQL first; what has to be written is written once it answers.",
        then="Down, full, or out of connections. What runs goes on, and nobody is charged wrongly. Where it "
        "answers "
        "to psql from another pod, a NetworkPolicy or `network.database` is in between.",
    ),
    Alert(
        name="RomanHubWatchStopped",
        query="time() - hubquota_watch_last_pass_timestamp_seconds > 600",
        lasting="1m",
        severity="critical",
        summary="The watch has not come through for ten minutes; nothing that is idle is stopped.",
        action="kubectl logs deployment/romanhub-watch",
        then="Its log names what did not answer: the hub or the database. A pod that only hangs may be "
        "deleted: the "
        "next one takes everything up.",
    ),
    Alert(
        name="RomanHubStartsFail",
        query='increase(hubquota_admissions_total{outcome=~"failed|unavailable"}[15m]) > 3',
        lasting="1m",
        severity="warning",
        summary="Starts of servers fail, and not because of a limit.",
        action="kubectl logs deployment/hub",
        then="`unavailable`: the database did not answer in time. `failed`: the hub's log has the reason, "
        "such as an "
        "image that cannot be pulled.",
    ),
    Alert(
        name="RomanHubStartsSlow",
        query="histogram_quantile(0.95, sum by (le) "
        '(rate(jupyterhub_server_spawn_duration_seconds_bucket{status="success"}[30m]))) > 180',
        lasting="15m",
        severity="warning",
        summary="One start of a server in twenty takes more than three minutes.",
        action="kubectl get pods --field-selector=status.phase=Pending",
        then="Nodes that have to come first, or an image that is pulled anew. More placeholders "
        "(`jupyterhub.scheduling.userPlaceholder.replicas`) keep room for who comes next.",
    ),
    Alert(
        name="RomanHubHubBusy",
        query='rate(process_cpu_seconds_total{pod=~"hub-.*"}[15m]) > 0.8',
        lasting="15m",
        severity="warning",
        summary="The hub uses most of the one core that a process can use; people begin to wait.",
        action="kubectl top pod -l component=hub",
        then="What asks it so much is in its log. Where it is no "
        "mistake of somebody's program, a second hub on the same ledger shares the work.",
    ),
    Alert(
        name="RomanHubWritesOwed",
        query="hubquota_desk_owed_writes > 0",
        lasting="15m",
        severity="warning",
        summary="Begins and ends of servers have waited for a quarter of an hour to be written to the ledger.",
        action="Look at PostgreSQL; do not restart the hub before they are written.",
        then="A row that another transaction holds, or a full disk. Where the hub was restarted all the same, the "
        "watch closes what it finds ended, at the time at which it was last seen.",
    ),
    Alert(
        name="RomanHubDaskEndsOwed",
        query="romanhub_dask_unnoted_ends > 0",
        lasting="15m",
        severity="warning",
        summary="Ends of Dask pods have been waiting to be written to the ledger for a quarter of an hour.",
        action="kubectl logs deployment/romanhub-controller",
        then="The controller tells the ledger again until it takes them, at the pods' own times; a restart of it "
        "loses none whose pod is still there.",
    ),
    Alert(
        name="RomanHubDaskPodsWait",
        query='sum(romanhub_dask_pods{state="waits"}) > 0 and sum(romanhub_dask_pods{state="runs"}) == 0',
        lasting="15m",
        severity="warning",
        summary="Pods of Dask clusters have waited for a quarter of an hour, and none runs.",
        action="kubectl get events --field-selector reason=FailedScheduling",
        then="No node for them: the cloud's limit, labels that no node has (`dask.workers.nodes.required`), "
        "or the "
        "namespace's `quota`.",
    ),
    Alert(
        name="RomanHubWorkersDie",
        query="sum(increase(romanhub_dask_pod_ends_total"
        '{kind="worker",why=~"out-of-memory|evicted|failed"}[1h])) > 50',
        lasting="5m",
        severity="warning",
        summary="More than fifty workers have died within an hour.",
        action="kubectl get events --field-selector reason=Evicted",
        then="`out-of-memory`: somebody's tasks need more than a worker of their tier has; the portal tells "
        "them. `evicted`: "
        "a node's disk or memory is full, since workers set aside less than they may use (`dask.workers.share`).",
    ),
    Alert(
        name="RomanHubRunnerStopped",
        query="time() - romanhub_runner_last_look_timestamp_seconds > 600",
        lasting="1m",
        severity="warning",
        summary="The runner has not come through for ten minutes; no notebook is run without its person.",
        action="kubectl logs deployment/romanhub-runner",
        then="Its log names what did not answer: the hub or a database. It may be restarted at any time.",
    ),
    Alert(
        name="RomanHubProbeFails",
        query="romanhub_probe_success == 0",
        lasting="45m",
        severity="warning",
        summary="The robot could not use the platform twice in a row.",
        action="kubectl logs of the last Job of romanhub-probe, which names the step.",
        then="People meet the same. Do what it does by hand, and look at the log of the part that the step asks.",
    ),
    Alert(
        name="RomanHubProbeSilent",
        query="time() - romanhub_probe_last_run_timestamp_seconds > 7200",
        lasting="1m",
        severity="warning",
        summary="The robot has said nothing for two hours.",
        action="kubectl get jobs",
        then="Its pod finds no node, or does not reach the Pushgateway that `probe.pushGateway` names.",
    ),
    Alert(
        name="RomanHubNoticesUndelivered",
        query="sum(hubquota_undelivered_notices) > 100",
        lasting="1h",
        severity="warning",
        summary="Notices are not delivered, so people may not know that their time ends.",
        action="kubectl logs deployment/romanhub-watch",
        then="The mail server or the webhook of the file of notices refuses; its answer is in the log.",
    ),
)


def alerts_text() -> str:
    """The alerts as the chart's file has them."""
    rules = [
        {
            "alert": one.name,
            "expr": one.query,
            "for": one.lasting,
            "labels": {"severity": one.severity},
            "annotations": {"summary": one.summary, "action": one.action},
        }
        for one in ALERTS
    ]
    head = "# Made by `romanhub kubernetes write-chart` from romanhub.chart.alerts: change it there.\n"
    groups = {"groups": [{"name": "romanhub", "rules": rules}]}
    return head + yaml.safe_dump(groups, sort_keys=False, width=110, allow_unicode=True)


def runbook() -> str:
    """A Markdown table: each alert with what it means, what to do first, and what it usually is."""
    lines = ["| It says | It means | First | Then |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {one.name.removeprefix('RomanHub')} | {one.summary} | {_code(one.action)} | {one.then} |"
        for one in ALERTS
    ]
    return "\n".join(lines) + "\n"


def _code(action: str) -> str:
    return f"`{action}`" if action.startswith("kubectl ") and " of " not in action else action
