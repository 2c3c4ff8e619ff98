"""The rule of the network that keeps a cluster to itself: its own scheduler and workers, and no other's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: The label of all that belongs to one cluster.
CLUSTER = "gateway.dask.org/cluster"


def policy_of(cluster: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, Any]:
    """Return a NetworkPolicy: the pods of a cluster reach each other.

    What else they reach is the chart's to say, which knows no single cluster. Policies add up, so nothing is said
    there of one pod of a cluster and another. It goes when its cluster's record goes.

    Parameters
    ----------
    cluster
        Its DaskCluster.
    labels
        The labels of what the gateway makes for it.
    """
    meta = cluster["metadata"]
    each_other = [{"podSelector": {"matchLabels": {CLUSTER: meta["name"]}}}]
    return {
        "metadata": {
            "name": f"dask-{meta['name']}",
            "labels": dict(labels),
            "ownerReferences": [
                {
                    "apiVersion": cluster["apiVersion"],
                    "kind": cluster["kind"],
                    "name": meta["name"],
                    "uid": meta["uid"],
                }
            ],
        },
        "spec": {
            "podSelector": each_other[0]["podSelector"],
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": each_other}],
            "egress": [{"to": each_other}],
        },
    }
