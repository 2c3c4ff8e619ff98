"""Kubernetes' own programs, built once from their Go modules and kept."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

MODULE = Path(__file__).parent / "kubernetes"

#: What the module builds: its `tool` lines.
NAMES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubelet")

#: How much garbage the compiler leaves before it collects it, in percent of what it uses: memory for time.
GARBAGE = "400"

#: The oldest Go that builds them, and the first whose API server serves a broken OpenAPI document, which
#: `kubectl apply` and `helm install` then refuse.
OLDEST, BROKEN = (1, 26), (1, 27)


class MissingError(Exception):
    """Something that a cluster on this machine needs is not here; the message says what to install."""


def ensure(kept: Path) -> Path:
    """The folder of the programs, built where they are not there yet: about 20 minutes of CPU the first time.

    Parameters
    ----------
    kept
        Where builds are kept from one run to the next; each in a folder named after the module's digest.

    Raises
    ------
    MissingError
        Where there is no Go that builds them.
    """
    made_from = [*(path.read_bytes() for path in sorted(MODULE.iterdir())), " ".join(_flags()).encode()]
    digest = hashlib.sha256(b"".join(made_from)).hexdigest()[:16]
    folder = kept / f"kubernetes-{digest}"
    if all((folder / name).exists() for name in NAMES):
        return folder
    builder = go()
    building = kept / f"{folder.name}.new"
    building.mkdir(parents=True, exist_ok=True)
    print("  building Kubernetes' programs", flush=True)
    # All at once: they share most of their packages. What a build that was cut short has compiled, Go keeps.
    environment = {**os.environ, "CGO_ENABLED": "0", "GOGC": GARBAGE}
    subprocess.run(
        [builder, "build", *_flags(), "-o", building, *_tools()], cwd=MODULE, env=environment, check=True
    )
    # It is called after the last part of its package's path that is no version.
    (building / "server").rename(building / "etcd")
    for old in kept.glob("kubernetes-*"):
        if old != building:
            old.unlink() if old.is_symlink() else shutil.rmtree(old)
    building.rename(folder)
    return folder


def _flags() -> list[str]:
    """How they are built: as small as they get, with the same result in every folder."""
    return ["-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", f"-s -w {_version()}"]


def _tools() -> list[str]:
    """The packages that the module's `tool` lines name."""
    block = (MODULE / "go.mod").read_text().split("tool (\n")[1].split(")")[0]
    return block.split()


def _version() -> str:
    """What the programs are to say of their version; charts look at it."""
    found = re.search(r"k8s\.io/kubernetes (v(\d+)\.(\d+)\.\d+)", (MODULE / "go.mod").read_text())
    assert found is not None
    values = {"gitVersion": found[1], "gitMajor": found[2], "gitMinor": found[3]}
    return " ".join(f"-X k8s.io/component-base/version.{name}={value}" for name, value in values.items())


def go() -> str:
    """The Go that builds them.

    Raises
    ------
    MissingError
        Where there is none, or one that does not.
    """
    found = shutil.which("go")
    if found is None:
        raise MissingError("There is no Go here: install Go 1.26, which builds Kubernetes' programs.")
    said = subprocess.run([found, "env", "GOVERSION"], capture_output=True, text=True, check=True).stdout.strip()
    version = tuple(int(part) for part in said.removeprefix("go").split(".")[:2])
    if not OLDEST <= version < BROKEN:
        raise MissingError(f"This Go is {said}; Kubernetes 1.36 is built with Go 1.26.")
    return found
