"""What the parts may do in the cluster, each for a reason. `helm/romanhub/files/rbac.yaml` is made from it."""

from __future__ import annotations

from typing import Literal

import yaml
from pydantic import Field

from romanhub.chart.model import Values
from romanhub.kubernetes.rbac import RULES as GATEWAY


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


#: The programs of Dask Gateway, as the chart calls them, and where their rules hold.
_PARTS = {"dask-api": "gateway", "dask-controller": "controller"}
_SCOPES: dict[str, Literal["namespace", "cluster"]] = {"workers": "namespace", "everywhere": "cluster"}

RULES: tuple[Rule, ...] = (
    # What the gateway's two programs may do is written beside them.
    *(
        Rule(
            part=_PARTS[one.program],
            scope=_SCOPES[one.scope],
            group=one.group,
            resources=(one.resource,),
            verbs=one.verbs,
            reason=one.reason,
        )
        for one in GATEWAY
    ),
    Rule(
        part="hub",
        group="",
        resources=("persistentvolumeclaims",),
        verbs=("patch",),
        reason="A home grows when its owner comes to a larger tier.",
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
        resources=("services", "secrets"),
        verbs=("get", "list", "watch"),
        reason="Routes name services; Traefik watches Secrets, too, since a route might name a certificate.",
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
