"""The whole platform on the cluster: the chart with the real charts that it depends on, installed by Helm."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import helm_python as helm
import httpx
import yaml
from click.testing import CliRunner
from hubquota.services.ledger import Ledger
from hubquota.storage.engine import make_engine
from romanhub.cli import romanhub
from romanhub.local.parts import ROLE
from romanhub.local.settings import COMMUNITY_BUCKET, REGION, SCRATCH_BUCKET

from tests.cluster import images, outside
from tests.cluster.conftest import Cluster
from tests.cluster.figures import Figures
from tests.cluster.names import Names
from tests.cluster.small import tight
from tests.helm.charts import NAMESPACE, RELEASE, assembled, with_values
from tests.quota.support import Postgres, eventually

#: Where people open the platform: a port of the node.
PORT = 30080

#: How long the whole may take to be ready, in seconds, on a busy machine.
PATIENCE = 900.0

#: The Secret that says where the databases are.
DATABASES = "romanhub-databases"

#: The homes of two people, and the index of the search, in GiB.
VOLUMES = [10, 10, 20]


def image(name: str) -> dict[str, str]:
    """An image as the charts' values say it."""
    place, _, tag = name.rpartition(":")
    return {"name": place, "tag": tag}


@dataclass
class Installation:
    """The platform on the cluster, as its operator has it."""

    cluster: Cluster
    chart: Path
    values: dict[str, Any]
    ledger: Ledger
    #: Where the databases are, as the Secret says it.
    databases: dict[str, str]
    #: How long steps took, and what parts held.
    figures: Figures = field(default_factory=Figures)

    @property
    def url(self) -> str:
        """Where people open it."""
        return f"http://{self.cluster.plane.address}:{PORT}"

    def release(self) -> helm.Config:
        """Helm, with the cluster."""
        return helm.Config(kubeconfig_path=self.cluster.plane.kubeconfig, namespace=NAMESPACE)

    def install(self) -> None:
        """Do what `helm upgrade --install` does, and wait until every pod is ready."""
        with self.release() as release:
            try:
                release.history(RELEASE)
            except helm.HelmNotFoundError:
                release.install(self.chart, RELEASE, self.values, timeout=int(PATIENCE))
            else:
                release.upgrade(self.chart, RELEASE, self.values, timeout=int(PATIENCE))
        self.wait_ready()

    def end_parts(self) -> None:
        """Do what `kubectl scale deployment --all --replicas=0` does, and wait until they have ended."""
        where = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
        kind = {"Content-Type": "application/merge-patch+json"}
        for one in self.cluster.api.get(where).json()["items"]:
            path = f"{where}/{one['metadata']['name']}/scale"
            self.cluster.api.patch(path, json={"spec": {"replicas": 0}}, headers=kind).raise_for_status()

        def over() -> bool:
            found = self.cluster.api.get(where).json()["items"]
            return not any(one["status"].get("replicas") for one in found)

        eventually(over, "the end of the parts", within=PATIENCE)

    def use_databases(self, urls: dict[str, str]) -> None:
        """Have the platform use other databases from its next start on."""
        self.say_databases(urls)
        self.databases, self.ledger = urls, Ledger(make_engine(urls["ledger"]))

    def say_databases(self, urls: dict[str, str]) -> None:
        """Put where the databases are into their Secret."""
        where = f"/api/v1/namespaces/{NAMESPACE}/secrets"
        self.cluster.api.delete(f"{where}/{DATABASES}")
        self.cluster.create(where, {"metadata": {"name": DATABASES}, "stringData": urls})

    def pods(self, *components: str) -> list[dict[str, Any]]:
        """The pods of some components; of all without any."""
        found = self.cluster.pods(NAMESPACE).values()
        return [
            pod
            for pod in found
            if not components or pod["metadata"]["labels"].get("app.kubernetes.io/component") in components
        ]

    def migrated(self) -> str:
        """Which job has brought the ledger up to date last: each install, upgrade and rollback has its own."""
        job = self.cluster.api.get(f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs/romanhub-migrations").json()
        assert job["status"].get("succeeded") == 1, job["status"]
        return str(job["metadata"]["uid"])

    def unready(self) -> dict[str, str]:
        """The platform's own pods that are not ready, and why."""
        deployments = self.cluster.api.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments").json()["items"]
        return {
            one["metadata"]["name"]: json.dumps(one["status"].get("conditions", []))
            for one in deployments
            if one["status"].get("readyReplicas", 0) < one["spec"]["replicas"]
            or one["status"].get("updatedReplicas", 0) < one["spec"]["replicas"]
            # Pods of the version before are still there: those of the new one may not be ready.
            or one["status"].get("replicas", 0) > one["spec"]["replicas"]
            or one["status"].get("observedGeneration", 0) < one["metadata"]["generation"]
        }

    def wait_ready(self) -> None:
        """Wait until every pod of the platform is ready, and the proxy knows the way to the portal."""
        eventually(lambda: not self.unready(), "a platform that is ready", within=PATIENCE)
        # The hub is ready a moment before it tells the proxy where its services are.
        eventually(self.answers, "an answer of the portal", within=PATIENCE)

    def answers(self) -> bool:
        """Whether people reach the portal."""
        with suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/services/portal/api/health", trust_env=False).is_success
        return False

    def secret(self, name: str, key: str) -> str:
        """A value of a Secret, as `kubectl get secret -o jsonpath | base64 -d` shows it."""
        found = self.cluster.api.get(f"/api/v1/namespaces/{NAMESPACE}/secrets/{name}").json()
        return base64.b64decode(found["data"][key]).decode()

    def run_job(self, cron_job: str, name: str) -> str:
        """Do now what a CronJob does now and then (`kubectl create job --from`); returns what it said."""
        base = f"/apis/batch/v1/namespaces/{NAMESPACE}"
        found = self.cluster.api.get(f"{base}/cronjobs/{cron_job}").json()
        template = found["spec"]["jobTemplate"]
        meta = {"name": name, "labels": template["metadata"].get("labels", {})}
        self.cluster.create(f"{base}/jobs", {"metadata": meta, "spec": template["spec"]})

        def over() -> str | None:
            status = self.cluster.api.get(f"{base}/jobs/{name}").json().get("status", {})
            kinds = [one["type"] for one in status.get("conditions", []) if one["status"] == "True"]
            return next((kind for kind in kinds if kind in ("Complete", "Failed")), None)

        state = eventually(over, f"the end of {name}", within=PATIENCE)
        said = self.said_by_job(name)
        assert state == "Complete", said
        return said

    def said_by_job(self, name: str) -> str:
        """What `kubectl logs job/…` shows."""
        base = f"/api/v1/namespaces/{NAMESPACE}/pods"
        names = [
            pod["metadata"]["name"]
            for pod in self.pods()
            if pod["metadata"].get("labels", {}).get("job-name") == name
        ]
        return "".join(self.cluster.api.get(f"{base}/{one}/log").text for one in names)

    def weigh(self) -> None:
        """Note what each part of the platform holds now, as the kubelet says it."""
        (node,) = self.cluster.api.get("/api/v1/nodes").json()["items"]
        summary = self.cluster.api.get(
            f"/api/v1/nodes/{node['metadata']['name']}/proxy/stats/summary",
            # Of disks it knows nothing here: the node's mounts are its own.
            params={"only_cpu_and_memory": "true"},
        )
        parts = {
            pod["metadata"]["name"]: pod["metadata"]["labels"]["app.kubernetes.io/component"]
            for pod in self.pods()
            if "app.kubernetes.io/component" in pod["metadata"].get("labels", {})
            and pod["status"]["phase"] == "Running"
        }
        self.figures.weigh(summary.raise_for_status().json(), parts)

    def logs(self) -> str:
        """What all pods said last."""
        base = f"/api/v1/namespaces/{NAMESPACE}"
        found = []
        for pod in self.pods():
            name = pod["metadata"]["name"]
            log = self.cluster.api.get(f"{base}/pods/{name}/log", params={"tailLines": "40"}).text
            found.append(f"== {name}: {json.dumps(pod['status'].get('containerStatuses'))}\n{log}")
        events = self.cluster.api.get(f"{base}/events").json()["items"]
        found += [f"{one['involvedObject']['name']}: {one['reason']}: {one['message']}" for one in events[-60:]]
        return "\n".join(found)


@contextmanager
def surrounded(cluster: Cluster, postgres: Postgres, folder: Path) -> Iterator[outside.Surroundings]:
    """What an operator has before the install: a cluster with volumes and names, databases, and storage."""
    assert cluster.node, "the platform's images are there"
    address = cluster.plane.address
    with ExitStack() as stack:
        api = stack.enter_context(cluster.plane.api())
        stack.callback(Names(api, address).close)
        found = stack.enter_context(outside.surroundings(address, postgres, folder))
        for one in [*outside.volumes(folder / "volumes", VOLUMES), *tight()]:
            stack.callback(cluster.api.delete, apply(cluster.api, one))
        stack.callback(remove, cluster)
        yield found


@contextmanager
def prepared(cluster: Cluster, postgres: Postgres, folder: Path, charts: Path) -> Iterator[Installation]:
    """Do what docs/operator-kubernetes.md says, up to the install itself."""
    with surrounded(cluster, postgres, folder) as around:
        restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
        cluster.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE, "labels": restricted}})
        made = CliRunner().invoke(
            romanhub, ["secrets", "generate", "-n", NAMESPACE, "--kubeconfig", str(cluster.plane.kubeconfig)]
        )
        assert made.exit_code == 0, made.output
        where = f"/api/v1/namespaces/{NAMESPACE}/secrets"
        for one in yaml.safe_load_all(made.output):
            cluster.create(where, one)
        for name, data in around.keys.items():
            cluster.create(where, {"metadata": {"name": name}, "stringData": data})
        found = Installation(
            cluster=cluster,
            chart=assembled(folder, charts),
            values=with_values(values(f"http://{cluster.plane.address}:{PORT}", around.storage)),
            ledger=Ledger(make_engine(around.databases["ledger"])),
            databases=around.databases,
        )
        found.say_databases(found.databases)
        yield found


def values(url: str, storage: str) -> dict[str, Any]:
    """What the operator of a small trial says."""
    few = {"requests": {"cpu": "10m", "memory": "128Mi"}}
    return {
        "global": {
            "romanhub": {
                "url": url,
                "signIn": "trial",
                "storage": {
                    "endpoint": storage,
                    "region": REGION,
                    "scratchBucket": SCRATCH_BUCKET,
                    "role": ROLE,
                },
                "community": {"bucket": COMMUNITY_BUCKET},
            }
        },
        # What is published is looked for at once.
        "runs": {"survey_seconds": 1},
        "image": image(images.PORTAL),
        "daskProxy": {"image": image(images.TRAEFIK), "replicas": 1, "resources": few},
        "search": {"indexSecret": "archive-index", "resources": few},
        # The robot comes when it is called, and not beside another test: there is no such day.
        "probe": {"schedule": "0 0 31 2 *"},
        "jupyterhub": {
            "hub": {"image": image(images.HUB)},
            "singleuser": {"image": image(images.ROMAN)},
            "proxy": {
                "chp": {"image": image(images.PROXY)},
                "service": {"type": "NodePort", "nodePorts": {"http": PORT}},
            },
            # Their images are in a registry that cannot be reached from here.
            "prePuller": {"hook": {"enabled": False}, "continuous": {"enabled": False}},
            "scheduling": {"userScheduler": {"enabled": False}, "userPlaceholder": {"enabled": False}},
        },
    }


def remove(cluster: Cluster) -> None:
    """Uninstall the platform, and remove its namespace with all that was started in it."""
    with helm.Config(kubeconfig_path=cluster.plane.kubeconfig, namespace=NAMESPACE) as release:
        if release.list():
            release.uninstall(RELEASE, timeout=int(PATIENCE))
    where = f"/api/v1/namespaces/{NAMESPACE}"
    cluster.api.delete(where)
    eventually(lambda: not cluster.api.get(where).is_success, "the end of the namespace", within=PATIENCE)


def apply(api: httpx.Client, one: dict[str, Any]) -> str:
    """Make an object that is in no namespace, where it is not there yet; returns its path."""
    version, kind = one["apiVersion"], one["kind"]
    plural = {"StorageClass": "storageclasses", "MutatingAdmissionPolicy": "mutatingadmissionpolicies"}
    path = f"/{'apis' if '/' in version else 'api'}/{version}/{plural.get(kind, kind.lower() + 's')}"
    answer = api.post(path, json=one)
    assert answer.is_success or answer.status_code == 409, answer.text
    return f"{path}/{one['metadata']['name']}"
