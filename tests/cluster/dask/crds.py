"""The kinds of objects that the gateway's chart brings, without their schemas, which upstream leaves empty too."""

from __future__ import annotations

from typing import Any


def crd(group: str, kind: str, plural: str, *, status: bool = False) -> dict[str, Any]:
    """The definition of a kind of objects that may hold anything."""
    version = {
        "name": "v1alpha1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
        **({"subresources": {"status": {}}} if status else {}),
    }
    names = {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "names": names, "scope": "Namespaced", "versions": [version]},
    }


CRDS = (
    crd("gateway.dask.org", "DaskCluster", "daskclusters", status=True),
    crd("traefik.io", "IngressRouteTCP", "ingressroutetcps"),
)
