"""The chart on a real API server: it checks every object, and holds every pod to the restricted standard.

The control plane here has no node: objects are checked and stored, and no pod runs. Helm waits for the pods of its
hooks; a stand-in for a node says that they have ended well. With `ROMANHUB_CHARTS` it is the real charts, else
stand-ins for the two that ours is made of.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import helm_python as helm
import httpx
import pytest
import yaml
from click.testing import CliRunner
from romanhub.cli import romanhub

from tests.cluster.planes import Plane, a_plane
from tests.helm.charts import CHARTS, NAMESPACE, RELEASE, VALUES, Rendered, assembled, pods, render, with_values
from tests.quota.support import eventually

#: What an old Kubernetes says of itself.
VERSION = {"major": "1", "minor": "29", "gitVersion": "v1.29.14"}


@pytest.fixture(scope="module")
def plane() -> Iterator[Plane]:
    with a_plane() as found:
        yield found


@pytest.fixture(scope="module")
def api(plane: Plane) -> Iterator[httpx.Client]:
    with plane.api() as client:
        restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
        body = {"metadata": {"name": NAMESPACE, "labels": restricted}}
        assert client.post("/api/v1/namespaces", json=body).is_success
        account = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default"
        eventually(lambda: client.get(account).is_success, "the namespace's own account", within=60)
        yield client


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    real = os.environ.get(CHARTS)
    return assembled(tmp_path_factory.mktemp("chart"), Path(real) if real else None)


@pytest.fixture(scope="module")
def made(chart: Path, plane: Plane, api: httpx.Client) -> Iterator[Rendered]:
    """What the chart makes; its kinds of object are known to the server. What is installed goes in the end."""
    for path in sorted((chart / "charts" / "dask-gateway").glob("crds/*.yaml")):
        for kind in yaml.safe_load_all(path.read_text()):
            if kind:
                answer = api.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", json=kind)
                assert answer.status_code in (201, 409), answer.text
    yield render(chart, VALUES)
    with helm.Config(kubeconfig_path=plane.kubeconfig, namespace=NAMESPACE) as release, suppress(helm.HelmError):
        release.uninstall(RELEASE)


def address(api: httpx.Client, one: dict[str, Any]) -> str:
    """Where objects of a kind are made, as the server itself says."""
    version = one["apiVersion"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    for _ in range(50):
        known = api.get(root)
        kinds = known.json().get("resources", []) if known.is_success else []
        for kind in kinds:
            if kind["kind"] == one["kind"] and "/" not in kind["name"]:
                within = f"/namespaces/{NAMESPACE}" if kind["namespaced"] else ""
                return f"{root}{within}/{kind['name']}"
        # A kind that was made just now is served a moment later.
        api.get("/readyz")
    raise AssertionError(f"the server does not know {version} {one['kind']}")


def test_the_server_takes_every_object_to_the_letter(api: httpx.Client, made: Rendered) -> None:
    strict = {"dryRun": "All", "fieldValidation": "Strict"}
    wrong = {}
    for one in made.objects:
        answer = api.post(address(api, one), json=one, params=strict)
        if not answer.is_success:
            wrong[f"{one['kind']}/{one['metadata']['name']}"] = answer.json()["message"]
    assert wrong == {}
    # The check would find a key that there is not.
    odd = {**made.ours()[0], "speck": {}}
    assert not api.post(address(api, odd), json=odd, params=strict).is_success


def test_every_pod_is_admitted_where_the_restricted_standard_is_enforced(
    api: httpx.Client, made: Rendered
) -> None:
    for one in made.objects:
        if one["kind"] in ("ServiceAccount", "PriorityClass"):
            answer = api.post(address(api, one), json=one)
            assert answer.is_success, answer.text
    try:
        refused = {where: said for where, one in pods(made.objects).items() if (said := _refusal(api, one))}
        assert refused == {}
        # The server does refuse what is not so.
        loose = deepcopy(next(iter(pods(made.ours()).values())))
        loose["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
        assert "restricted" in _refusal(api, loose)
    finally:
        for one in made.objects:
            if one["kind"] in ("ServiceAccount", "PriorityClass"):
                api.delete(f"{address(api, one)}/{one['metadata']['name']}")


def _refusal(api: httpx.Client, template: dict[str, Any]) -> str:
    """Why a pod is not admitted; nothing where it is."""
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "try-", "labels": template["metadata"].get("labels", {})},
        "spec": {"restartPolicy": "Always", **template["spec"]},
    }
    answer = api.post(f"/api/v1/namespaces/{NAMESPACE}/pods", json=body, params={"dryRun": "All"})
    return "" if answer.is_success else str(answer.json()["message"])


@contextmanager
def pretended_node(plane: Plane) -> Iterator[set[str]]:
    """A stand-in for a node: says of every pod of a Job that it has ended well. Yields the Jobs that it saw."""
    seen: set[str] = set()
    over = threading.Event()

    def look() -> None:
        where = f"/api/v1/namespaces/{NAMESPACE}/pods"
        with plane.api() as own:
            while not over.wait(0.2):
                for pod in own.get(where).json().get("items", []):
                    owner = (pod["metadata"].get("ownerReferences") or [{}])[0]
                    if owner.get("kind") == "Job" and pod["status"].get("phase") == "Pending":
                        seen.add(owner["name"])
                        own.patch(
                            f"{where}/{pod['metadata']['name']}/status",
                            json={"status": {"phase": "Succeeded"}},
                            headers={"Content-Type": "application/merge-patch+json"},
                        )

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def _secrets(plane: Plane, *command: str) -> tuple[int, str]:
    done = CliRunner().invoke(
        romanhub, ["secrets", *command, "-n", NAMESPACE, "--kubeconfig", str(plane.kubeconfig)]
    )
    return done.exit_code, done.output


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"portal": {"replica": 3}}, r"at '/portal': additional properties 'replica' not allowed"),
        (
            {"nodes": {"all": {"cores": 16, "memoryGib": 128}}},
            r"The size huge of the tier team \(32 cores, 256 GiB\) fits on none of the nodes",
        ),
    ],
)
def test_a_mistake_ends_the_install_before_anything_is_made(
    plane: Plane, api: httpx.Client, chart: Path, made: Rendered, wrong: dict[str, Any], said: str
) -> None:
    with helm.Config(kubeconfig_path=plane.kubeconfig, namespace=NAMESPACE) as release:
        with pytest.raises(helm.HelmError) as failed:
            release.install(chart, RELEASE, with_values(wrong))
        assert re.search(said, str(failed.value)), str(failed.value)
        assert release.list() == []


def test_an_old_kubernetes_is_told_by_its_version(
    plane: Plane, chart: Path, made: Rendered, tmp_path: Path
) -> None:
    with (
        an_old_one(plane, tmp_path) as kubeconfig,
        helm.Config(kubeconfig_path=kubeconfig, namespace=NAMESPACE) as release,
    ):
        with pytest.raises(helm.HelmError) as failed:
            release.install(chart, RELEASE, VALUES)
        assert "requires kubeVersion: >=1.30.0-0" in str(failed.value), str(failed.value)
        assert "v1.29.14" in str(failed.value)
        assert release.list() == []


@contextmanager
def an_old_one(plane: Plane, folder: Path) -> Iterator[Path]:
    """A stand-in for an old Kubernetes, by its kubeconfig: the server, of another version.

    It takes patches, too: Helm brings a chart's kinds of objects before it looks at the version.
    """

    class Old(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path.startswith("/version"):
                self.say(200, "application/json", json.dumps(VERSION).encode())
                return
            self.pass_on("Accept")

        def do_PATCH(self) -> None:
            self.pass_on("Accept", "Content-Type")

        def pass_on(self, *names: str) -> None:
            headers = {name: self.headers[name] for name in names if name in self.headers}
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with plane.api() as api:
                answer = api.request(self.command, self.path, headers=headers, content=body)
            self.say(answer.status_code, answer.headers.get("Content-Type", ""), answer.content)

        def say(self, code: int, kind: str, body: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Old) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        cluster = {"name": "old", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
        context = {"name": "old", "context": {"cluster": "old", "user": "old"}}
        kubeconfig = {
            "apiVersion": "v1", "kind": "Config", "clusters": [cluster], "contexts": [context],
            "users": [{"name": "old", "user": {}}], "current-context": "old",
        }  # fmt: skip
        (folder / "kubeconfig").write_text(json.dumps(kubeconfig))
        try:
            yield folder / "kubeconfig"
        finally:
            server.shutdown()
            thread.join()


def test_an_install_says_which_secret_is_missing_and_runs_when_all_are_there(
    plane: Plane, api: httpx.Client, chart: Path, made: Rendered
) -> None:
    with (
        pretended_node(plane) as hooks,
        helm.Config(kubeconfig_path=plane.kubeconfig, namespace=NAMESPACE) as release,
    ):
        with pytest.raises(helm.HelmError) as failed:
            release.install(chart, RELEASE, VALUES)
        assert "The Secret romanhub-databases in the namespace roman has no hub: you give it" in str(failed.value)

        code, said = _secrets(plane, "audit")
        assert code == 1
        assert "✗ romanhub-hub: portal is missing: `romanhub secrets generate` makes it." in said
        assert "· romanhub-storage is not there. It is needed when the broker has no cloud role." in said

        code, manifest = _secrets(plane, "generate")
        assert code == 0
        where = f"/api/v1/namespaces/{NAMESPACE}/secrets"
        for one in yaml.safe_load_all(manifest):
            assert api.post(where, json=one).is_success
        # What is there stays as it is.
        assert _secrets(plane, "generate") == (0, "# Nothing is missing.")
        given = {
            "romanhub-databases": {
                "hub": "postgresql+psycopg://db/hub",
                "ledger": "postgresql+psycopg://db/ledger",
            },
            "romanhub-sign-in": {"sign-in.yaml": "issuer: https://idp.example.org"},
        }
        for name, data in given.items():
            assert api.post(where, json={"metadata": {"name": name}, "stringData": data}).is_success
        code, said = _secrets(plane, "audit")
        assert code == 0, said
        assert manifest.split("portal: ")[1].split()[0] not in said, "no value is shown"

        assert release.install(chart, RELEASE, VALUES)["revision"] == 1
        larger = with_values({"portal": {"replicas": 3}})
        assert release.upgrade(chart, RELEASE, larger)["revision"] == 2
        assert _replicas(api, "romanhub-portal") == 3
        release.rollback(RELEASE, version=1)
        assert _replicas(api, "romanhub-portal") == 2
        assert "romanhub-migrations" in hooks


def _replicas(api: httpx.Client, name: str) -> int:
    return int(api.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{name}").json()["spec"]["replicas"])


@pytest.mark.parametrize(
    ("part", "verb", "group", "resource", "namespace", "may"),
    [
        ("controller", "create", "", "pods", NAMESPACE, True),
        ("controller", "create", "", "pods", "default", False),
        ("controller", "get", "", "secrets", "default", False),
        ("controller", "list", "", "secrets", NAMESPACE, False),
        ("gateway", "create", "gateway.dask.org", "daskclusters", NAMESPACE, True),
        ("gateway", "create", "", "pods", NAMESPACE, False),
        ("gateway", "list", "", "secrets", NAMESPACE, False),
        ("dask-proxy", "watch", "traefik.io", "ingressroutetcps", NAMESPACE, True),
        ("dask-proxy", "get", "", "secrets", "default", False),
        ("portal", "list", "", "pods", NAMESPACE, False),
        ("broker", "get", "", "secrets", NAMESPACE, False),
    ],
)
def test_the_server_lets_each_part_do_what_the_list_says_and_no_more(
    api: httpx.Client, part: str, verb: str, group: str, resource: str, namespace: str, may: bool
) -> None:
    asked = {"namespace": namespace, "verb": verb, "group": group, "resource": resource}
    who = f"system:serviceaccount:{NAMESPACE}:romanhub-{part}"
    body = {"spec": {"user": who, "resourceAttributes": asked}}
    answer = api.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", json=body)
    assert answer.is_success, answer.text
    assert answer.json()["status"]["allowed"] is may
