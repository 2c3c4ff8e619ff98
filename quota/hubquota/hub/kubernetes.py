"""The spawner for Kubernetes that a hub finds by name: `c.JupyterHub.spawner_class = "quota-kubernetes"`."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from kubernetes_asyncio.client.exceptions import ApiException
from kubernetes_asyncio.watch import Watch
from kubespawner import KubeSpawner

from hubquota.hub.endings import (
    Ending,
    disruption,
    is_out_of_reach,
    is_overdue,
    pod_began,
    pod_ended,
    pod_ending,
    pod_of,
)
from hubquota.hub.spawner import QuotaSpawnerMixin
from hubquota.models.stops import NODE_LOST, REMOVED

log = logging.getLogger(__name__)

#: How long, in seconds, the end of a pod that is stopped may still be on its way here once KubeSpawner is through.
_PATIENCE = 2.0


class QuotaKubeSpawner(QuotaSpawnerMixin, KubeSpawner):  # type: ignore[misc]
    """Servers as pods, within their tier, charged for the times of their pods."""

    #: Why the pod is about to go, as it said when it was last seen.
    _going: str | None = None

    def began_at(self) -> datetime | None:
        """Return when the pod's container began to run."""
        return pod_began(pod_of(self))

    def ending(self) -> Ending | None:
        """Return why the server died: the pod says so, or it is not there any more, or its machine is silent."""
        if self.pod_reflector is None:
            # After a start of the hub, before anything was looked at.
            return None
        pod = pod_of(self)
        if pod is None:
            return Ending(self._going, "evicted") if self._going else Ending(REMOVED, "removed")
        if is_out_of_reach(pod):
            return Ending(NODE_LOST, "node-lost")
        return pod_ending(pod)

    def answers(self) -> bool:
        """Return whether the cluster hears of the pod."""
        return not is_out_of_reach(pod_of(self))

    async def run_pre_spawn_hook(self) -> None:
        """Forget what the last pod said, then ask the ledger."""
        self._going = None
        await super().run_pre_spawn_hook()

    async def poll(self) -> Any:
        """Return whether the server runs, and give up a pod whose machine has been silent for too long.

        Kubernetes decides how long that is (the pods' tolerations of ``node.kubernetes.io/unreachable``): it
        orders the pod to go then, but keeps it in its books until its machine says that it has gone.
        """
        pod = pod_of(self)
        self._going = disruption(pod) or self._going
        if is_out_of_reach(pod) and is_overdue(pod, datetime.now(UTC)):
            log.warning("The machine of %s has gone; its pod is given up.", self.pod_name)
            self.give_up(Ending(NODE_LOST, "node-lost"))
            with suppress(TimeoutError):
                await KubeSpawner.stop(self, now=True)
            return 1
        return await super().poll()

    async def stop(self, now: bool = False) -> None:
        """Stop the server, and note the time at which its container came to its end."""
        pod = pod_of(self)
        if pod is None:
            await super().stop(now=now)
            return
        # KubeSpawner's poll clears what it finds dead away by a stop.
        if (said := pod_ending(pod)) is not None:
            self.give_up(said)
        end = asyncio.create_task(self._last_state(pod))
        try:
            await super().stop(now=now)
            await asyncio.wait({end}, timeout=_PATIENCE)
        finally:
            if end.done() and not end.cancelled() and end.exception() is None:
                self.stopped_at(pod_ended(end.result()))
            end.cancel()

    async def _last_state(self, pod: Any) -> Any:
        """Return a pod as it is when it is removed: Kubernetes tells every change with the whole state.

        KubeSpawner's own watch forgets a pod with its removal.
        """
        chosen = {
            "namespace": self.namespace,
            "field_selector": f"metadata.name={self.pod_name}",
            "resource_version": pod["metadata"]["resourceVersion"],
        }
        last = pod
        async with Watch() as changes:
            with suppress(ApiException):
                async for change in changes.stream(self.api.list_namespaced_pod, **chosen):
                    last = change["raw_object"]
                    if change["type"] == "DELETED":
                        break
        return last
