"""What is read from a pod about its server's begin and end. The pods have the shapes of Kubernetes' API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hubquota.hub.endings import is_out_of_reach, is_overdue, pod_began, pod_ended, pod_ending

AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
RUNNING = {"running": {"startedAt": "2026-11-22T12:00:00Z"}}


def terminated(reason: str) -> dict[str, Any]:
    return {"terminated": {"reason": reason, "exitCode": 137, "finishedAt": "2026-11-22T12:00:00Z"}}


def pod(state: dict[str, Any] | None, **status: Any) -> dict[str, Any]:
    containers = [{"name": "notebook", "state": state}] if state else None
    return {"metadata": {}, "status": {"phase": "Running", "containerStatuses": containers, **status}}


def condition(kind: str, status: str, **more: str) -> list[dict[str, str]]:
    return [{"type": kind, "status": status, **more}]


def test_times_are_those_of_the_container() -> None:
    assert pod_began(pod(RUNNING)) == AT
    assert pod_ended(pod(terminated("Error"))) == AT
    assert pod_began(None) is None and pod_ended(pod(RUNNING)) is None


@pytest.mark.parametrize(
    ("found", "kind", "words"),
    [
        (pod(terminated("OOMKilled")), "out-of-memory", "more memory than its size has"),
        (pod(terminated("Error")), "ended", "ended by itself"),
        (
            # A kubelet whose node is low on something.
            pod(None, phase="Failed", reason="Evicted", message="The node was low on resource: memory."),
            "evicted",
            "low on resource: memory.",
        ),
        (
            # An emptied node, and one that is taken for what is more urgent.
            pod(
                terminated("Error"),
                conditions=condition(
                    "DisruptionTarget", "True", reason="PreemptionByScheduler", message="preempted"
                ),
            ),
            "evicted",
            "preempted.",
        ),
    ],
)
def test_why_a_server_ended_is_told_apart(found: dict[str, Any], kind: str, words: str) -> None:
    ending = pod_ending(found)
    assert ending is not None
    assert ending.kind == kind
    assert words in ending.reason


@pytest.mark.parametrize(("after", "kind"), [(-2, "removed"), (0, "removed"), (1, "ended")])
def test_a_pod_that_is_taken_away_is_told_from_one_that_had_ended_before(after: int, kind: str) -> None:
    ordered = AT + timedelta(seconds=after)
    going = {"deletionTimestamp": (ordered + timedelta(seconds=30)).isoformat(), "deletionGracePeriodSeconds": 30}
    ending = pod_ending({**pod(terminated("Error")), "metadata": going})
    assert ending is not None
    assert (ending.kind, ending.at) == (kind, AT)


def test_a_server_that_runs_has_no_ending() -> None:
    target = condition(
        "DisruptionTarget", "True", reason="EvictionByEvictionAPI", message="Eviction API: evicting"
    )
    assert pod_ending(pod(RUNNING)) is None
    # It is about to go, and still runs.
    assert pod_ending(pod(RUNNING, conditions=target)) is None


def test_a_silent_machine_is_known_by_its_pods_readiness() -> None:
    assert is_out_of_reach(pod(RUNNING, conditions=condition("Ready", "False")))
    assert is_out_of_reach(pod(RUNNING, conditions=condition("Ready", "Unknown")))
    assert not is_out_of_reach(pod(RUNNING, conditions=condition("Ready", "True")))
    # It has just begun, or ended.
    assert not is_out_of_reach(pod(RUNNING))
    assert not is_out_of_reach(pod(terminated("Error"), conditions=condition("Ready", "False")))
    assert not is_out_of_reach(None)


def test_a_pod_is_overdue_once_its_time_to_go_has_passed() -> None:
    going = {"metadata": {"deletionTimestamp": "2026-11-22T12:00:00Z"}, "status": {}}
    assert not is_overdue(going, AT)
    assert is_overdue(going, AT + timedelta(seconds=1))
    assert not is_overdue(pod(RUNNING), AT)
