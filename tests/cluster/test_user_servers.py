"""Users' servers as pods: within their tier, charged for the pods' own times, and what ends them is noticed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import yaml
from hubquota.models.ledger import Lease

from tests.cluster.conftest import TIERS, USERS, Cluster, ClusterHub
from tests.quota.support import eventually

SMALL = yaml.safe_load(TIERS.read_text())["sizes"]["small"]


def pod_of(cluster: Cluster, user: str, namespace: str = USERS) -> dict[str, Any]:
    """The pod of a user's server."""
    (pod,) = (
        pod
        for pod in cluster.pods(namespace).values()
        if pod["metadata"]["labels"].get("hub.jupyter.org/username") == user
    )
    return pod


def container_state(pod: dict[str, Any], state: str, key: str) -> datetime:
    """A time in the state of a pod's container, such as when it finished."""
    return datetime.fromisoformat(pod["status"]["containerStatuses"][0]["state"][state][key])


def closed_lease(hub: ClusterHub, user: str) -> Lease:
    """A user's last lease, once it has ended."""
    return eventually(lambda: hub.last_lease(user), f"the end of {user}'s lease", within=120)


def test_a_server_is_a_pod_within_its_tier_charged_for_its_own_time(cluster: Cluster, hub: ClusterHub) -> None:
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

    started = container_state(pod, "running", "startedAt")
    changes = cluster.changes(pod)
    hub.stop("ada")
    finished = container_state(changes.last(), "terminated", "finishedAt")
    ended = closed_lease(hub, "ada")
    # What is charged is what the pod itself says that it ran, and nothing else.
    assert (ended.started_at, ended.ended_at) == (max(started, ended.admitted_at), finished)
    assert ended.charged == ended.rate * int((ended.ended_at - ended.started_at).total_seconds())
    eventually(lambda: not cluster.pods(), "the end of the pod")
    assert hub.ledger.verify() == []


def test_a_pod_that_is_deleted_from_outside_is_noticed_and_no_longer_charged(
    cluster: Cluster, hub: ClusterHub
) -> None:
    hub.ready("eva", size="small")
    pod = pod_of(cluster, "eva")
    changes = cluster.changes(pod)
    cluster.api.delete(f"/api/v1/namespaces/{USERS}/pods/{pod['metadata']['name']}").raise_for_status()

    lease = closed_lease(hub, "eva")
    assert lease.end_kind == "removed"
    assert lease.ended_at == container_state(changes.last(), "terminated", "finishedAt")
    assert "taken away" in hub.browser("eva").get("/hub/home").text
    assert hub.ledger.verify() == []


def test_a_pod_that_is_evicted_is_told_so(cluster: Cluster, hub: ClusterHub) -> None:
    hub.ready("ivo", size="small")
    pod = pod_of(cluster, "ivo")["metadata"]["name"]
    cluster.evict(USERS, pod)

    lease = closed_lease(hub, "ivo")
    assert lease.end_kind == "evicted"
    assert "The cluster took the server from its machine" in hub.browser("ivo").get("/hub/home").text
    assert hub.ledger.verify() == []


def test_a_container_that_is_out_of_memory_is_told_so(cluster: Cluster, hub: ClusterHub) -> None:
    hub.ready("max", size="small")
    pod = pod_of(cluster, "max")["metadata"]["name"]
    cluster.node.exhaust(pod, gib=SMALL["memory_gib"] + 1)

    lease = closed_lease(hub, "max")
    assert lease.end_kind == "out-of-memory"
    assert "needed more memory than its size has" in hub.browser("max").get("/hub/home").text
    assert hub.ledger.verify() == []
