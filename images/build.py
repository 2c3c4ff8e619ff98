"""Build an image without a Docker daemon: `python images/build.py roman --output roman.tar`.

It needs buildah, and root.

The output is an OCI archive, which `ctr images import`, `skopeo copy` and `podman load` read; beside it is the
list of what is in the image, as an SBOM. It is written once the image's own test has passed inside it. Without
`--base` the base is made from Debian's packages by debootstrap, and no registry of images is asked for anything.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

#: What the base is called among buildah's images, and the release of Debian that it is made of.
BASE, RELEASE = "localhost/romanhub/base", "bookworm"

#: Where an image's test finds this folder.
INSIDE = "/images"


class BuildError(Exception):
    """The image cannot be built; the message says what to do."""


@dataclass(frozen=True)
class Settings:
    """What `image.toml` says of an image."""

    title: str
    description: str
    #: The licences of what the platform itself puts into it, as SPDX writes them.
    licenses: str
    #: From this day on, its locks are too old to be built from.
    expires: date

    @classmethod
    def load(cls, image: str) -> Settings:
        """Read them from the image's folder."""
        said = tomllib.loads((ROOT / "images" / image / "image.toml").read_text())
        return cls(**{name: said[name] for name in cls.__annotations__})


def main() -> int:
    """Build what is asked for; returns 1 where a step fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    images = sorted(path.parent.name for path in ROOT.glob("images/*/Dockerfile") if path.parent.name != "base")
    parser.add_argument("image", choices=images)
    parser.add_argument("--output", type=Path, help="the OCI archive to write; NAME.tar unless given")
    parser.add_argument("--base", help="an image to build on, instead of one made here; with a user 1000")
    parser.add_argument("--tag", default="dev", help="the image's tag")
    parser.add_argument("--storage", type=Path, help="where buildah keeps images; its own place by default")
    parser.add_argument("--mirror", help="a mirror of Debian for the base, instead of debootstrap's own choice")
    asked = parser.parse_args()
    buildah = ["buildah"]
    if asked.storage is not None:
        buildah += ["--root", str(asked.storage / "images"), "--runroot", str(asked.storage / "run")]
    output = asked.output or Path(f"{asked.image}.tar")
    try:
        build(buildah, asked.image, base=asked.base, mirror=asked.mirror, tag=asked.tag, output=output)
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"A step failed: {' '.join(error.cmd)}", file=sys.stderr)
        return 1
    return 0


def build(buildah: list[str], image: str, *, base: str | None, mirror: str | None, tag: str, output: Path) -> None:
    """Build an image from its Dockerfile, run its test inside it, and write it to an archive.

    Raises
    ------
    BuildError
        Where the image's day has passed.
    """
    settings = Settings.load(image)
    check_expiry(image, settings.expires, today=datetime.now(UTC).date())
    base = base or _ensure_base(buildah, mirror)
    name = f"{BASE.rpartition('/')[0]}/{image}:{tag}"
    arguments = ["--build-arg", f"BASE={base}"]
    # A machine may know authorities of its own, without which its packages cannot be fetched.
    arguments += ["--volume", "/etc/ssl/certs:/etc/ssl/certs:ro"]
    labels = {**_labels(settings, tag), "org.opencontainers.image.base.name": base}
    _build(buildah, name, ROOT / "images" / image / "Dockerfile", ROOT, [*arguments, *_marks(labels)])
    test(buildah, image, name, sbom=output.with_suffix(".cdx.json"))
    output.unlink(missing_ok=True)
    _run([*buildah, "push", "--quiet", name, f"oci-archive:{output}:{name}"])


def check_expiry(image: str, expires: date, *, today: date) -> None:
    """Refuse to build from locks that are too old.

    Raises
    ------
    BuildError
        With what to do about it.
    """
    if today >= expires:
        raise BuildError(
            f"The image {image} expired on {expires}: what its locks name is too old to be given to people. Write "
            f"them anew (python images/lock.py), run the tests, and set a new day in images/{image}/image.toml."
        )


def test(buildah: list[str], image: str, name: str, *, sbom: Path) -> None:
    """Run an image's test inside it, as its own user, and fetch its SBOM."""
    made = subprocess.run([*buildah, "from", name], capture_output=True, text=True, check=True)
    container = made.stdout.strip()
    try:
        inside = [*buildah, "run", "--isolation", "chroot", "--volume", f"{ROOT / 'images'}:{INSIDE}:ro"]
        inside += ["--env", f"PYTHONPATH={INSIDE}", "--env", "PYTHONDONTWRITEBYTECODE=1", container, "--"]
        _run([*inside, "python", "-m", "unittest", "discover", "-v", "-s", f"{INSIDE}/{image}", "-p", "test.py"])
        listed = subprocess.run(
            [*inside, "sh", "-c", "cat /opt/*/share/romanhub/sbom.cdx.json"], capture_output=True, check=True
        )
        sbom.write_bytes(listed.stdout)
    finally:
        subprocess.run([*buildah, "rm", container], capture_output=True, check=False)


def _ensure_base(buildah: list[str], mirror: str | None) -> str:
    """Make the base from Debian's packages, where there is none yet that was made from the same files."""
    folder = ROOT / "images" / "base"
    files = [folder / "Dockerfile", folder / "packages.txt"]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]
    name = f"{BASE}:{digest}"
    if subprocess.run([*buildah, "inspect", "--type", "image", name], capture_output=True).returncode == 0:
        return name
    settings = Settings.load("base")
    check_expiry("base", settings.expires, today=datetime.now(UTC).date())
    with tempfile.TemporaryDirectory(dir="/var/tmp") as temporary:
        root = Path(temporary, "root")
        include = f"--include={','.join(files[1].read_text().split())}"
        bootstrap = ["debootstrap", "--variant=minbase", include, RELEASE, str(root)]
        made = subprocess.run([*bootstrap, *([mirror] if mirror else [])], capture_output=True, text=True)
        if made.returncode != 0:
            # It tells of each package, and last of what went wrong.
            print(made.stdout[-3000:], made.stderr[-3000:], file=sys.stderr)
            made.check_returncode()
        for waste in ("var/cache/apt", "var/lib/apt/lists", "var/log"):
            _run(["find", str(root / waste), "-type", "f", "-delete"])
        _build(buildah, name, files[0], root, _marks(_labels(settings, digest)))
    return name


def _build(buildah: list[str], name: str, dockerfile: Path, context: Path, arguments: list[str]) -> None:
    command = [*buildah, "build", "--quiet", "--isolation", "chroot", "--layers=false", "--tag", name]
    _run([*command, *arguments, "--file", str(dockerfile), str(context)])


def _labels(settings: Settings, version: str) -> dict[str, str]:
    """What the image says of itself, by the names of the OCI's annotations."""
    revision = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    said = {
        "title": settings.title,
        "description": settings.description,
        "licenses": settings.licenses,
        "version": version,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "revision": revision.stdout.strip(),
    }
    labels = {f"org.opencontainers.image.{key}": value for key, value in said.items() if value}
    return {**labels, "romanhub.expires": settings.expires.isoformat()}


def _marks(labels: dict[str, str]) -> list[str]:
    """The same twice: labels are in the image's configuration, annotations in its manifest."""
    return [word for key, value in labels.items() for kind in ("--label", "--annotation")
            for word in (kind, f"{key}={value}")]  # fmt: skip


def _run(command: list[str]) -> None:
    # SSL_CERT_FILE and the like name files of this machine; a build has them through the mount.
    subprocess.run(command, check=True, env={**os.environ, "BUILDAH_ISOLATION": "chroot"})


if __name__ == "__main__":
    raise SystemExit(main())
