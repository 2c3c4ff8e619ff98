"""A control plane with the gateway's two programs, which may do what the chart lets them and no more."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml
from hubquota.models.kinds import SERVER, WORKER
from hubquota.models.ledger import Lease
from hubquota.models.money import to_units
from hubquota.services.ledger import Ledger
from hubquota.storage.engine import make_engine
from hubquota.storage.migrate import migrate
from romanhub.chart.rbac import RULES
from romanhub.kubernetes.lives import LEASE

from tests.cluster.dask.crds import CRDS
from tests.cluster.planes import Plane
from tests.quota.support import HERE, eventually
from tests.support.ports import free_port

CONFIG = Path(__file__).with_name("gateway_config.py")

#: The two programs, as the chart calls them.
API, CONTROLLER = "gateway", "controller"

#: Where schedulers and workers are.
WORKERS = "workers"

#: Somebody whose name has to be written otherwise in a label.
OWNER = "ada@site.org"

#: What a worker of the tier Explorer costs, in units a second.
RATE = 40_000

#: How long something may take on a busy machine, in seconds.
PATIENCE = 120.0

_OLD = "clusters: 1, workers: 4, worker_cores: 1, worker_memory_gib: 4"
_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_KINDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


class Dask:
    """The gateway on a control plane, with a ledger, and somebody who has a server.

    Parameters
    ----------
    plane
        The control plane, which has started.
    folder
        Where files and logs go.
    settings
        What the settings say beside what is needed.
    tier
        What the tier Explorer says of clusters and workers.
    """

    def __init__(self, plane: Plane, folder: Path, settings: dict[str, Any], tier: str | None = None) -> None:
        self.plane, self.folder = plane, folder
        tiers = (HERE / "hub_tiers.yaml").read_text()
        new = tier or "clusters: 10, workers: 6, worker_cores: 1, worker_memory_gib: 4"
        (folder / "tiers.yaml").write_text(tiers.replace(_OLD, new, 1))
        self.database = f"sqlite:///{folder / 'ledger.sqlite'}"
        migrate(make_engine(self.database))
        self.ledger = Ledger(make_engine(self.database))
        self.ledger.open_account(OWNER, "explorer", to_units(81), actor="test")
        server = self.ledger.admit(OWNER, kind=SERVER, key=f"server:{OWNER}/", label="A server", rate=0)
        self.ledger.begin(server.id)
        self.port, self.controller_port = free_port(), free_port()
        self.settings = {
            "instance": "tests",
            "namespace": WORKERS,
            "api_url": f"http://{plane.address}:{self.port}/api",
            "api_address": f"{plane.address}:{self.port}",
            "controller_address": f"127.0.0.1:{self.controller_port}",
            "tiers_file": str(folder / "tiers.yaml"),
            **settings,
        }
        self.api = plane.api()
        self.client = httpx.Client(
            base_url=f"http://{plane.address}:{self.port}/api/v1/", auth=(OWNER, ""), timeout=60, trust_env=False
        )
        self.processes: dict[str, psutil.Popen] = {}
        self._kubeconfigs: dict[str, Path] = {}
        self._made: list[str] = []

    def prepare(self) -> None:
        """Make the namespace, the kinds of objects, and the roles."""
        for crd in CRDS:
            path = f"{_KINDS}/{crd['metadata']['name']}"
            if not self.api.get(path).is_success:
                self.post(_KINDS, crd)
                self._made.append(path)
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        self.post("/api/v1/namespaces", {"metadata": {"name": WORKERS, "labels": labels}})
        for program in (API, CONTROLLER):
            self._role(program, "cluster", "ClusterRole", _RBAC)
            self._role(program, "namespace", "Role", f"{_RBAC}/namespaces/{WORKERS}")
            self._kubeconfigs[program] = self.plane.account(WORKERS, program)

        def served() -> bool:
            answer = self.api.get(f"/apis/traefik.io/v1alpha1/namespaces/{WORKERS}/ingressroutetcps")
            return answer.is_success and self.api.get(self.objects).is_success

        eventually(served, "the kinds of objects", within=PATIENCE)

    def _role(self, program: str, scope: str, kind: str, base: str) -> None:
        rules = [
            {"apiGroups": [rule.group], "resources": list(rule.resources), "verbs": list(rule.verbs)}
            for rule in RULES
            if (rule.part, rule.scope) == (program, scope)
        ]
        plural = f"{kind.lower()}s"
        name = f"romanhub-test-{program}"
        self.post(f"{base}/{plural}", {"metadata": {"name": name}, "rules": rules})
        binding = {
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": program, "namespace": WORKERS}],
        }
        self.post(f"{base}/{plural.removesuffix('s')}bindings", binding)

    objects = f"/apis/gateway.dask.org/v1alpha1/namespaces/{WORKERS}/daskclusters"

    def post(self, path: str, body: dict[str, Any]) -> None:
        """Create an object."""
        answer = self.api.post(path, json=body)
        assert answer.is_success, answer.text

    # The programs ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start both programs, and wait until they answer."""
        self.start_controller()
        self.run(API, ["-m", "dask_gateway_server", "--config", str(CONFIG)], self.settings)
        eventually(lambda: self.answers(self.client), "an answer of the gateway", within=PATIENCE)

    def start_controller(self) -> None:
        """Start the controller."""
        self.run(CONTROLLER, ["-m", "romanhub.kubernetes.controller", "-f", str(CONFIG)], self.settings)

    def answers(self, client: httpx.Client) -> bool:
        """Whether an API server answers."""
        for name, process in self.processes.items():
            assert process.poll() is None, (self.folder / f"{name}.log").read_text()[-4000:]
        with suppress(httpx.TransportError):
            return client.get("clusters/").status_code == 200
        return False

    def run(self, program: str, arguments: list[str], settings: dict[str, Any], name: str = "") -> None:
        """Start a program of the gateway, as who it is in Kubernetes."""
        name = name or program
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(settings))
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "ROMANHUB_DASK": str(file),
            "HUBQUOTA_DATABASE_URL": self.database,
            "KUBECONFIG": str(self._kubeconfigs[program]),
        }
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = psutil.Popen(
                [sys.executable, *arguments], env=environment, stdout=log, stderr=subprocess.STDOUT
            )

    def kill(self, name: str) -> None:
        """Kill a program, as a fault would."""
        process = self.processes.pop(name)
        process.kill()
        process.wait(30)

    def close(self) -> None:
        """End the programs."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(20)
            except psutil.TimeoutExpired:
                process.kill()
                process.wait()
        self.client.close()
        self.api.close()

    def forget(self) -> None:
        """Remove the kinds of objects that were made here: the chart brings its own, and refuses others'."""
        for path in self._made:
            self.api.delete(path)
        eventually(
            lambda: not any(self.api.get(path).is_success for path in self._made),
            "the end of the kinds of objects",
            within=PATIENCE,
        )

    def logs(self) -> str:
        """The end of what the programs wrote."""
        return "\n".join(f"== {file.name}\n{file.read_text()[-6000:]}" for file in self.folder.glob("*.log"))

    # What people and clusters do -------------------------------------------------------------------------

    def create(self, **options: Any) -> httpx.Response:
        """Ask for a cluster."""
        return self.client.post("clusters/", json={"cluster_options": options})

    def started(self, **options: Any) -> str:
        """Start a cluster and wait until it runs; return its name."""
        answer = self.create(**options)
        assert answer.status_code == 201, answer.text
        name: str = answer.json()["name"]

        def runs() -> bool:
            return bool(self.client.get(f"clusters/{name}").json().get("status") == "RUNNING")

        eventually(runs, "a cluster that runs", within=PATIENCE)
        return name

    def want(self, cluster: str, count: int) -> httpx.Response:
        """Say as a cluster's scheduler how many workers it wants."""
        secret = f"dask-credentials-{cluster.partition('.')[2]}"
        found = self.api.get(f"/api/v1/namespaces/{WORKERS}/secrets/{secret}").json()
        token = base64.b64decode(found["data"]["api-token"]).decode()
        message = {"count": count, "active_workers": [], "closing_workers": [], "closed_workers": []}
        return httpx.post(
            f"{self.client.base_url}clusters/{cluster}/heartbeat",
            json=message,
            headers={"Authorization": f"token {token}"},
            timeout=30,
            trust_env=False,
        )

    # What there is ---------------------------------------------------------------------------------------

    def object(self, cluster: str) -> dict[str, Any]:
        """A cluster's DaskCluster."""
        found: dict[str, Any] = self.api.get(f"{self.objects}/{cluster.partition('.')[2]}").json()
        return found

    def pods(self, component: str = "dask-worker") -> list[dict[str, Any]]:
        """The pods of workers, or of schedulers, that were not told to end, the oldest first."""
        selector = {"labelSelector": f"app.kubernetes.io/component={component}"}
        items = self.api.get(f"/api/v1/namespaces/{WORKERS}/pods", params=selector).json()["items"]
        found = [one for one in items if not one["metadata"].get("deletionTimestamp")]
        return sorted(found, key=lambda one: (one["metadata"]["creationTimestamp"], one["metadata"]["name"]))

    def running(self, count: int) -> list[dict[str, Any]]:
        """The pods of the workers, once so many run and all are charged."""

        def so_many() -> list[dict[str, Any]] | None:
            pods = [one for one in self.pods() if one["status"]["phase"] == "Running"]
            begun = {str(one.id) for one in self.ledger.open_leases(WORKER) if one.started_at is not None}
            carried = {one["metadata"]["annotations"][LEASE] for one in pods}
            return pods if len(pods) == count and begun == carried else None

        if not count:
            eventually(lambda: not self.ledger.open_leases(WORKER), "the end of all workers", within=PATIENCE)
            return []
        return eventually(so_many, f"{count} workers", within=PATIENCE)

    def lease(self, pod: dict[str, Any]) -> Lease:
        """The lease of a worker."""
        found = self.ledger.lease(int(pod["metadata"]["annotations"][LEASE]))
        assert found is not None
        return found

    def ended(self, pod: dict[str, Any]) -> Lease:
        """The lease of a worker, once it is closed."""

        def closed() -> Lease | None:
            lease = self.lease(pod)
            return None if lease.is_open else lease

        return eventually(closed, f"the end of the lease of {pod['metadata']['name']}", within=PATIENCE)

    def charged_as_it_ran(self) -> None:
        """All charges are those of the leases' own seconds, and the ledger adds up."""
        statement = self.ledger.statement(OWNER, limit=200)
        ran = [one for one in statement.ended if one.kind == WORKER and one.started_at is not None]
        assert ran
        for lease in ran:
            assert lease.started_at is not None and lease.ended_at is not None
            assert lease.charged == RATE * int((lease.ended_at - lease.started_at).total_seconds())
        charges = -sum(entry.amount for entry in statement.entries if entry.kind == "charge")
        assert charges == sum(lease.charged for lease in ran)
        assert self.ledger.verify() == []


def began(pod: dict[str, Any]) -> datetime:
    """When a pod's container began, as its kubelet says."""
    state = pod["status"]["containerStatuses"][0]["state"]
    return datetime.fromisoformat((state.get("running") or state["terminated"])["startedAt"])
