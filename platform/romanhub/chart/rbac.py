"""What the parts may do in the cluster, each for a reason. `helm/romanhub/files/rbac.yaml` is made from it."""

from __future__ import annotations

from typing import Literal

import yaml
from pydantic import Field

from romanhub.chart.model import Values


class Rule(Values):
    """One thing that a part may do."""

    part: str = Field(
        description="The part, whose ServiceAccount is romanhub-PART; hub is that of the chart jupyterhub."
    )
    scope: Literal["namespace", "cluster"] = Field(default="namespace", description="Where.")
    group: str = Field(description="The API's group; empty for the core.")
    resources: tuple[str, ...] = Field(min_length=1, description="What kinds of objects.")
    verbs: tuple[str, ...] = Field(min_length=1, description="What it does with them.")
    reason: str = Field(min_length=20, description="Why it has to.")


RULES: tuple[Rule, ...] = (
    Rule(
        part="hub",
        group="",
        resources=("persistentvolumeclaims",),
        verbs=("patch",),
        reason="A home grows when its owner comes to a larger tier.",
    ),
    Rule(
        part="gateway",
        group="gateway.dask.org",
        resources=("daskclusters",),
        verbs=("create", "patch"),
        reason="A cluster that was admitted is an object, which is scaled and ended by changing it.",
    ),
    Rule(
        part="gateway",
        group="",
        resources=("secrets",),
        verbs=("get",),
        reason="The owner of a cluster is given its certificate, which is in a Secret beside it.",
    ),
    Rule(
        part="gateway",
        scope="cluster",
        group="gateway.dask.org",
        resources=("daskclusters",),
        verbs=("list", "watch"),
        reason="Dask Gateway looks for its own clusters in all namespaces, and cannot be told to look in one.",
    ),
    Rule(
        part="controller",
        group="gateway.dask.org",
        resources=("daskclusters",),
        verbs=("patch", "delete"),
        reason="It stops a cluster that nothing pays for any more, and removes those that ended long ago.",
    ),
    Rule(
        part="controller",
        group="gateway.dask.org",
        resources=("daskclusters/status",),
        verbs=("patch",),
        reason="It notes how far a cluster is.",
    ),
    Rule(
        part="controller",
        group="",
        resources=("pods",),
        verbs=("create", "delete"),
        reason="It starts and ends schedulers and workers.",
    ),
    Rule(
        part="controller",
        group="",
        resources=("secrets",),
        verbs=("create", "get", "patch", "delete"),
        reason="It makes a cluster's certificate, and puts its token for the broker beside it.",
    ),
    Rule(
        part="controller",
        group="",
        resources=("services",),
        verbs=("create",),
        reason="A scheduler has a name by which its workers find it.",
    ),
    Rule(
        part="controller",
        group="networking.k8s.io",
        resources=("networkpolicies",),
        verbs=("create",),
        reason="A cluster's pods reach each other, and no other cluster's.",
    ),
    Rule(
        part="controller",
        group="traefik.io",
        resources=("ingressroutetcps",),
        verbs=("create",),
        reason="The proxy lets notebooks in to their scheduler by its route.",
    ),
    Rule(
        part="controller",
        scope="cluster",
        group="gateway.dask.org",
        resources=("daskclusters",),
        verbs=("list", "watch"),
        reason="Dask Gateway looks for its own clusters in all namespaces, and cannot be told to look in one.",
    ),
    Rule(
        part="controller",
        scope="cluster",
        group="",
        resources=("pods", "endpoints"),
        verbs=("list", "watch"),
        reason="Dask Gateway looks for its own pods in all namespaces, and cannot be told to look in one.",
    ),
    Rule(
        part="dask-proxy",
        group="traefik.io",
        resources=(
            "ingressroutes", "ingressroutetcps", "ingressrouteudps", "middlewares", "middlewaretcps",
            "serverstransports", "serverstransporttcps", "tlsoptions", "tlsstores", "traefikservices",
        ),
        verbs=("get", "list", "watch"),
        reason="Traefik reads the routes of this namespace; it asks for every kind of them, and waits for all.",
    ),
    Rule(
        part="dask-proxy",
        group="",
        resources=("services", "secrets", "configmaps"),
        verbs=("get", "list", "watch"),
        reason="Routes name services; Traefik watches Secrets and ConfigMaps, too, and waits for both: a "
        "certificate might be there.",
    ),
    Rule(
        part="dask-proxy",
        group="discovery.k8s.io",
        resources=("endpointslices",),
        verbs=("list", "watch"),
        reason="It sends what it gets to the addresses of a service's pods.",
    ),
)  # fmt: skip


def rbac_text() -> str:
    """The rules as the chart's file has them: by scope, then by part."""
    found: dict[str, dict[str, list[dict[str, object]]]] = {"namespace": {}, "cluster": {}}
    for rule in RULES:
        found[rule.scope].setdefault(rule.part, []).append(
            {
                "apiGroups": [rule.group],
                "resources": list(rule.resources),
                "verbs": list(rule.verbs),
                "reason": rule.reason,
            }
        )
    head = "# Made by `romanhub chart write` from romanhub.chart.rbac: change it there.\n"
    return head + yaml.safe_dump(found, sort_keys=False, width=110)
