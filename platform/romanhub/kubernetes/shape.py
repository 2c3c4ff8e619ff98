"""What the pods of schedulers and workers are: whose, where they run, and how little they may do."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from romanhub.dask.charged import account_of
from romanhub.dask.options import REGION
from romanhub.kubernetes.labels import label_of
from romanhub.kubernetes.settings import DaskSettings, Nodes

#: Labels that a cluster and its pods carry, beside the owner's.
ACCOUNT, TIER = "romanhub/account", "romanhub/tier"


def labels_of(settings: DaskSettings, owner: str, account: str, tier: str) -> dict[str, str]:
    """Return the labels of a cluster: whose it is, who pays, and by which tier."""
    return {settings.same_owner_label: label_of(owner), ACCOUNT: label_of(account), TIER: label_of(tier)}


def notes_of(settings: DaskSettings, owner: str, account: str) -> dict[str, str]:
    """Return the same as annotations, in which a name stands as it is."""
    return {settings.same_owner_label: owner, ACCOUNT: account}


def shaped(
    pod: Mapping[str, Any], cluster: Mapping[str, Any], settings: DaskSettings, *, worker: bool
) -> dict[str, Any]:
    """Return a pod as upstream made it, with whose it is, where it runs, and what it may not do.

    Parameters
    ----------
    pod
        The pod.
    cluster
        Its DaskCluster.
    settings
        What the operator says.
    worker
        Whether it is a worker and no scheduler.
    """
    found: dict[str, Any] = copy.deepcopy(dict(pod))
    meta, spec = found["metadata"], found["spec"]
    owner, options = cluster["spec"]["username"], cluster["spec"].get("options") or {}
    carried = cluster["metadata"].get("labels") or {}
    ours = {name: carried[name] for name in (settings.same_owner_label, ACCOUNT, TIER) if name in carried}
    meta["labels"] = {**(meta.get("labels") or {}), **ours}
    meta["annotations"] = {
        **(meta.get("annotations") or {}),
        **notes_of(settings, owner, account_of(options, owner)),
    }
    nodes = settings.workers.nodes if worker else settings.scheduler.nodes
    _place(spec, nodes, settings.regions.get(options.get(REGION, ""), {}))
    # One life of a container is one pod and, of a worker, one lease: what takes its place is admitted anew.
    spec["restartPolicy"] = "Never"
    spec["terminationGracePeriodSeconds"] = settings.grace_seconds
    spec["automountServiceAccountToken"] = False
    spec["enableServiceLinks"] = False
    spec["securityContext"] = {
        "runAsNonRoot": True,
        "runAsUser": settings.uid,
        "runAsGroup": settings.uid,
        "fsGroup": settings.uid,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    for volume in spec.get("volumes") or ():
        if "secret" in volume:
            # For the group that the pod's own user is in.
            volume["secret"]["defaultMode"] = 0o440
    spec["volumes"] = [*(spec.get("volumes") or ()), *_volumes(settings)]
    for container in spec["containers"]:
        container["securityContext"] = {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }
        container["volumeMounts"] = [*(container.get("volumeMounts") or ()), *_mounts(settings)]
    if worker:
        _set_aside(spec["containers"][0]["resources"], settings.workers.share)
    return found


def _place(spec: dict[str, Any], nodes: Nodes, region: Mapping[str, str]) -> None:
    required = {**nodes.required, **region}
    if required:
        spec["nodeSelector"] = required
    if nodes.tolerations:
        spec["tolerations"] = [one.model_dump(exclude_none=True) for one in nodes.tolerations]
    if nodes.priority_class:
        spec["priorityClassName"] = nodes.priority_class
    affinity: dict[str, Any] = {}
    if nodes.preferred:
        affinity["preferredDuringSchedulingIgnoredDuringExecution"] = [
            {"weight": 100, "preference": {"matchExpressions": _expressions(nodes.preferred, "In")}}
        ]
    if nodes.avoided:
        affinity["requiredDuringSchedulingIgnoredDuringExecution"] = {
            "nodeSelectorTerms": [{"matchExpressions": _expressions(nodes.avoided, "NotIn")}]
        }
    if affinity:
        spec["affinity"] = {"nodeAffinity": affinity}


def _volumes(settings: DaskSettings) -> list[dict[str, Any]]:
    return [{"name": name, "configMap": {"name": name}} for name in settings.config_folders]


def _mounts(settings: DaskSettings) -> list[dict[str, Any]]:
    return [
        {"name": name, "mountPath": folder, "readOnly": True} for name, folder in settings.config_folders.items()
    ]


def _expressions(labels: Mapping[str, str], operator: str) -> list[dict[str, Any]]:
    return [{"key": name, "operator": operator, "values": [value]} for name, value in labels.items()]


def _set_aside(resources: dict[str, Any], share: float) -> None:
    limits = resources["limits"]
    resources["requests"] = {
        "cpu": f"{float(limits['cpu']) * share:.3f}",
        "memory": str(int(int(limits["memory"]) * share)),
    }
