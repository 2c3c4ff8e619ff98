"""What `make test-cluster` runs once the environments are there: the tests on a Kubernetes of this machine's own.

Everything of that cluster is in namespaces that end with it: its processes, its network and its mounts. On the
machine itself it leaves a folder of kept builds, and nothing else.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.cluster import images, programs  # noqa: E402

#: Set for the process that is in the namespaces.
INSIDE = "ROMANHUB_TEST_CLUSTER_ADDRESS"

#: The address of the cluster's one machine in its own network.
ADDRESS = "10.10.0.1"

#: What the cluster's programs set on a machine that is their own. This one is not: they get stand-ins.
SYSCTLS = (
    "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxbytes", "kernel/keys/root_maxkeys",
    "vm/overcommit_memory", "vm/panic_on_oom",
)  # fmt: skip


def main() -> int:
    """Enter the namespaces, then run the tests there; returns their exit code."""
    if os.environ.get(INSIDE):
        return _inside()
    if os.geteuid() != 0:
        print("A Kubernetes of this machine's own needs root: run `make test-cluster` as root.")
        return 1
    for program, package in (("unshare", "util-linux"), ("ip", "iproute2"), ("nft", "nftables")):
        if shutil.which(program) is None:
            print(f"There is no {program} here: on Debian, apt-get install {package}.")
            return 1
    if os.environ.get("KUBECONFIG"):
        print("KUBECONFIG names a cluster; these tests do not use one that is given yet, and start their own.")
    kept = Path(os.environ["ROMANHUB_ENVIRONMENTS"])
    try:
        # Before the namespaces, in which there is no network to fetch anything from.
        print("Kubernetes' programs and the images, built once and kept", flush=True)
        programs.ensure(kept)
        images.pause(kept)
        for image in ("roman", "hub"):
            images.built(kept, image)
        if os.environ.get("ROMANHUB_CHARTS"):
            images.platform(kept)
    except programs.MissingError as error:
        print(error)
        return 1
    namespaces = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    environment = {**os.environ, INSIDE: ADDRESS}
    environment["PYTHONPATH"] = f"{ROOT / 'platform'}{os.pathsep}{ROOT / 'quota'}"
    environment.pop("KUBECONFIG", None)
    return subprocess.run([*namespaces, sys.executable, __file__, *sys.argv[1:]], env=environment).returncode


def _inside() -> int:
    """Set up the network and the stand-ins, and run the tests."""
    for command in (
        "ip link set lo up",
        # Two ends of one cable: a network card that leads nowhere.
        "ip link add machine0 type veth peer name machine1",
        f"ip addr add {ADDRESS}/24 dev machine0",
        "ip link set machine0 up",
        "ip link set machine1 up",
        "ip route add default dev machine0",
    ):
        subprocess.run(command.split(), check=True)
    folder = Path("/run/romanhub-test-sysctls")
    folder.mkdir(exist_ok=True)
    for name in SYSCTLS:
        real = Path("/proc/sys", name)
        if real.exists():
            stand_in = folder / name.replace("/", ".")
            stand_in.write_text(real.read_text())
            subprocess.run(["mount", "--bind", str(stand_in), str(real)], check=True)
    return subprocess.run([sys.executable, "-m", "pytest", "tests/cluster", *sys.argv[1:]], cwd=ROOT).returncode


if __name__ == "__main__":
    raise SystemExit(main())
