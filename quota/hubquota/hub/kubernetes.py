"""The spawner for Kubernetes that a hub finds by name: `c.JupyterHub.spawner_class = "quota-kubernetes"`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, ClassVar

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
from hubquota.hub.podends import PodEnds
from hubquota.hub.spawner import QuotaSpawnerMixin
from hubquota.models.stops import NODE_LOST, REMOVED

log = logging.getLogger(__name__)

#: How long, in seconds, the end of a pod that is stopped may still be on its way here once KubeSpawner is through.
_PATIENCE = 2.0


class QuotaKubeSpawner(QuotaSpawnerMixin, KubeSpawner):  # type: ignore[misc]
    """Servers as pods, within their tier, charged for the times of their pods."""

    #: What follows the pods of a namespace; one for all the spawners of this process.
    _followers: ClassVar[dict[str, PodEnds]] = {}

    #: The pod's identity: a later pod of the same name has another one.
    _uid: str | None = None

    def began_at(self) -> datetime | None:
        """Return when the pod's container began to run."""
        return pod_began(pod_of(self))

    def ending(self) -> Ending | None:
        """Return why the server died: the pod says so, or it is not there any more, or its machine is silent."""
        if self.pod_reflector is None:
            # After a start of the hub, before anything was looked at.
            return None
        pod = pod_of(self)
        if pod is not None:
            return Ending(NODE_LOST, "node-lost") if is_out_of_reach(pod) else pod_ending(pod)
        last = self._ends().last(self._uid)
        if (said := disruption(last)) is not None:
            return Ending(said, "evicted", pod_ended(last))
        ended = pod_ending(last)
        if ended is not None and ended.kind != "ended":
            return ended
        return Ending(REMOVED, "removed", pod_ended(last))

    def answers(self) -> bool:
        """Return whether the cluster hears of the pod."""
        return not is_out_of_reach(pod_of(self))

    async def load_user_options(self) -> None:
        """Apply the profile that was chosen, of which the size and the mounts of the home do not count."""
        await super().load_user_options()
        self.apply_admitted()

    async def get_pod_manifest(self) -> Any:
        """Return the pod, for a server that stays dead when it dies.

        KubeSpawner's pods begin their container anew. Its user would not be told why the work in it is lost, and
        would go on paying.
        """
        pod = await super().get_pod_manifest()
        pod.spec.restart_policy = "Never"
        return pod

    async def start(self) -> Any:
        """Start the server, with its pod followed from the beginning."""
        self._uid = None
        await self._ends().ready()
        where = await super().start()
        self._note(pod_of(self))
        return where

    async def poll(self) -> Any:
        """Return whether the server runs, and give up a pod whose machine has been silent for too long.

        Kubernetes decides how long that is (the pods' tolerations of ``node.kubernetes.io/unreachable``): it
        orders the pod to go then, but keeps it in its books until its machine says that it has gone.
        """
        pod = pod_of(self)
        self._note(pod)
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
        self._note(pod)
        # KubeSpawner's poll clears what it finds dead away by a stop.
        if (said := pod_ending(pod)) is not None:
            self.give_up(said)
        # A machine that is silent confirms nothing, so that a pod on it would be waited for in vain.
        await super().stop(now=now or is_out_of_reach(pod))
        if pod is not None and self._uid is not None and said is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE):
                    self.stopped_at(pod_ended(await self._ends().removed(self._uid)))

    def _note(self, pod: Mapping[str, Any] | None) -> None:
        if pod is not None:
            self._uid = pod["metadata"]["uid"]
            self._ends()

    def _ends(self) -> PodEnds:
        found = self._followers.get(self.namespace)
        if found is None:
            found = self._followers[self.namespace] = PodEnds(self.api, self.namespace, self.component_label)
        return found
