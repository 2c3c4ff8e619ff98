"""What the gateway's two programs may do in Kubernetes, each for a reason, and nothing beside it.

The chart can render its roles from this list; the tests run the programs with it, so that a rule that is missing
is found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

#: The programs, by the names of their service accounts.
Program = Literal["dask-api", "dask-controller"]

#: Where a rule holds: in the namespace of schedulers and workers, or everywhere.
Scope = Literal["workers", "everywhere"]


@dataclass(frozen=True)
class Rule:
    """Something that a program may do."""

    program: Program
    scope: Scope
    group: str
    resource: str
    verbs: tuple[str, ...]
    #: Why, as a sentence.
    reason: str

    def as_kubernetes(self) -> dict[str, Any]:
        """Return the rule as a role of Kubernetes has it."""
        return {"apiGroups": [self.group], "resources": [self.resource], "verbs": list(self.verbs)}


_WATCHES = "Upstream's watch is over all namespaces; it picks its own objects by their label."

RULES: tuple[Rule, ...] = (
    Rule("dask-api", "everywhere", "gateway.dask.org", "daskclusters", ("list", "watch"), _WATCHES),
    Rule(
        "dask-api",
        "workers",
        "gateway.dask.org",
        "daskclusters",
        ("create", "patch"),
        "It makes a cluster that was admitted, and writes how many workers it is to have, and that it is to end.",
    ),
    Rule(
        "dask-api",
        "workers",
        "",
        "secrets",
        ("get",),
        "It gives a cluster's owner the credentials of its scheduler.",
    ),
    Rule("dask-controller", "everywhere", "gateway.dask.org", "daskclusters", ("list", "watch"), _WATCHES),
    Rule("dask-controller", "everywhere", "", "pods", ("list", "watch"), _WATCHES),
    Rule("dask-controller", "everywhere", "", "endpoints", ("list", "watch"), _WATCHES),
    Rule(
        "dask-controller",
        "workers",
        "gateway.dask.org",
        "daskclusters",
        ("patch", "delete"),
        "It stops a cluster that nothing pays for any more, and clears away the records of old ones.",
    ),
    Rule(
        "dask-controller",
        "workers",
        "gateway.dask.org",
        "daskclusters/status",
        ("patch",),
        "It notes how far a cluster is.",
    ),
    Rule(
        "dask-controller",
        "workers",
        "",
        "pods",
        ("create", "delete"),
        "It starts and ends schedulers and workers.",
    ),
    Rule(
        "dask-controller",
        "workers",
        "",
        "secrets",
        ("create", "get", "patch", "delete"),
        "It makes a cluster's credentials, puts its token for the broker beside them, and tells a scheduler to "
        "retire workers.",
    ),
    Rule(
        "dask-controller", "workers", "", "services", ("create",), "It gives a scheduler a name that workers find."
    ),
    Rule(
        "dask-controller",
        "workers",
        "traefik.io",
        "ingressroutetcps",
        ("create",),
        "It lets notebooks in to their scheduler by way of the gateway's proxy.",
    ),
)


def rules_of(program: Program, scope: Scope) -> list[dict[str, Any]]:
    """Return the rules of one program in one scope, as a role of Kubernetes has them."""
    return [rule.as_kubernetes() for rule in RULES if rule.program == program and rule.scope == scope]
