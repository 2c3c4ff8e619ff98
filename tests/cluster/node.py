"""A node of this machine's own: containerd with runc, and a kubelet with a bridge for the pods."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import yaml

from tests.cluster import cgroups
from tests.cluster.control_plane import PATIENCE, POD_RANGE, ControlPlane, Processes
from tests.cluster.programs import MissingError
from tests.support.ports import free_port

#: The node's name, and the pods on it.
NAME, PODS = "node-1", "10.244.0.0/24"

#: Where Debian's package of the network plugins puts them.
PLUGINS = Path("/usr/lib/cni")

#: The image that holds a pod's network; it does nothing.
PAUSE = "localhost/pause:1"


class Node:
    """One node of the control plane's cluster, in the network namespace that this runs in.

    Parameters
    ----------
    plane
        The control plane, which runs.
    programs
        The folder of Kubernetes' programs.
    folder
        Where pods and logs go; on a disk, with a short path.
    disk
        Where images go, unless it is in that folder.
    """

    def __init__(self, plane: ControlPlane, programs: Path, folder: Path, disk: Path | None = None) -> None:
        for name in ("containerd", "runc"):
            if shutil.which(name) is None:
                raise MissingError(f"There is no {name} here: on Debian, apt-get install {name}.")
        if not (PLUGINS / "bridge").exists():
            raise MissingError(
                "There are no network plugins: on Debian, apt-get install containernetworking-plugins."
            )
        self._plane = plane
        self._programs = programs
        self._folder = folder
        self._disk = disk or folder / "root"
        self.socket = folder / "containerd.sock"

    def start(self, *images: Path) -> None:
        """Start containerd, import the images (OCI archives), and start the kubelet and the proxy of Services."""
        self._start_containerd()
        for image in images:
            self.import_image(image)
        self._start_kubelet()
        self._start_proxy()

    def fill(self, *images: Path) -> None:
        """Import images, and nothing else: the disk is there to be copied then."""
        self._start_containerd()
        for image in images:
            self.import_image(image)
        self._plane.processes.stop("containerd")
        self.socket.unlink(missing_ok=True)

    def die(self) -> None:
        """End everything on the node at once, as a loss of power does; its disk stays."""
        for name in ("kubelet", "containerd", "kube-proxy"):
            self._plane.processes.kill(name)
        for process in psutil.process_iter(["cmdline"]):
            if str(self.socket) in (process.info["cmdline"] or []):
                process.kill()
        cgroups.kill()

    def come_back(self) -> None:
        """Start the node again with the disk that it had."""
        self.socket.unlink(missing_ok=True)
        self.start()

    def import_image(self, archive: Path) -> None:
        """Give the node an image, since there is no registry to pull from."""
        self._ctr("images", "import", str(archive))

    def exhaust(self, pod: str, gib: int) -> None:
        """Have a container take more memory than it may have, so that the kernel ends what runs in it.

        The memory is taken beside the container's own process, by one that is put into its cgroup, and its own is
        named as the one to be ended for it, as it would be where it had taken that memory itself.
        """
        chosen = f'labels."io.kubernetes.pod.name"=={pod},labels."io.cri-containerd.kind"==container'
        container = self._ctr("containers", "list", "--quiet", chosen).strip()
        (line,) = (line for line in self._ctr("tasks", "list").splitlines() if line.startswith(container))
        process = Path("/proc", line.split()[1])
        (process / "oom_score_adj").write_text("1000")
        take = f"import sys; sys.stdin.readline(); taken = b'x' * ({gib} * 2**30)"
        with subprocess.Popen([sys.executable, "-c", take], stdin=subprocess.PIPE, text=True) as taker:
            (cgroups.memory_of(process) / "cgroup.procs").write_text(str(taker.pid))
            # It is ended, too, as soon as nothing else is left; how it ends says nothing.
            taker.communicate("\n")

    def _ctr(self, *words: str, check: bool = True) -> str:
        command = ["ctr", "--address", str(self.socket), "--namespace", "k8s.io", *words]
        return subprocess.run(command, check=check, capture_output=True, text=True).stdout

    def _start_containerd(self) -> None:
        network = self._folder / "cni"
        network.mkdir(parents=True, exist_ok=True)
        bridge = {
            "type": "bridge", "bridge": "pods0", "isGateway": True, "ipMasq": False, "hairpinMode": True,
            "ipam": {
                "type": "host-local", "ranges": [[{"subnet": PODS}]], "routes": [{"dst": "0.0.0.0/0"}],
                "dataDir": str(self._folder / "addresses"),
            },
        }  # fmt: skip
        chain = {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge]}
        (network / "10-pods.conflist").write_text(json.dumps(chain))
        config = self._folder / "containerd.toml"
        config.write_text(
            f"""version = 2
root = "{self._disk}"
state = "{self._folder / "state"}"
oom_score = 0
[grpc]
address = "{self.socket}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
restrict_oom_score_adj = true
disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{PLUGINS}"
conf_dir = "{network}"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
"""
        )
        self._plane.processes.start("containerd", ["containerd", "--config", str(config)])
        _wait_for(self.socket, self._plane.processes)

    def _start_kubelet(self) -> None:
        config = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": "0.0.0.0",  # in a network namespace of its own
            "port": free_port(),
            "healthzPort": 0,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(self._plane.authority.certificate)},
            },
            "authorization": {"mode": "Webhook"},
            "containerRuntimeEndpoint": f"unix://{self.socket}",
            "failCgroupV1": False,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{cgroups.NAME}",
            "cgroupsPerQOS": True,
            "enforceNodeAllocatable": [],
            "failSwapOn": False,
            "localStorageCapacityIsolation": False,
            "protectKernelDefaults": False,
            "resolvConf": "",
            "clusterDomain": "cluster.local",
            "clusterDNS": [self._plane.address],
            "evictionHard": {"memory.available": "100Mi"},
            # However full this machine's disk is: an image that is removed from the node cannot be had again.
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "nodeStatusUpdateFrequency": "2s",
            "nodeLeaseDurationSeconds": 10,
            "podLogsDir": str(self._folder / "logs"),
            "staticPodPath": "",
            "volumePluginDir": str(self._folder / "volume-plugins"),
        }
        path = self._folder / "kubelet.yaml"
        path.write_text(yaml.safe_dump(config))
        kubeconfig = self._plane.kubeconfig_for(f"system:node:{NAME}", group="system:nodes")
        cgroups.make()
        kubelet = [
            str(self._programs / "kubelet"), f"--config={path}", f"--kubeconfig={kubeconfig}",
            f"--hostname-override={NAME}", f"--root-dir={self._folder / 'kubelet'}",
            f"--cert-dir={self._folder / 'kubelet-certificates'}", f"--node-ip={self._plane.address}",
        ]  # fmt: skip
        self._plane.processes.start("kubelet", kubelet)

    def _start_proxy(self) -> None:
        config = {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "clusterCIDR": POD_RANGE,
            "clientConnection": {"kubeconfig": str(self._plane.kubeconfig_for("system:kube-proxy"))},
            "hostnameOverride": NAME,
            "healthzBindAddress": f"127.0.0.1:{free_port()}",
            "metricsBindAddress": f"127.0.0.1:{free_port()}",
            "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        }
        path = self._folder / "kube-proxy.yaml"
        path.write_text(yaml.safe_dump(config))
        self._plane.processes.start("kube-proxy", [str(self._programs / "kube-proxy"), f"--config={path}"])


def _wait_for(socket: Path, processes: Processes) -> None:
    """Return once containerd listens."""
    deadline = time.monotonic() + PATIENCE
    while not socket.exists():
        processes.check("containerd")
        if time.monotonic() > deadline:
            raise RuntimeError("containerd does not listen.")
        time.sleep(0.1)
