"""One Kubernetes for all the tests in this folder, with one node and the analysis image on it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest
from hubquota.services.ledger import Ledger
from hubquota.storage.engine import make_engine
from hubquota.storage.migrate import migrate

from tests.cluster import given, images, programs
from tests.cluster.control_plane import ControlPlane
from tests.cluster.node import Node
from tests.cluster.planes import Plane
from tests.quota.conftest import postgres as postgres
from tests.quota.support import Hub, eventually
from tests.support.platform import shared_environments
from tests.support.ports import free_port

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TIERS = ROOT / "hub_config" / "tiers.yaml"

#: Where users' pods are.
USERS = "users"

#: What the hub and its proxy know each other by.
PROXY_TOKEN = "a-token-of-the-proxy"

#: What the hub may do in the users' namespace, each for a reason, and nothing anywhere else.
HUB_RULES = [
    # It makes, watches and removes users' pods.
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "create", "delete"]},
    # It shows why a pod does not start.
    {"apiGroups": [""], "resources": ["events"], "verbs": ["get", "list", "watch"]},
]


#: How long a test may take, in seconds: the first unpacks the images, and a busy machine takes its time with pods.
LONGEST = 1800


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give these tests longer than others."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.timeout(LONGEST))


class PodChanges:
    """A pod's changes, as Kubernetes tells them from a moment on; they can be read after the pod is gone."""

    def __init__(self, api: httpx.Client, pod: dict[str, Any]) -> None:
        self._api = api
        self._pod = pod["metadata"]

    def last(self) -> dict[str, Any]:
        """How the pod looked when it was removed."""
        name, version = self._pod["name"], self._pod["resourceVersion"]
        chosen = {"watch": "1", "fieldSelector": f"metadata.name={name}", "resourceVersion": version}
        path = f"/api/v1/namespaces/{self._pod['namespace']}/pods"
        with self._api.stream("GET", path, params=chosen, timeout=120) as answer:
            for line in answer.iter_lines():
                change = json.loads(line)
                if change["type"] == "DELETED":
                    return dict(change["object"])
        raise AssertionError(f"The pod {name} was never removed.")


@dataclass
class ClusterHub(Hub):
    """A hub at an address that pods reach."""

    address: str = "127.0.0.1"
    #: Its name, where several share a ledger.
    name: str = ""
    #: Where its users' pods are.
    namespace: str = USERS
    #: All that the tests have started, whose logs say why a test failed.
    started: ClassVar[list[ClusterHub]] = []

    @property
    def url(self) -> str:
        """The address of the hub, seen through its proxy."""
        return f"http://{self.address}:{self.port}"

    @property
    def settings(self) -> dict[str, Any]:
        """What `hub_config.py` is told."""
        return {
            "address": self.address,
            "port": self.port,
            "inner_ports": self.inner_ports,
            "token": self.token,
            "proxy_token": PROXY_TOKEN,
            "database_url": self.database_url,
            "tiers_file": str(TIERS),
            "namespace": self.namespace,
            "image": images.analysis(),
            "pull": images.PULL,
            "homes": "" if given.is_given() else str(self.folder / "homes"),
            "name": self.name,
        }

    def begin(self, kubeconfig: Path) -> None:
        """Start it as a process of this machine, with what a kubeconfig lets it do."""
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "HUB_TEST": json.dumps(self.settings),
            "KUBECONFIG": str(kubeconfig),
        }
        self.started.append(self)
        self.start([sys.executable, "-m", "jupyterhub", "--config", str(HERE / "hub_config.py")], environment)

    def ready(self, user: str, **options: Any) -> dict[str, Any]:
        """Start a user's server and return the hub's model of it once it is ready; the user has a home."""
        self.make_home(user)
        api = self.api()
        api.post(f"users/{user}")
        api.post(f"users/{user}/server", json=options).raise_for_status()
        return eventually(lambda: self.server(user, ready=True), f"a server of {user}", within=180)

    def stop(self, user: str) -> None:
        """Stop a user's server and wait until the hub is through with it: a pod takes longer than a process."""
        self.api().delete(f"users/{user}/server").raise_for_status()
        eventually(lambda: self.server(user) is None, f"the end of {user}'s server", within=120)

    def make_home(self, user: str) -> None:
        """Make a user's home, as a provisioner of volumes would; on a given cluster it is the pod's own."""
        if given.is_given():
            return
        home = self.folder / "homes" / user
        home.mkdir(exist_ok=True)
        os.chown(home, 1000, 1000)


@dataclass
class Cluster:
    """The cluster under test."""

    plane: Plane
    #: Its one node; None where the cluster is given.
    own_node: Node | None
    api: httpx.Client

    @property
    def node(self) -> Node:
        """A node that may be broken and given images; the test is skipped where the cluster is not its own."""
        if self.own_node is None:
            pytest.skip("it needs a node to itself, and KUBECONFIG names a cluster")
        return self.own_node

    @property
    def hub_kubeconfig(self) -> Path:
        """Lets a hub that is no pod do what the hub may."""
        return self.plane.account(USERS, "hub")

    def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create an object."""
        answer = self.api.post(path, json=body)
        assert answer.is_success, answer.text
        return dict(answer.json())

    def add_namespace(self, name: str) -> None:
        """Make a namespace for users' pods, in which a hub may do what it needs."""
        self.create("/api/v1/namespaces", {"metadata": {"name": name}})
        base = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{name}"
        self.create(f"{base}/roles", {"metadata": {"name": "hub"}, "rules": HUB_RULES})
        self.create(f"/api/v1/namespaces/{name}/serviceaccounts", {"metadata": {"name": "hub"}})
        binding = {
            "metadata": {"name": "hub"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "hub"},
            # The one is a process, and of the namespace of users; the other is a pod.
            "subjects": [
                {"kind": "ServiceAccount", "name": "hub", "namespace": one} for one in sorted({USERS, name})
            ],
        }
        self.create(f"{base}/rolebindings", binding)

    def new_hub(self, folder: Path, database_url: str, name: str = "", *, namespace: str = USERS) -> ClusterHub:
        """A hub that is not started yet, with its database and its users' homes in a folder of its own."""
        folder.mkdir(exist_ok=True)
        (folder / "homes").mkdir()
        return ClusterHub(
            folder=folder, port=free_port(), inner_ports=(free_port(), free_port()), token="a-token-of-the-tests",
            ledger=Ledger(make_engine(database_url)), database_url=database_url, address=self.plane.address,
            name=name, namespace=namespace,
        )  # fmt: skip

    def changes(self, pod: dict[str, Any]) -> PodChanges:
        """Follow a pod from how it is now."""
        return PodChanges(self.api, pod)

    def evict(self, namespace: str, pod: str) -> None:
        """Do with a pod what `kubectl drain` does with all of a node's."""
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace}}
        self.create(f"/api/v1/namespaces/{namespace}/pods/{pod}/eviction", body)

    def log(self, namespace: str, pod: str) -> str:
        """What a pod's containers have written, and how it is."""
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}"
        return f"{self.api.get(path).json()['status']}\n{self.api.get(f'{path}/log').text}"

    def pods(self, namespace: str = USERS) -> dict[str, dict[str, Any]]:
        """The pods of a namespace, by name."""
        items = self.api.get(f"/api/v1/namespaces/{namespace}/pods").json()["items"]
        return {item["metadata"]["name"]: item for item in items}


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A cluster with a node that is ready."""
    with given_cluster() if given.is_given() else own_cluster() as found:
        found.add_namespace(USERS)
        if isinstance(found.plane, given.GivenPlane):
            found.plane.check_reach(images.analysis(), USERS)
        yield found


@contextmanager
def own_cluster() -> Iterator[Cluster]:
    """A control plane and a node of this machine's own."""
    kept = Path(shared_environments())
    built = programs.ensure(kept)
    archives = images.on_the_node(kept)
    folder = Path(tempfile.mkdtemp(prefix="rk-", dir="/var/tmp"))
    plane = ControlPlane(built, folder, os.environ["ROMANHUB_TEST_CLUSTER_ADDRESS"])
    try:
        plane.start()
        with images.disk(kept, archives, lambda disk: Node(plane, built, folder, disk).fill(*archives)) as disk:
            node = Node(plane, built, folder, disk)
            try:
                node.start()
                with plane.api() as api:
                    eventually(lambda: is_ready(api), "a node that is ready", within=120)
                    yield Cluster(plane, node, api)
            finally:
                plane.processes.end()
                node_leftovers(folder)
    finally:
        plane.processes.end()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def given_cluster() -> Iterator[Cluster]:
    """The cluster that KUBECONFIG names, whose pods reach this machine and are reached from it."""
    with tempfile.TemporaryDirectory() as folder:
        plane = given.GivenPlane(Path(folder))
        with plane.tidied(), plane.api() as api:
            yield Cluster(plane, None, api)


@pytest.fixture(autouse=True)
def logs_of_what_failed(request: pytest.FixtureRequest) -> Iterator[None]:
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed:
        for hub in ClusterHub.started:
            if (hub.folder / "hub.log").exists():
                print(f"== {hub.name or 'the hub'}\n{hub.log()[-6000:]}")


def node_leftovers(folder: Path) -> None:
    """Unmount what pods had, and remove the folder; their processes end with the namespace that this is in."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted((one for one in mounts if one.startswith(str(folder))), reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True)
    shutil.rmtree(folder, ignore_errors=True)


def is_ready(api: httpx.Client) -> bool:
    """Whether the cluster has a node that is ready."""
    nodes = api.get("/api/v1/nodes").json()["items"]
    conditions = [one for node in nodes for one in node["status"].get("conditions", [])]
    return any(
        one["type"] == "Ready" and one["reason"] == "KubeletReady" and one["status"] == "True"
        for one in conditions
    )


@pytest.fixture(scope="session")
def hub(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterHub]:
    """A hub with our spawner, which may do what the chart's hub may and no more."""
    folder = tmp_path_factory.mktemp("hub")
    running = cluster.new_hub(folder, f"sqlite:///{folder / 'ledger.sqlite'}")
    migrate(make_engine(running.database_url))
    try:
        running.begin(cluster.hub_kubeconfig)
        yield running
    finally:
        running.close()
