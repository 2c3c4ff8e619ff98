"""The images that the node is given, built once and kept."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster import given
from tests.cluster.node import PAUSE
from tests.cluster.programs import MissingError, go

ROOT = Path(__file__).resolve().parents[2]

#: The images' names on the node.
HUB, PORTAL, ROMAN = (f"localhost/romanhub/{name}:dev" for name in ("hub", "portal", "roman"))

#: On a cluster of this machine's own there is no registry: the node is given its images.
PULL = "IfNotPresent" if given.is_given() else "Never"


def analysis() -> str:
    """The analysis image's name on the cluster."""
    return os.environ.get(given.IMAGE, ROMAN) if given.is_given() else ROMAN


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
        for old in kept.glob(f"{image}-*.tar"):
            old.unlink()
        new.rename(archive)
        # What the image before consisted of is nobody's any more.
        subprocess.run([*_buildah(kept), "rmi", "--prune"], check=True, stdout=subprocess.DEVNULL)
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
        buildah = _buildah(kept)
        made = subprocess.run([*buildah, "from", "scratch"], capture_output=True, text=True, check=True)
        container = made.stdout.strip()
        subprocess.run([*buildah, "copy", "--quiet", container, str(program), "/pause"], check=True)
        subprocess.run(
            [*buildah, "config", "--entrypoint", '["/pause"]', "--user", "65534", container], check=True
        )
        subprocess.run([*buildah, "commit", "--quiet", "--rm", container, PAUSE], check=True)
        subprocess.run([*buildah, "push", "--quiet", PAUSE, f"oci-archive:{archive}:{PAUSE}"], check=True)
    return archive


@contextmanager
def disk(kept: Path, archives: list[Path], fill: Callable[[Path], None]) -> Iterator[Path]:
    """A node's disk with images on it, which are unpacked once and kept.

    Of what is unpacked a node changes nothing, so its disk has the same files by another name, and only the
    databases that say where everything is are its own.

    Parameters
    ----------
    kept
        Where it is kept.
    archives
        The images.
    fill
        Unpacks them on an empty disk.
    """
    digest = hashlib.sha256("".join(one.name for one in archives).encode()).hexdigest()[:16]
    original = kept / f"unpacked-{digest}"
    if not original.exists():
        with tempfile.TemporaryDirectory(prefix="unpacking-", dir=kept) as folder:
            fill(Path(folder, "disk"))
            for old in kept.glob("unpacked-*"):
                shutil.rmtree(old)
            Path(folder, "disk").rename(original)
    with tempfile.TemporaryDirectory(prefix="disk-of-", dir=kept, ignore_cleanup_errors=True) as folder:
        copy = Path(folder, "root")
        subprocess.run(["cp", "--archive", "--link", str(original), str(copy)], check=True)
        for database in copy.glob("io.containerd.*/*.db"):
            database.unlink()
            shutil.copy2(original / database.relative_to(copy), database)
        yield copy


def _buildah(kept: Path) -> list[str]:
    """Buildah's command line, with a storage of its own."""
    storage = kept / "buildah"
    return ["buildah", "--root", str(storage / "images"), "--runroot", str(storage / "run")]


def _digest(*sources: Path) -> str:
    digest = hashlib.sha256()
    for source in sources:
        for path in sorted(source.rglob("*")) if source.is_dir() else [source]:
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".md":
                digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]
