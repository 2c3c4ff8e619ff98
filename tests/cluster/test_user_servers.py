"""Users' servers as pods: within their tier, charged for the pods' own times, and what ends them is noticed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import yaml
from hubquota.models.ledger import Lease

from tests.cluster.conftest import TIERS, USERS, Cluster
from tests.quota.support import Hub, eventually

SMALL = yaml.safe_load(TIERS.read_text())["sizes"]["small"]


def pod_of(cluster: Cluster, user: str) -> dict[str, Any]:
    """The pod of a user's server."""
    (pod,) = (
        pod for pod in cluster.pods().values() if pod["metadata"]["labels"].get("hub.jupyter.org/username") == user
    )
    return pod


def test_a_server_is_a_pod_within_its_tier_charged_for_its_own_time(cluster: Cluster, hub: Hub) -> None:
    hub.ready("ada", size="small")
    pod = pod_of(cluster, "ada")
    (container,) = pod["spec"]["containers"]
    assert container["resources"]["limits"]["cpu"] == str(SMALL["cores"])
    memory = SMALL["memory_gib"] * 2**30
    assert container["resources"]["limits"]["memory"] in (str(memory), f"{SMALL['memory_gib']}Gi")
    # Nothing in it can speak to Kubernetes.
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert all("serviceaccount" not in mount["mountPath"] for mount in container.get("volumeMounts", []))
    assert container["securityContext"]["runAsNonRoot"] is True

    # Lab answers through the hub's proxy, for its owner.
    browser = hub.browser("ada")
    page = browser.get("/user/ada/lab")
    assert page.is_success, page.text
    assert "JupyterLab" in page.text
    (lease,) = hub.ledger.open_leases("server")
    assert lease.account == "ada"

    hub.stop("ada")
    ended = hub.last_lease("ada")
    assert ended is not None
    assert ended.started_at is not None and ended.ended_at is not None
    started = datetime.fromisoformat(
        pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"].replace("Z", "+00:00")
    )
    # Nobody is charged before the container runs; the rest of a start is until Lab answers.
    assert ended.started_at >= started.replace(tzinfo=UTC)
    assert ended.charged == ended.rate * int((ended.ended_at - ended.started_at).total_seconds())
    eventually(lambda: not cluster.pods(), "the end of the pod")
    assert hub.ledger.verify() == []


def test_a_pod_that_is_deleted_from_outside_is_noticed_and_no_longer_charged(cluster: Cluster, hub: Hub) -> None:
    hub.ready("eva", size="small")
    pod = pod_of(cluster, "eva")
    cluster.api.delete(f"/api/v1/namespaces/{USERS}/pods/{pod['metadata']['name']}").raise_for_status()

    def closed() -> Lease | None:
        return hub.last_lease("eva")

    lease = eventually(closed, "the end of eva's lease", within=90)
    assert lease.reason
    assert not [one for one in hub.ledger.open_leases("server") if one.account == "eva"]
    assert hub.ledger.verify() == []


def test_a_container_that_is_out_of_memory_is_told_so(cluster: Cluster, hub: Hub) -> None:
    hub.ready("max", size="small")
    pod = pod_of(cluster, "max")["metadata"]["name"]
    cluster.node.exhaust(pod, gib=SMALL["memory_gib"] + 1)

    lease = eventually(lambda: hub.last_lease("max"), "the end of max's lease", within=120)
    assert "memory" in (lease.reason or "")
