"""A cluster that KUBECONFIG names, in place of one of this machine's own.

What the tests make in it they remove; what was there before they do not touch. Pods and this machine have to reach
each other's addresses, as they do on one of the cluster's nodes.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from kubernetes_asyncio import client, config

from tests.cluster.accounts import let_in

#: Names the cluster, as for kubectl.
VARIABLE = "KUBECONFIG"

#: Names the analysis image: one that the cluster's nodes have, or can pull.
IMAGE = "ROMANHUB_TEST_CLUSTER_IMAGE"

#: The namespaces that the tests make and remove.
NAMESPACES = ("users", "users-east", "users-west", "workers", "roman")

#: The oldest Kubernetes that both of the charts take.
OLDEST = (1, 30)

#: How long what is removed may take to be gone, in seconds.
PATIENCE = 120.0


class UnusableError(Exception):
    """The tests cannot use the cluster; the message says why."""


def is_given() -> bool:
    """Whether there is such a cluster."""
    return bool(os.environ.get(VARIABLE))


class GivenPlane:
    """What the tests need of a cluster's control plane, as `ControlPlane` gives it of one of their own.

    Parameters
    ----------
    folder
        Where the files go that let somebody in.

    Raises
    ------
    UnusableError
        Where KUBECONFIG names no file that can be read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.kubeconfig = Path(os.environ[VARIABLE])
        self._access = client.Configuration()
        try:
            asyncio.run(config.load_kube_config(client_configuration=self._access, persist_config=False))
        except (OSError, config.ConfigException) as error:
            raise UnusableError(f"{VARIABLE} cannot be used: {error}") from None
        self.url: str = self._access.host
        place = urlsplit(self.url)
        self.host = str(place.hostname)
        #: The address of this machine on the way there, which the pods are told.
        self.address = _own_address(self.host, place.port or 443)
        self._made: list[str] = []

    def api(self) -> httpx.Client:
        """A client of the API server with all that the file allows, which notes what it makes."""
        context = ssl.create_default_context(cafile=self._access.ssl_ca_cert)
        if not self._access.verify_ssl:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if self._access.cert_file:
            context.load_cert_chain(self._access.cert_file, self._access.key_file)
        token = self._access.api_key.get("BearerToken")
        return httpx.Client(
            base_url=self.url, verify=context, trust_env=False, timeout=30,
            headers={"Authorization": token} if token else {}, event_hooks={"response": [self._note]},
        )  # fmt: skip

    def account(self, namespace: str, name: str) -> Path:
        """Let somebody in as an account of a namespace; returns the file that does."""
        trust: dict[str, Any] = {"insecure-skip-tls-verify": not self._access.verify_ssl}
        if self._access.ssl_ca_cert:
            trust["certificate-authority"] = self._access.ssl_ca_cert
        with self.api() as api:
            return let_in(api, self._folder, namespace, name, trust)

    @contextmanager
    def tidied(self) -> Iterator[None]:
        """Remove in the end what was made meanwhile, the last first, and wait until it is gone."""
        before, self._made = self._made, []
        try:
            yield
        finally:
            with self.api() as api:
                for path in reversed(self._made):
                    api.delete(path)
                end = time.monotonic() + PATIENCE
                while any(api.get(path).is_success for path in self._made) and time.monotonic() < end:
                    time.sleep(0.5)
            self._made = before

    def _note(self, answer: httpx.Response) -> None:
        """Note what is in no namespace; the rest goes with its namespace."""
        request = answer.request
        if answer.status_code == 201 and request.method == "POST" and not request.url.params.get("dryRun"):
            answer.read()
            name = json.loads(answer.content).get("metadata", {}).get("name")
            if name and "/namespaces/" not in request.url.path:
                self._made.append(f"{request.url.path}/{name}")

    def check(self) -> None:
        """Look whether the tests may use the cluster, before they do.

        Raises
        ------
        UnusableError
            Where they may not.
        """
        with self.api() as api:
            try:
                version = api.get("/version").raise_for_status().json()
            except httpx.HTTPError as error:
                raise UnusableError(f"The cluster that {VARIABLE} names does not answer: {error}") from None
            found = (int(version["major"]), int(version["minor"].rstrip("+")))
            if found < OLDEST:
                raise UnusableError(
                    f"The cluster is a Kubernetes {version['gitVersion']}, and 1.30 is the oldest that will do."
                )
            review = {"spec": {"resourceAttributes": {"verb": "*", "group": "*", "resource": "*"}}}
            said = api.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", json=review).json()
            if not said.get("status", {}).get("allowed"):
                raise UnusableError(
                    f"{VARIABLE} lets you do too little: the tests need an administrator's rights."
                )
            there = [name for name in NAMESPACES if api.get(f"/api/v1/namespaces/{name}").is_success]
            if there:
                raise UnusableError(
                    f"The cluster has the namespaces that the tests make and remove: {', '.join(there)}. "
                    "Give them a cluster that is nobody's."
                )

    def check_reach(self, image: str, namespace: str) -> None:
        """Look whether pods reach this machine, and this machine pods.

        Raises
        ------
        UnusableError
            Where one of them does not, or where no such pod can be had.
        """
        with self.api() as api, socket.create_server((self.address, 0)) as listening:
            listening.settimeout(PATIENCE)
            here = (self.address, listening.getsockname()[1])
            reach = f"import socket; socket.create_connection({here!r}, 30)"
            command = ["sh", "-c", f"python3 -c {shlex.quote(reach)} && exec python3 -m http.server 8000"]
            container = {"name": "reach", "image": image, "imagePullPolicy": "IfNotPresent", "command": command}
            spec = {"containers": [container], "restartPolicy": "Never", "terminationGracePeriodSeconds": 0}
            path = f"/api/v1/namespaces/{namespace}/pods"
            made = api.post(path, json={"metadata": {"name": "reach"}, "spec": spec})
            try:
                made.raise_for_status()
                listening.accept()[0].close()
                place = api.get(f"{path}/reach").json()["status"]["podIP"]
                with httpx.Client(transport=httpx.HTTPTransport(retries=5), trust_env=False) as client_of_pod:
                    client_of_pod.get(f"http://{place}:8000/").raise_for_status()
            except (OSError, KeyError, httpx.HTTPError) as error:
                raise UnusableError(
                    f"A pod of the image {image} and this machine do not reach each other ({error!r}): run the "
                    f"tests on one of the cluster's nodes, and name an image that they can pull in {IMAGE}."
                ) from None
            finally:
                api.delete(f"{path}/reach")


def _own_address(host: str, port: int) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, port))
        return str(probe.getsockname()[0])
