"""A control plane of this machine's own: etcd, API server, controller manager and scheduler, as processes."""

from __future__ import annotations

import json
import ssl
import subprocess
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import httpx
from cryptography.hazmat.primitives.asymmetric import ec

from tests.cluster.accounts import let_in
from tests.cluster.certificates import Authority, write_key
from tests.support.ports import free_port

#: How long a part may take to answer on a busy machine, in seconds.
PATIENCE = 120.0

#: The addresses of Services; the first is the API server's own.
SERVICE_RANGE, FIRST_SERVICE = "10.96.0.0/16", "10.96.0.1"

#: The addresses of pods.
POD_RANGE = "10.244.0.0/16"


class Processes:
    """Commands that run until they are ended, each with a log of its own.

    Parameters
    ----------
    folder
        Where the logs go.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: list[str], environment: dict[str, str] | None = None) -> None:
        """Start a command."""
        with (self._folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
            )

    def check(self, name: str) -> None:
        """Raise where a command has ended, with the end of its log."""
        if self._running[name].poll() is not None:
            log = (self._folder / f"{name}.log").read_text(errors="replace")
            raise RuntimeError(f"{name} has ended:\n{log[-3000:]}")

    def kill(self, name: str) -> None:
        """Kill a command, as a fault would."""
        process = self._running.pop(name)
        process.kill()
        process.wait()

    def stop(self, name: str) -> None:
        """Ask a command to end, and wait until it has written what it keeps."""
        process = self._running.pop(name)
        process.terminate()
        process.wait()

    def end(self) -> None:
        """End all of them at once: nothing of what they keep is used again."""
        for name in list(reversed(self._running)):
            self.kill(name)


class ControlPlane:
    """The control plane of one cluster.

    Parameters
    ----------
    programs
        The folder of Kubernetes' programs.
    folder
        Where certificates, data and logs go.
    address
        The address at which pods reach the API server.
    """

    def __init__(self, programs: Path, folder: Path, address: str = "127.0.0.1") -> None:
        self._programs = programs
        self._folder = folder
        self.address = address
        self.port = free_port()
        self.processes = Processes(folder)
        self.authority = Authority(folder)
        #: An administrator's way in.
        self.kubeconfig = self.kubeconfig_for("admin", group="system:masters")

    @property
    def url(self) -> str:
        """The API server."""
        return f"https://{self.address}:{self.port}"

    def kubeconfig_for(self, name: str, *, group: str | None = None) -> Path:
        """A new certificate for somebody, and the file that lets them in with it."""
        certificate, key = self.authority.issue(name, group=group)
        path = self.kubeconfig_path(name)
        cluster = {"server": self.url, "certificate-authority": str(self.authority.certificate)}
        user = {"client-certificate": str(certificate), "client-key": str(key)}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": name}}],
            "current-context": "test",
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(content))
        return path

    def kubeconfig_path(self, name: str) -> Path:
        """Where the file of somebody is who was let in before."""
        return self._folder / f"{name.replace(':', '-')}.kubeconfig"

    def account(self, namespace: str, name: str) -> Path:
        """Let somebody in as an account of a namespace; returns the file that does."""
        with self.api() as api:
            trust = {"certificate-authority": str(self.authority.certificate)}
            return let_in(api, self._folder, namespace, name, trust)

    def tidied(self) -> AbstractContextManager[None]:
        """Keep what is made meanwhile: it ends with the cluster."""
        return nullcontext()

    def start(self) -> None:
        """Start the four parts and wait until the API server is ready."""
        etcd, peer = free_port(), free_port()
        self.processes.start(
            "etcd",
            [
                str(self._programs / "etcd"),
                f"--data-dir={self._folder / 'etcd'}",
                f"--listen-client-urls=http://127.0.0.1:{etcd}",
                f"--advertise-client-urls=http://127.0.0.1:{etcd}",
                f"--listen-peer-urls=http://127.0.0.1:{peer}",
                # Nothing here outlives the tests, so nothing need wait for the disk.
                "--unsafe-no-fsync",
            ],
        )
        self._start_api_server(etcd)
        self._wait_ready()
        self._start_controllers()

    def _start_api_server(self, etcd: int) -> None:
        names = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
        addresses = ("127.0.0.1", FIRST_SERVICE, *({self.address} - {"127.0.0.1"}))
        certificate, key = self.authority.issue("kube-apiserver", addresses=addresses, names=names)
        accounts = self._folder / "service-accounts.key"
        write_key(accounts, ec.generate_private_key(ec.SECP256R1()))
        client, client_key = self.authority.issue("kube-apiserver-kubelet-client", group="system:masters")
        loopback = self.address == "127.0.0.1"
        self.processes.start(
            "kube-apiserver",
            [
                str(self._programs / "kube-apiserver"),
                f"--etcd-servers=http://127.0.0.1:{etcd}",
                f"--bind-address={'127.0.0.1' if loopback else '0.0.0.0'}",  # a namespace of its own
                f"--advertise-address={self.address}",
                f"--secure-port={self.port}",
                f"--tls-cert-file={certificate}",
                f"--tls-private-key-file={key}",
                f"--client-ca-file={self.authority.certificate}",
                f"--kubelet-client-certificate={client}",
                f"--kubelet-client-key={client_key}",
                # Its node has no name that resolves.
                "--kubelet-preferred-address-types=InternalIP",
                f"--service-account-key-file={accounts}",
                f"--service-account-signing-key-file={accounts}",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-cluster-ip-range={SERVICE_RANGE}",
                "--authorization-mode=Node,RBAC",
                "--allow-privileged=true",
                # The endpoints of the API server's own Service may not be on loopback.
                *(("--endpoint-reconciler-type=none",) if loopback else ()),
            ],
        )

    def _start_controllers(self) -> None:
        manager = self.kubeconfig_for("system:kube-controller-manager")
        scheduler = self.kubeconfig_for("system:kube-scheduler")
        self.processes.start(
            "kube-controller-manager",
            [
                str(self._programs / "kube-controller-manager"),
                f"--kubeconfig={manager}",
                f"--root-ca-file={self.authority.certificate}",
                f"--service-account-private-key-file={self._folder / 'service-accounts.key'}",
                f"--cluster-cidr={POD_RANGE}",
                "--allocate-node-cidrs=true",
                "--use-service-account-credentials=true",
                "--leader-elect=false",
                "--bind-address=127.0.0.1",
                f"--secure-port={free_port()}",
                # A node that says nothing is given up after seconds, not minutes: tests wait for it.
                "--node-monitor-grace-period=12s",
                "--node-monitor-period=2s",
            ],
        )
        self.processes.start(
            "kube-scheduler",
            [
                str(self._programs / "kube-scheduler"),
                f"--kubeconfig={scheduler}",
                "--leader-elect=false",
                "--bind-address=127.0.0.1",
                f"--secure-port={free_port()}",
            ],
        )

    def api(self) -> httpx.Client:
        """An administrator's client of the API server."""
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        context.load_cert_chain(self._folder / "admin.pem", self._folder / "admin.key")
        return httpx.Client(base_url=self.url, verify=context, trust_env=False, timeout=30)

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE
        with self.api() as client:
            while time.monotonic() < deadline:
                for name in ("etcd", "kube-apiserver"):
                    self.processes.check(name)
                try:
                    if client.get("/readyz").is_success:
                        return
                except httpx.HTTPError:
                    pass
                time.sleep(0.2)
        raise RuntimeError("The API server is not ready.")
