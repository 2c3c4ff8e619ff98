"""A second node, which is none: it says that it is ready, and nothing runs on it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import httpx

NAME = "witness"


class Witness:
    """Keeps a cluster from taking the silence of its only real node for a fault of its own.

    Kubernetes gives up no pods where none of its nodes answers. This stands for the cluster's other nodes: an
    object that is reported ready every few seconds, and on which nothing may run.

    Parameters
    ----------
    api
        An administrator's client of the API server.
    """

    def __init__(self, api: httpx.Client) -> None:
        self._api = api
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._report, daemon=True)

    def __enter__(self) -> Self:
        taint = {"key": "romanhub.test/witness", "effect": "NoSchedule"}
        node = {"metadata": {"name": NAME}, "spec": {"taints": [taint], "unschedulable": True}}
        self._api.post("/api/v1/nodes", json=node).raise_for_status()
        self._say_ready()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._api.delete(f"/api/v1/nodes/{NAME}")

    def _report(self) -> None:
        while not self._ended.wait(2):
            self._say_ready()

    def _say_ready(self) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        ready: dict[str, Any] = {
            "type": "Ready",
            "status": "True",
            "reason": "Pretended",
            "lastHeartbeatTime": now,
        }
        patch = {"status": {"conditions": [ready]}}
        kind = {"Content-Type": "application/strategic-merge-patch+json"}
        self._api.patch(f"/api/v1/nodes/{NAME}/status", json=patch, headers=kind).raise_for_status()
