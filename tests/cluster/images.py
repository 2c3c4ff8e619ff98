"""The images that the node is given, built once and kept."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from romanhub.local import layout, node_packages
from romanhub.local.screen import Screen

from tests.cluster import given
from tests.cluster.node import PAUSE
from tests.cluster.programs import MissingError, go
from tests.helm.charts import CHARTS

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

#: The images' names on the node.
HUB, PORTAL, ROMAN = (f"localhost/romanhub/{name}:dev" for name in ("hub", "portal", "roman"))

#: The proxies' images: what they are built from is in folders of these names.
PROXY, TRAEFIK = "localhost/romanhub/proxy:dev", "localhost/romanhub/traefik:dev"

#: On a cluster of this machine's own there is no registry: the node is given its images.
PULL = "IfNotPresent" if given.is_given() else "Never"


def analysis() -> str:
    """The analysis image's name on the cluster."""
    return os.environ.get(given.IMAGE, ROMAN) if given.is_given() else ROMAN


#: What `images/build.py` calls the base of all others.
BASE = "localhost/romanhub/base"

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
    if archive.exists():
        return archive
    for program in ("buildah", "debootstrap"):
        if shutil.which(program) is None:
            raise MissingError(f"There is no {program} here: on Debian, apt-get install {program}.")
    with _building(kept):
        print(f"  building the image {image}", flush=True)
        # Those of other sources are asked for no more, and a disk is soon full of them.
        for old in [*kept.glob(f"{image}-*.tar"), *kept.glob(f"{image}-*.cdx.json")]:
            old.unlink()
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


def on_the_node(kept: Path) -> list[Path]:
    """The images of all pods of the tests; those of the platform's own parts where an install is tested, too."""
    found = [pause(kept), built(kept, "roman"), built(kept, "hub")]
    return [*found, built(kept, "portal"), proxy(kept), traefik(kept)] if os.environ.get(CHARTS) else found


def pause(kept: Path) -> Path:
    """The image that holds a pod's network, built from its few lines of Go."""
    source = HERE / "pause" / "main.go"
    archive = kept / f"pause-{_digest(source)}.tar"
    if not archive.exists():
        program = kept / "pause"
        _go_build(source.parent, program, source.name)
        _pack(kept, archive, PAUSE, {program: "/pause"}, entrypoint="/pause")
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
    with _in_use(kept, "disk-of-") as folder:
        copy = folder / "root"
        with _alone(kept / "unpacking"):
            _clear(kept, "unpacking-*", "disk-of-*")
            if not original.exists():
                for old in kept.glob("unpacked-*"):
                    shutil.rmtree(old)
                with _in_use(kept, "unpacking-") as new:
                    fill(new / "disk")
                    (new / "disk").rename(original)
            subprocess.run(["cp", "--archive", "--link", str(original), str(copy)], check=True)
            for database in copy.glob("io.containerd.*/*.db"):
                database.unlink()
                shutil.copy2(original / database.relative_to(copy), database)
        yield copy


@contextmanager
def _in_use(kept: Path, prefix: str) -> Iterator[Path]:
    """A folder for the time being, which says that it is in use, so that what is left of a killed run is told."""
    with tempfile.TemporaryDirectory(prefix=prefix, dir=kept, ignore_cleanup_errors=True) as name:
        descriptor = os.open(name, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield Path(name)
        finally:
            os.close(descriptor)


def _clear(kept: Path, *patterns: str) -> None:
    """Remove what runs that were killed have left of such folders."""
    for left in (one for pattern in patterns for one in kept.glob(pattern)):
        descriptor = os.open(left, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
        except BlockingIOError:
            continue
        finally:
            os.close(descriptor)


def traefik(kept: Path) -> Path:
    """Traefik's image, of the version that the charts name, built from its Go module: about 10 minutes of CPU."""
    module = HERE / "traefik"
    archive = kept / f"traefik-{_digest(module)}.tar"
    if not archive.exists():
        print("  building Traefik", flush=True)
        program = kept / "traefik"
        _go_build(module, program, "github.com/traefik/traefik/v3/cmd/traefik")
        _pack(kept, archive, TRAEFIK, {program: "/traefik"}, entrypoint="/traefik")
    return archive


def proxy(kept: Path) -> Path:
    """The image of the hub's proxy: Node, and the package that one machine's platform runs, too."""
    start = HERE / "proxy" / "configurable-http-proxy"
    archive = kept / f"proxy-{_digest(start, ROOT / 'images/hub/proxy')}.tar"
    if not archive.exists():
        node_packages.ensure_proxy(layout.State(kept.parent), screen=Screen())
        files = {
            node_packages.NODE: "/usr/local/bin/node",
            kept / "proxy" / "node_modules": "/opt/proxy/node_modules",
            start: "/usr/local/bin/configurable-http-proxy",
        }
        # Node needs the libraries of some system; the hub's image has them, and is there anyway.
        base = f"oci-archive:{built(kept, 'hub')}"
        _pack(kept, archive, PROXY, files, base=base, entrypoint="/usr/local/bin/configurable-http-proxy")
    return archive


def _go_build(folder: Path, program: Path, package: str) -> None:
    command = [go(), "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", str(program), package]
    subprocess.run(command, cwd=folder, env={**os.environ, "CGO_ENABLED": "0"}, check=True)


@contextmanager
def _building(kept: Path) -> Iterator[None]:
    """Have buildah's storage to oneself; only the base stays in it, since archives are kept."""
    with _alone(kept / "building"):
        # A build that was killed has left its containers.
        _forget(kept)
        try:
            yield
        finally:
            _forget(kept)


@contextmanager
def _alone(name: Path) -> Iterator[None]:
    """Wait until no other run of these tests is between the same two lines."""
    with name.open("w") as mine:
        fcntl.flock(mine, fcntl.LOCK_EX)
        yield


def _forget(kept: Path) -> None:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([*_buildah(kept), "rm", "--all"], check=False, **quiet)
    listed = subprocess.run(
        [*_buildah(kept), "images", "--format", "{{.Name}}:{{.Tag}}"], capture_output=True, text=True, check=True
    )
    names = [name for name in listed.stdout.split() if not name.startswith((BASE, "<none>"))]
    for what in ([names] if names else []) + [["--prune"]]:
        subprocess.run([*_buildah(kept), "rmi", *what], check=False, **quiet)


def _buildah(kept: Path) -> list[str]:
    return ["buildah", "--root", str(kept / "buildah" / "images"), "--runroot", str(kept / "buildah" / "run")]


def _pack(
    kept: Path, archive: Path, name: str, files: dict[Path, str], *, entrypoint: str, base: str = "scratch"
) -> None:
    """Make an image of some files, and write it to an archive."""
    buildah = _buildah(kept)
    with _building(kept):
        made = subprocess.run([*buildah, "from", base], capture_output=True, text=True, check=True)
        container = made.stdout.strip()
        for file, place in files.items():
            subprocess.run([*buildah, "copy", "--quiet", container, str(file), place], check=True)
        settings = ["--entrypoint", f'["{entrypoint}"]', "--user", "65534", "--cmd", ""]
        subprocess.run([*buildah, "config", *settings, container], check=True)
        subprocess.run([*buildah, "commit", "--quiet", "--rm", container, name], check=True)
        new = archive.with_suffix(".new")
        subprocess.run([*buildah, "push", "--quiet", name, f"oci-archive:{new}:{name}"], check=True)
        new.rename(archive)


def _digest(*sources: Path) -> str:
    digest = hashlib.sha256()
    for source in sources:
        for path in sorted(source.rglob("*")) if source.is_dir() else [source]:
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".md":
                digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]
