"""Why a server died, where the machinery that ran it says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: What Kubernetes calls a container that was ended because it used more memory than its limit.
_OOM_KILLED = "OOMKilled"
#: The name of the server's container in the pods that KubeSpawner makes.
_CONTAINER = "notebook"


def ran_out_of_memory(spawner: Any) -> bool:
    """Return whether a spawner's server is known to have been ended because it used up its memory.

    KubeSpawner knows the pod, and Kubernetes says so in the state of its container
    (``ContainerStateTerminated.reason``). Of a local process nothing is known: signal 9, which is what the
    kernel sends then, can come from anybody, so it proves nothing.
    """
    reflector = getattr(spawner, "pod_reflector", None)
    pods = getattr(reflector, "pods", None)
    if not isinstance(pods, Mapping):
        return False
    pod = pods.get(f"{spawner.namespace}/{spawner.pod_name}")
    if not isinstance(pod, Mapping):
        return False
    for container in (pod.get("status") or {}).get("containerStatuses") or ():
        if container.get("name") == _CONTAINER:
            ended = (container.get("state") or {}).get("terminated") or {}
            return bool(ended.get("reason") == _OOM_KILLED)
    return False
