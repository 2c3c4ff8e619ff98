"""The last state of pods that have gone: Kubernetes tells it once, and KubeSpawner forgets it then."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from kubernetes_asyncio.client.exceptions import ApiException
from kubernetes_asyncio.watch import Watch

log = logging.getLogger(__name__)

#: Of how many pods the end is remembered; each is asked for within one interval of the hub's polls.
_KEPT = 2_000

#: Seconds before the watch is begun again after a failure, and for which one answer may last.
_PAUSE, _LASTS = 1.0, 300


class PodEnds:
    """Follows the pods of a namespace, and remembers how each looked when it was removed.

    Parameters
    ----------
    api
        A client of Kubernetes' core API.
    namespace
        Where users' servers are.
    component
        The label that tells them from other pods.
    """

    def __init__(self, api: Any, namespace: str, component: str) -> None:
        self._api = api
        self._namespace = namespace
        self._chosen = f"component={component}"
        self._last: OrderedDict[str, Mapping[str, Any]] = OrderedDict()
        self._changed = asyncio.Condition()
        self._following = asyncio.Event()
        self._task = asyncio.create_task(self._follow())

    async def ready(self) -> None:
        """Return once pods are followed: no end is missed from here."""
        await self._following.wait()

    def last(self, uid: str | None) -> Mapping[str, Any] | None:
        """Return how a pod looked when it was removed; None where it was not, or not while it was followed."""
        return None if uid is None else self._last.get(uid)

    async def removed(self, uid: str) -> Mapping[str, Any]:
        """Wait for the removal of a pod; return how it looked then."""
        async with self._changed:
            await self._changed.wait_for(lambda: uid in self._last)
        return self._last[uid]

    async def _follow(self) -> None:
        version: str | None = None
        while True:
            try:
                if version is None:
                    listed = await self._api.list_namespaced_pod(self._namespace, label_selector=self._chosen)
                    version = listed.metadata.resource_version
                version = await self._changes(version)
            except ApiException as error:
                if error.status != 410:
                    log.warning("The ends of pods cannot be followed: %s", error.reason)
                    await asyncio.sleep(_PAUSE)
                version = None
            except (OSError, TimeoutError) as error:
                log.warning("The ends of pods cannot be followed: %r", error)
                await asyncio.sleep(_PAUSE)
            except Exception:
                log.exception("The ends of pods cannot be followed.")
                await asyncio.sleep(_PAUSE)
                version = None

    async def _changes(self, version: str) -> str:
        """Note the changes since a version for some minutes; return the version that it came to."""
        self._following.set()
        async with Watch() as watch:
            changes = watch.stream(
                self._api.list_namespaced_pod,
                self._namespace,
                label_selector=self._chosen,
                resource_version=version,
                timeout_seconds=_LASTS,
            )
            async for change in changes:
                pod = change["raw_object"]
                version = pod["metadata"]["resourceVersion"]
                if change["type"] == "DELETED":
                    await self._note(pod)
        return version

    async def _note(self, pod: Mapping[str, Any]) -> None:
        async with self._changed:
            self._last[pod["metadata"]["uid"]] = {"metadata": pod["metadata"], "status": pod["status"]}
            while len(self._last) > _KEPT:
                self._last.popitem(last=False)
            self._changed.notify_all()
