"""A pretended node: it says of pods that they run, and runs nothing.

It stands in for a kubelet, in the tests of what the gateway makes of pods' own records: there, pods by the dozen
begin and end at moments and for causes of the test's choosing. What real pods do is shown on the real node.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import httpx

NAME = "pretended"

#: Keeps away from it what is not meant for it.
TAINT = {"key": "romanhub.test/pretended", "effect": "NoSchedule"}

#: How often it looks, in seconds.
LOOK = 0.2


def moment() -> str:
    """Return the time as a kubelet writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class PretendedNode:
    """One node with room for everything.

    Parameters
    ----------
    api
        An administrator's client of the API server, for this node alone.
    labels
        The node's labels.
    """

    def __init__(self, api: httpx.Client, labels: dict[str, str] | None = None, name: str = NAME) -> None:
        self._api = api
        self._name = name
        self._labels = labels or {}
        self._end = threading.Event()
        #: While set, it says nothing any more, like a machine that has lost its power.
        self.silent = threading.Event()
        self._addresses = 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Be there."""
        node = {"metadata": {"name": self._name, "labels": self._labels}, "spec": {"taints": [TAINT]}}
        self._api.post("/api/v1/nodes", json=node).raise_for_status()
        self._beat()
        self._thread.start()

    def stop(self) -> None:
        """Go away, with all that it has."""
        self._end.set()
        self._thread.join(10)
        for pod in self._pods():
            self._remove(pod)
        self._api.delete(f"/api/v1/nodes/{self._name}")

    def finish(self, pod: str, namespace: str, *, code: int, reason: str) -> str:
        """Say that a pod's container has ended just now; return when."""
        found = self._api.get(f"/api/v1/namespaces/{namespace}/pods/{pod}").raise_for_status().json()
        now = moment()
        self._end_container(found, now, code, reason)
        return now

    def evict(self, pod: str, namespace: str, message: str) -> str:
        """Say that a pod had to go, for want of something; return when."""
        found = self._api.get(f"/api/v1/namespaces/{namespace}/pods/{pod}").raise_for_status().json()
        now = moment()
        self._end_container(found, now, 137, "Error", {"reason": "Evicted", "message": message})
        return now

    def _run(self) -> None:
        beats = 0
        while not self._end.wait(LOOK):
            if self.silent.is_set():
                continue
            with suppress(httpx.HTTPError):
                beats += 1
                if beats % 10 == 0:
                    self._beat()
                for pod in self._pods():
                    self._tend(pod)

    def _beat(self) -> None:
        now = moment()
        conditions = [{"type": "Ready", "status": "True", "lastHeartbeatTime": now, "reason": "KubeletReady"}]
        room = {"cpu": "1000", "memory": "4000Gi", "pods": "1000"}
        status = {"conditions": conditions, "capacity": room, "allocatable": room}
        self._patch(f"/api/v1/nodes/{self._name}/status", {"status": status})
        base = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        spec = {"holderIdentity": self._name, "leaseDurationSeconds": 10}
        spec["renewTime"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        answer = self._api.patch(
            f"{base}/{self._name}", json={"spec": spec}, headers={"Content-Type": "application/merge-patch+json"}
        )
        if answer.status_code == 404:
            self._api.post(base, json={"metadata": {"name": self._name}, "spec": spec})

    def _pods(self) -> list[dict[str, Any]]:
        found = self._api.get("/api/v1/pods", params={"fieldSelector": f"spec.nodeName={self._name}"})
        return list(found.json()["items"])

    def _remove(self, pod: dict[str, Any]) -> None:
        path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
        self._api.request("DELETE", path, json={"gracePeriodSeconds": 0})

    def _tend(self, pod: dict[str, Any]) -> None:
        phase, told = pod["status"].get("phase"), pod["metadata"].get("deletionTimestamp")
        if told:
            if phase == "Running":
                self._end_container(pod, moment(), 143, "Error")
            self._remove(pod)
        elif phase == "Pending":
            self._begin(pod)

    def _begin(self, pod: dict[str, Any]) -> None:
        now = moment()
        self._addresses += 1
        address = f"10.244.{self._addresses // 250}.{1 + self._addresses % 250}"
        container = pod["spec"]["containers"][0]["name"]
        status = {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "startTime": now,
            "conditions": [
                {"type": kind, "status": "True", "lastTransitionTime": now}
                for kind in ("Initialized", "ContainersReady", "Ready")
            ],
            "containerStatuses": [_container(container, {"running": {"startedAt": now}}, ready=True)],
        }
        self._status(pod, status)

    def _end_container(
        self, pod: dict[str, Any], now: str, code: int, reason: str, more: dict[str, Any] | None = None
    ) -> None:
        began = pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"]
        terminated = {"exitCode": code, "reason": reason, "startedAt": began, "finishedAt": now}
        name = pod["spec"]["containers"][0]["name"]
        status = {
            "phase": "Failed" if code else "Succeeded",
            "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": now}],
            "containerStatuses": [_container(name, {"terminated": terminated}, ready=False)],
            **(more or {}),
        }
        self._status(pod, status)

    def _status(self, pod: dict[str, Any], status: dict[str, Any]) -> None:
        meta = pod["metadata"]
        self._patch(f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/status", {"status": status})

    def _patch(self, path: str, body: dict[str, Any]) -> None:
        answer = self._api.patch(
            path, json=body, headers={"Content-Type": "application/strategic-merge-patch+json"}
        )
        if answer.status_code != 404:
            answer.raise_for_status()


def _container(name: str, state: dict[str, Any], *, ready: bool) -> dict[str, Any]:
    return {
        "name": name, "image": "pretended", "imageID": "", "restartCount": 0, "ready": ready, "started": ready,
        "state": state,
    }  # fmt: skip
