"""The images that the node is given, built once and kept."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.cluster.node import PAUSE
from tests.cluster.programs import MissingError, go

ROOT = Path(__file__).resolve().parents[2]

#: The analysis image's name on the node.
ROMAN = "localhost/romanhub/roman:dev"

#: What the analysis image is made from.
_SOURCES = (
    "images/build.py",
    "images/setup.lock",
    "images/roman/core.lock",
    "images/roman/Dockerfile",
    "images/roman/etc",
    "images/roman/share",
    "platform/romanhub/asdf_blocks",
    "platform/romanhub/client",
    "platform/romanhub/models",
    "quota/hubquota/activity.py",
)


def roman(kept: Path) -> Path:
    """The analysis image, built by its own command; some minutes the first time."""
    archive = kept / f"roman-{_digest(*(ROOT / source for source in _SOURCES))}.tar"
    if not archive.exists():
        for program in ("buildah", "debootstrap"):
            if shutil.which(program) is None:
                raise MissingError(f"There is no {program} here: on Debian, apt-get install {program}.")
        new = archive.with_suffix(".new")
        command = [sys.executable, str(ROOT / "images" / "build.py"), "roman"]
        command += ["--output", str(new), "--storage", str(kept / "buildah")]
        subprocess.run(command, check=True)
        new.rename(archive)
    return archive


def pause(kept: Path) -> Path:
    """The image that holds a pod's network, built from its few lines of Go."""
    source = Path(__file__).parent / "pause" / "main.go"
    archive = kept / f"pause-{_digest(source)}.tar"
    if not archive.exists():
        program = kept / "pause"
        command = [go(), "build", "-trimpath", "-ldflags", "-s -w", "-o", str(program), source.name]
        subprocess.run(command, cwd=source.parent, env={**os.environ, "CGO_ENABLED": "0"}, check=True)
        storage = ["--root", str(kept / "buildah" / "images"), "--runroot", str(kept / "buildah" / "run")]
        buildah = ["buildah", *storage]
        made = subprocess.run([*buildah, "from", "scratch"], capture_output=True, text=True, check=True)
        container = made.stdout.strip()
        subprocess.run([*buildah, "copy", "--quiet", container, str(program), "/pause"], check=True)
        subprocess.run(
            [*buildah, "config", "--entrypoint", '["/pause"]', "--user", "65534", container], check=True
        )
        subprocess.run([*buildah, "commit", "--quiet", "--rm", container, PAUSE], check=True)
        subprocess.run([*buildah, "push", "--quiet", PAUSE, f"oci-archive:{archive}:{PAUSE}"], check=True)
    return archive


def _digest(*sources: Path) -> str:
    digest = hashlib.sha256()
    for source in sources:
        for path in sorted(source.rglob("*")) if source.is_dir() else [source]:
            if path.is_file() and path.suffix != ".pyc":
                digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]
