"""What a pod says of the begin and the end of the server in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from hubquota.models.stops import ENDED, EVICTED, OUT_OF_MEMORY, REMOVED, EndKind

#: What Kubernetes calls a container that was ended because it used more memory than its limit.
_OOM_KILLED = "OOMKilled"
#: The name of the server's container in the pods that KubeSpawner makes.
_CONTAINER = "notebook"
#: The condition of a pod that is to go for the cluster's sake, and not for its own.
_DISRUPTED = "DisruptionTarget"


@dataclass(frozen=True, slots=True)
class Ending:
    """What the machinery that ran a server says of its end."""

    reason: str
    kind: EndKind
    #: When it ended; None where that is not said.
    at: datetime | None = None


def pod_of(spawner: Any) -> Mapping[str, Any] | None:
    """Return the pod of a spawner's server, as KubeSpawner last saw it; None without one."""
    reflector = getattr(spawner, "pod_reflector", None)
    pods = getattr(reflector, "pods", None)
    if not isinstance(pods, Mapping):
        return None
    pod = pods.get(f"{spawner.namespace}/{spawner.pod_name}")
    return pod if isinstance(pod, Mapping) else None


def pod_began(pod: Mapping[str, Any] | None) -> datetime | None:
    """Return when the server's container began to run; None where it does not."""
    return _moment((_state(pod).get("running") or {}).get("startedAt"))


def pod_ended(pod: Mapping[str, Any] | None) -> datetime | None:
    """Return when the server's container came to its end; None where it has not."""
    return _moment((_state(pod).get("terminated") or {}).get("finishedAt"))


def pod_ending(pod: Mapping[str, Any] | None) -> Ending | None:
    """Return what a pod says of its server's end; None where it has not ended.

    Kubernetes says of a container why and when it ended (``ContainerStateTerminated``), and of a pod that it had
    to go for the cluster's sake (``status.reason``, and the condition ``DisruptionTarget``) or was ordered to be
    removed before its server ended (``deletionTimestamp``, which is the grace period later). Of a local process
    nothing is known: signal 9, which is what the kernel sends then, can come from anybody, so it proves nothing.
    """
    terminated = _state(pod).get("terminated")
    evicted = disruption(pod)
    at = pod_ended(pod)
    if terminated and terminated.get("reason") == _OOM_KILLED:
        return Ending(OUT_OF_MEMORY, "out-of-memory", at)
    if evicted is not None and (terminated or _status(pod).get("phase") == "Failed"):
        return Ending(evicted, "evicted", at)
    if not terminated:
        return None
    # A pod is in the books a moment longer than its server, so that it is seen with its end, too.
    ordered = _ordered_to_go(pod)
    by_itself = ordered is None or (at is not None and at < ordered)
    return Ending(ENDED, "ended", at) if by_itself else Ending(REMOVED, "removed", at)


def disruption(pod: Mapping[str, Any] | None) -> str | None:
    """Return why a pod goes for the cluster's sake, as a sentence or two for its user; None where it does not."""
    status = _status(pod)
    said = status.get("message") if status.get("reason") == "Evicted" else None
    for condition in status.get("conditions") or ():
        if said is None and condition.get("type") == _DISRUPTED and condition.get("status") == "True":
            said = condition.get("message") or condition.get("reason")
    return None if said is None else f"{EVICTED} Its words: {said.strip().rstrip('.')}."


def is_out_of_reach(pod: Mapping[str, Any] | None) -> bool:
    """Return whether the machine of a pod has fallen silent: it is not ready, and has not ended.

    The pods that KubeSpawner makes have no probe of readiness, so that nothing else makes a running one unready.
    """
    running = "running" in _state(pod)
    ready = [one["status"] for one in _status(pod).get("conditions") or () if one.get("type") == "Ready"]
    return running and ready not in ([], ["True"])


def is_overdue(pod: Mapping[str, Any] | None, now: datetime) -> bool:
    """Return whether a pod should have been gone by now: it was to be removed, and its time is over."""
    due = _moment(((pod or {}).get("metadata") or {}).get("deletionTimestamp"))
    return due is not None and due < now


def _ordered_to_go(pod: Mapping[str, Any] | None) -> datetime | None:
    """Return when it was ordered that a pod be removed; None where it was not."""
    meta = (pod or {}).get("metadata") or {}
    due = _moment(meta.get("deletionTimestamp"))
    return None if due is None else due - timedelta(seconds=meta.get("deletionGracePeriodSeconds") or 0)


def _status(pod: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return (pod or {}).get("status") or {}


def _state(pod: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the state of the server's container."""
    for container in _status(pod).get("containerStatuses") or ():
        if container.get("name") == _CONTAINER:
            return container.get("state") or {}
    return {}


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC)
