"""One Kubernetes for all the tests in this folder, with one node and the analysis image on it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from hubquota.services.ledger import Ledger
from hubquota.storage.engine import make_engine
from hubquota.storage.migrate import migrate

from tests.cluster import images, programs
from tests.cluster.control_plane import ControlPlane
from tests.cluster.node import Node
from tests.quota.support import Hub, eventually, free_port
from tests.support.platform import shared_environments

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TIERS = ROOT / "hub_config" / "tiers.yaml"

#: Where users' pods are.
USERS = "users"

#: What the hub may do in the users' namespace, each for a reason, and nothing anywhere else.
HUB_RULES = [
    # It makes, watches and removes users' pods.
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "create", "delete"]},
    # It shows why a pod does not start.
    {"apiGroups": [""], "resources": ["events"], "verbs": ["get", "list", "watch"]},
]


@dataclass
class Cluster:
    """The cluster under test."""

    plane: ControlPlane
    node: Node
    api: httpx.Client

    def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create an object."""
        answer = self.api.post(path, json=body)
        assert answer.is_success, answer.text
        return dict(answer.json())

    def pods(self) -> dict[str, dict[str, Any]]:
        """The users' pods, by name."""
        items = self.api.get(f"/api/v1/namespaces/{USERS}/pods").json()["items"]
        return {item["metadata"]["name"]: item for item in items}


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A control plane and a node that is ready."""
    kept = Path(shared_environments())
    built = programs.ensure(kept)
    archives = [images.pause(kept), images.roman(kept)]
    folder = Path(tempfile.mkdtemp(prefix="rk-", dir="/var/tmp"))
    plane = ControlPlane(built, folder, os.environ["ROMANHUB_TEST_CLUSTER_ADDRESS"])
    try:
        plane.start()
        node = Node(plane, built, folder)
        node.start(*archives)
        with plane.api() as api:
            running = Cluster(plane, node, api)
            eventually(lambda: _is_ready(api), "a node that is ready", within=120)
            running.create("/api/v1/namespaces", {"metadata": {"name": USERS}})
            yield running
    finally:
        plane.processes.end()
        node_leftovers(folder)


def node_leftovers(folder: Path) -> None:
    """Unmount what pods had, and remove the folder; their processes end with the namespace that this is in."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted((one for one in mounts if one.startswith(str(folder))), reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True)
    shutil.rmtree(folder, ignore_errors=True)


def _is_ready(api: httpx.Client) -> bool:
    nodes = api.get("/api/v1/nodes").json()["items"]
    conditions = [one for node in nodes for one in node["status"].get("conditions", [])]
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


@pytest.fixture(scope="session")
def hub(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub with our spawner, which may do what the chart's hub may and no more."""
    folder = tmp_path_factory.mktemp("hub")
    database = f"sqlite:///{folder / 'ledger.sqlite'}"
    migrate(make_engine(database))
    address = cluster.plane.address
    running = ClusterHub(
        folder=folder, port=free_port(), inner_ports=(free_port(), free_port()), token="a-token-of-the-tests",
        ledger=Ledger(make_engine(database)), database_url=database,
    )  # fmt: skip
    running.address = address
    base = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{USERS}"
    cluster.create(f"{base}/roles", {"metadata": {"name": "hub"}, "rules": HUB_RULES})
    binding = {
        "metadata": {"name": "hub"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "hub"},
        "subjects": [{"kind": "User", "name": "hub"}],
    }
    cluster.create(f"{base}/rolebindings", binding)
    given = {
        "address": address,
        "port": running.port,
        "inner_ports": running.inner_ports,
        "token": running.token,
        "database_url": database,
        "tiers_file": str(TIERS),
        "namespace": USERS,
        "image": images.ROMAN,
    }
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "HUB_TEST": json.dumps(given),
        "KUBECONFIG": str(cluster.plane.kubeconfig_for("hub")),
    }
    command = [sys.executable, "-m", "jupyterhub", "--config", str(HERE / "hub_config.py")]
    try:
        running.start(command, environment)
        yield running
    finally:
        running.close()


class ClusterHub(Hub):
    """A hub at an address that pods reach."""

    address = "127.0.0.1"

    @property
    def url(self) -> str:
        """The address of the hub, seen through its proxy."""
        return f"http://{self.address}:{self.port}"
