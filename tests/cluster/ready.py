"""Whether this machine can run a Kubernetes of its own, said before anything is built."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from tests.cluster import cgroups
from tests.cluster.node import PLUGINS
from tests.cluster.programs import MissingError

#: Programs that a node needs, each with the package of Debian that has it.
PROGRAMS = (
    ("unshare", "util-linux"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("buildah", "buildah"),
    ("debootstrap", "debootstrap"),
)


def check() -> None:
    """Look for all that is needed.

    Raises
    ------
    MissingError
        With what is missing, and that a cluster may be given instead.
    """
    other = "Or name a cluster that is nobody's by KUBECONFIG."
    if sys.platform != "linux":
        raise MissingError(f"A Kubernetes of this machine's own needs Linux. {other}")
    if os.geteuid() != 0:
        raise MissingError(
            f"A Kubernetes of this machine's own needs root: run `make test-cluster` as root. {other}"
        )
    packages = [package for program, package in PROGRAMS if shutil.which(program) is None]
    if not (PLUGINS / "bridge").exists():
        packages.append("containernetworking-plugins")
    if packages:
        raise MissingError(f"This machine lacks some programs: on Debian, apt-get install {' '.join(packages)}.")
    if not cgroups.are_there():
        raise MissingError(f"Nothing can limit a pod here: /sys/fs/cgroup cannot be written to. {other}")
    namespaces = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc"]
    mount = ["mount", "-t", "tmpfs", "tmpfs", "/tmp"]
    tried = subprocess.run([*namespaces, *mount], capture_output=True, text=True)
    if tried.returncode != 0:
        raise MissingError(f"This machine gives out no namespaces ({tried.stderr.strip()}). {other}")
