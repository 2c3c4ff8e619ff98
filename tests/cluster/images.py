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

#: The images' names on the node.
HUB, PORTAL, ROMAN = (f"localhost/romanhub/{name}:dev" for name in ("hub", "portal", "roman"))

#: What every image is made from, beside what its Dockerfile copies.
_BASE = ("images/build.py", "images/checks.py", "images/base")


def built(kept: Path, image: str) -> Path:
    """An image by its name, built by its own command; some minutes the first time.

    Raises
    ------
    MissingError
        Where what builds it is not here.
    """
    archive = kept / f"{image}-{_digest(*_sources(image))}.tar"
    if not archive.exists():
        for program in ("buildah", "debootstrap"):
            if shutil.which(program) is None:
                raise MissingError(f"There is no {program} here: on Debian, apt-get install {program}.")
        print(f"  building the image {image}", flush=True)
        new = archive.with_suffix(".new")
        command = [sys.executable, str(ROOT / "images" / "build.py"), image]
        command += ["--output", str(new), "--storage", str(kept / "buildah")]
        subprocess.run(command, check=True)
        new.rename(archive)
    return archive


def _sources(image: str) -> list[Path]:
    """What an image is made from: its own folder, and what its Dockerfile copies from the checkout."""
    dockerfile = ROOT / "images" / image / "Dockerfile"
    text = dockerfile.read_text().replace("\\\n", " ")
    copied = [
        line.split()[1:-1] for line in text.splitlines() if line.startswith("COPY ") and "--from=" not in line
    ]
    return [ROOT / path for path in (*_BASE, f"images/{image}", *(path for paths in copied for path in paths))]


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
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".md":
                digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]
