"""What a pod's own record says of the life of a scheduler or a worker: when it began, when it ended, and why.

Nothing here asks anybody. A pod is the object that Kubernetes gives out, as JSON. Times are the kubelet's, in
whole seconds, UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hubquota.models.clusters import cluster_key
from hubquota.models.stops import EndKind

from romanhub.dask.payers import ENDED

#: A pod's annotations: the number and the key of its worker's lease.
LEASE, KEY = "romanhub/lease", "romanhub/key"

#: The labels by which upstream tells clusters and the two kinds of pods apart.
CLUSTER_NAME, COMPONENT = "gateway.dask.org/cluster", "app.kubernetes.io/component"
WORKER, SCHEDULER = "dask-worker", "dask-scheduler"

#: Why Kubernetes itself ended a pod (its condition `DisruptionTarget`), for people and for programs.
_DISRUPTED: Mapping[str, tuple[str, EndKind]] = {
    "PreemptionByScheduler": ("Its place was needed for something that comes first.", "evicted"),
    "DeletionByTaintManager": ("The machine that it ran on went away.", "node-lost"),
    "DeletionByPodGC": ("The machine that it ran on went away.", "node-lost"),
    "EvictionByEvictionAPI": ("The machine that it ran on was cleared for maintenance.", "evicted"),
}


@dataclass(frozen=True)
class End:
    """Why a pod has ended."""

    #: A sentence for people. It begins with what ended.
    reason: str
    kind: EndKind | None = None
    #: Whether it ended for a cause of its own: whoever ended it otherwise may know better why.
    own: bool = False


@dataclass(frozen=True)
class Life:
    """One pod of a cluster, as far as it is known."""

    pod: str
    #: The cluster as the gateway calls it: its namespace, a dot, its own name.
    cluster: str
    #: The key of its lease; of a worker without one (which we did not make) empty.
    key: str
    #: The number of a worker's lease; None of a scheduler, whose lease is its cluster's.
    lease: int | None
    worker: bool
    made: datetime
    began: datetime | None = None
    #: When it ended, where the machinery says so.
    ended: datetime | None = None
    #: Why it has ended; None while it has not.
    end: End | None = None
    #: Whether it was told to end.
    told: bool = False
    #: Where it answers; empty while nobody says.
    address: str = ""

    @property
    def runs(self) -> bool:
        """Whether it runs now."""
        return self.began is not None and self.end is None

    @property
    def waits(self) -> bool:
        """Whether it has still to begin."""
        return self.began is None and self.end is None


def life_of(pod: Mapping[str, Any], *, gone: bool = False, now: datetime | None = None) -> Life | None:
    """Return a pod's life; None of a pod that is no part of a cluster.

    Parameters
    ----------
    pod
        The pod, as it was seen last.
    gone
        Whether it is not there any more.
    now
        The time, for a pod that is gone.
    """
    meta, status = pod["metadata"], pod.get("status") or {}
    labels, notes = meta.get("labels") or {}, meta.get("annotations") or {}
    name, component = labels.get(CLUSTER_NAME), labels.get(COMPONENT)
    if name is None or component not in (WORKER, SCHEDULER):
        return None
    worker, cluster = component == WORKER, f"{meta['namespace']}.{name}"
    state = _state(status, component)
    running, terminated = state.get("running"), state.get("terminated")
    began = _time((running or terminated or {}).get("startedAt"))
    ended, end = None, None
    if terminated is not None:
        ended, end = _time(terminated.get("finishedAt")), _why(pod, terminated, worker)
    elif gone:
        # It was removed by force, or it was removed while nobody looked.
        told = _time(meta.get("deletionTimestamp"))
        ended, end = None if told is None or now is None else min(told, now), _why(pod, {}, worker)
    elif status.get("phase") in ("Failed", "Succeeded"):
        ended, end = _not_ready_since(status), _why(pod, {}, worker)
    elif running is not None and (since := _lost_since(status, component)) is not None:
        sentence = "The machine that it ran on does not answer."
        ended, end = since, End(_text(worker, sentence), "node-lost", own=True)
    lease = notes.get(LEASE, "") if worker else ""
    return Life(
        pod=meta["name"],
        cluster=cluster,
        key=notes.get(KEY, "") if worker else cluster_key(cluster),
        lease=int(lease) if lease.isdecimal() else None,
        worker=worker,
        made=_time(meta.get("creationTimestamp")) or datetime.fromtimestamp(0, UTC),
        began=began,
        ended=ended,
        end=end,
        told=bool(meta.get("deletionTimestamp")),
        address=status.get("podIP") or "",
    )


def _state(status: Mapping[str, Any], container: str) -> Mapping[str, Any]:
    for one in status.get("containerStatuses") or ():
        if one["name"] == container:
            found: Mapping[str, Any] = one.get("state") or {}
            return found
    return {}


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    return next((one for one in status.get("conditions") or () if one["type"] == kind), {})


def _not_ready_since(status: Mapping[str, Any]) -> datetime | None:
    ready = _condition(status, "Ready")
    return _time(ready.get("lastTransitionTime")) if ready.get("status") == "False" else None


def _lost_since(status: Mapping[str, Any], container: str) -> datetime | None:
    """Return since when a pod's machine does not answer; None where it does.

    The kubelet's own last word is that the container is ready, and somebody else has said that the pod is not:
    the controller of nodes does so for all pods of a machine that does not answer.
    """
    ready = any(one["name"] == container and one.get("ready") for one in status.get("containerStatuses") or ())
    return _not_ready_since(status) if ready else None


def _why(pod: Mapping[str, Any], terminated: Mapping[str, Any], worker: bool) -> End:
    status = pod.get("status") or {}
    disrupted = _condition(status, "DisruptionTarget")
    if terminated.get("reason") == "OOMKilled":
        return End(_text(worker, f"It needed more memory than it has{_memory(pod)}."), "out-of-memory", own=True)
    if status.get("reason") == "Evicted":
        message = " ".join(str(status.get("message", "")).split()).rstrip(".")
        sentence = f"Its machine could not keep it: {message or 'no reason given'}."
        return End(_text(worker, sentence), "evicted", own=True)
    if disrupted.get("status") == "True":
        sentence, kind = _DISRUPTED.get(
            str(disrupted.get("reason")), ("The machine that it ran on ended it.", "evicted")
        )
        return End(_text(worker, sentence), kind, own=True)
    if pod["metadata"].get("deletionTimestamp"):
        return End(_text(worker, "Its pod was deleted."), "removed")
    code = terminated.get("exitCode", 0)
    if code:
        return End(_text(worker, f"Its process ended with exit code {code}."), "ended", own=True)
    return End(ENDED if worker else "The cluster's scheduler ended.", None if worker else "ended")


def _text(worker: bool, sentence: str) -> str:
    return f"{'The worker' if worker else 'The scheduler of the cluster'} has ended: {sentence}"


def _memory(pod: Mapping[str, Any]) -> str:
    """Return what a pod's container may use, as words after a blank; nothing where nobody says."""
    for container in pod["spec"].get("containers") or ():
        limit = ((container.get("resources") or {}).get("limits") or {}).get("memory")
        if isinstance(limit, str) and limit.isdecimal():
            return f", {int(limit) / 2**30:g} GB"
        if isinstance(limit, str) and limit.endswith("Gi"):
            return f", {limit.removesuffix('Gi')} GB"
    return ""


def _time(text: str | None) -> datetime | None:
    return None if not text else datetime.fromisoformat(text).astimezone(UTC)
