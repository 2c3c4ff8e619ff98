"""The hub's own image, as a pod: it starts users' pods, and charges for them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cluster import images
from tests.cluster.conftest import HERE, PROXY_TOKEN, TIERS, Cluster, ClusterHub
from tests.cluster.test_user_servers import SMALL, closed_lease, container_state, pod_of
from tests.quota.support import eventually

#: Where the pod sees the tests' folder of the hub.
DATA = "/data"

#: What the restricted Pod Security Standard asks of every container.
RESTRICTED = {
    "runAsNonRoot": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


@pytest.fixture
def pod_hub(request: pytest.FixtureRequest, cluster: Cluster, tmp_path: Path) -> Iterator[ClusterHub]:
    """A hub that is a pod of our image, and its proxy, a process of this machine."""
    assert cluster.node, "the hub's image is there"
    cluster.add_namespace("platform")
    folder = tmp_path / "hub"
    hub = cluster.new_hub(folder, f"sqlite:///{folder}/ledger.sqlite", namespace="platform")
    (folder / "tiers.yaml").write_bytes(TIERS.read_bytes())
    (folder / "hub_config.py").write_bytes((HERE / "hub_config.py").read_bytes())
    for path in (folder, *folder.iterdir()):
        path.chmod(0o777 if path.is_dir() else 0o644)
    inner, api = hub.inner_ports
    proxy = subprocess.Popen(
        [
            str(Path(sys.executable).with_name("configurable-http-proxy")), "--ip", hub.address,
            "--port", str(hub.port), "--api-ip", hub.address, "--api-port", str(api),
        ],
        env={"CONFIGPROXY_AUTH_TOKEN": PROXY_TOKEN, "PATH": str(Path(sys.executable).parent)},
    )  # fmt: skip
    given = {**hub.settings, "database_url": f"sqlite:///{DATA}/ledger.sqlite", "tiers_file": f"{DATA}/tiers.yaml"}
    try:
        cluster.create("/api/v1/namespaces/platform/pods", hub_pod(folder, given, inner))
        try:
            eventually(lambda: answers(hub), "an answer from the hub in its pod", within=120)
        except BaseException:
            print(cluster.log("platform", "hub"))
            raise
        failed = request.session.testsfailed
        yield hub
        if request.session.testsfailed > failed:
            print(cluster.log("platform", "hub")[-6000:])
    finally:
        proxy.terminate()
        proxy.wait()
        hub.close()


def hub_pod(folder: Path, given: dict[str, Any], port: int) -> dict[str, Any]:
    """The pod: our image, the ledger's migrations first, and what the chart's hub may do."""
    shared = {
        "image": images.HUB,
        "imagePullPolicy": "Never",
        "workingDir": DATA,
        "securityContext": RESTRICTED,
        "volumeMounts": [{"name": "data", "mountPath": DATA}],
    }
    environment = [
        {"name": "HUB_TEST", "value": json.dumps(given)},
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
    ]
    migrate = ["hubquota", "migrate", "--database-url", given["database_url"]]
    hub = {
        "name": "hub",
        "command": ["jupyterhub", "--config", f"{DATA}/hub_config.py"],
        "env": environment,
        "ports": [{"containerPort": port}],
    }
    return {
        "metadata": {"name": "hub", "labels": {"component": "hub"}},
        "spec": {
            "serviceAccountName": "hub",
            "initContainers": [{**shared, "name": "migrate", "command": migrate}],
            "containers": [{**shared, **hub}],
            "volumes": [{"name": "data", "hostPath": {"path": str(folder), "type": "Directory"}}],
            "terminationGracePeriodSeconds": 1,
        },
    }


def answers(hub: ClusterHub) -> bool:
    """Whether the hub is there, behind its proxy."""
    try:
        return hub.api().get("users").is_success
    except httpx.HTTPError:
        return False


def test_the_hubs_image_starts_a_users_pod_and_charges_for_it(cluster: Cluster, pod_hub: ClusterHub) -> None:
    pod_hub.ready("pia", size="small")
    pod = pod_of(cluster, "pia", "platform")
    (container,) = pod["spec"]["containers"]
    assert container["image"] == images.ROMAN
    assert container["resources"]["limits"]["cpu"] == str(SMALL["cores"])
    started = container_state(pod, "running", "startedAt")
    changes = cluster.changes(pod)
    pod_hub.stop("pia")
    finished = container_state(changes.last(), "terminated", "finishedAt")
    lease = closed_lease(pod_hub, "pia")
    assert (lease.started_at, lease.ended_at) == (max(started, lease.admitted_at), finished)
    assert pod_hub.ledger.verify() == []
