"""What a small machine needs so that it holds what a real node does."""

from __future__ import annotations

from typing import Any

#: A machine of two cores has no room for what is set aside for servers and workers; their limits stay.
_LESS = """
Object{spec: Object.spec{containers: [Object.spec.containers{
    name: object.spec.containers[0].name,
    resources: Object.spec.containers.resources{requests: {"cpu": "200m"}}}]}}
"""

#: Which pods these are.
_WHICH = """
"app.kubernetes.io/component" in object.metadata.?labels.orValue({}) &&
object.metadata.labels["app.kubernetes.io/component"] in ["singleuser-server", "dask-scheduler", "dask-worker"]
"""


def tight() -> list[dict[str, Any]]:
    """A rule by which a small machine holds what a real node does: little is set aside of its cores."""
    rule = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": "a-small-machine"},
        "spec": {
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "matchConstraints": {
                "resourceRules": [
                    {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
                ]
            },
            "matchConditions": [{"name": "peoples", "expression": " ".join(_WHICH.split())}],
            "mutations": [
                {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": " ".join(_LESS.split())}}
            ],
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": "a-small-machine"},
        "spec": {"policyName": "a-small-machine"},
    }
    return [rule, binding]
