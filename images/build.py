"""Build an image without a Docker daemon: `python images/build.py roman --output roman.tar`.

It needs buildah, and root.

The output is an OCI archive, which `ctr images import`, `skopeo copy` and `podman load` read. Without `--base` the
base is made from Debian's packages by debootstrap, and no registry of images is asked for anything.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

#: What the base is called among buildah's images, and what Debian's minimal system has beside itself there.
BASE, RELEASE = "localhost/romanhub/base", "bookworm"
PACKAGES = ("ca-certificates", "python3", "python3-venv")


def main() -> int:
    """Build what is asked for; returns 1 where a step fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    images = sorted(path.parent.name for path in ROOT.glob("images/*/Dockerfile"))
    parser.add_argument("image", choices=images)
    parser.add_argument("--output", type=Path, required=True, help="the OCI archive to write")
    parser.add_argument("--base", help=f"an image to build on, instead of {BASE}")
    parser.add_argument("--tag", default="dev", help="the image's tag")
    parser.add_argument("--storage", type=Path, help="where buildah keeps images; its own place by default")
    parser.add_argument("--mirror", help="a mirror of Debian for the base, instead of debootstrap's own choice")
    asked = parser.parse_args()
    buildah = ["buildah"]
    if asked.storage is not None:
        buildah += ["--root", str(asked.storage / "images"), "--runroot", str(asked.storage / "run")]
    try:
        base = asked.base or _ensure_base(buildah, asked.mirror)
        build(buildah, asked.image, base=base, tag=asked.tag, output=asked.output)
    except subprocess.CalledProcessError as error:
        print(f"A step failed: {' '.join(error.cmd)}", file=sys.stderr)
        return 1
    return 0


def build(buildah: list[str], image: str, *, base: str, tag: str, output: Path) -> None:
    """Build an image from its Dockerfile, and write it to an archive."""
    name = f"localhost/romanhub/{image}:{tag}"
    command = [*buildah, "build", "--isolation", "chroot", "--build-arg", f"BASE={base}", "--tag", name]
    # A machine may know authorities of its own, without which its packages cannot be fetched.
    command += ["--volume", "/etc/ssl/certs:/etc/ssl/certs:ro", "--layers=false"]
    _run([*command, "--file", str(ROOT / "images" / image / "Dockerfile"), str(ROOT)])
    output.unlink(missing_ok=True)
    _run([*buildah, "push", "--quiet", name, f"oci-archive:{output}:{name}"])


def _ensure_base(buildah: list[str], mirror: str | None) -> str:
    """Make the base from Debian's packages, where there is none yet."""
    if subprocess.run([*buildah, "inspect", "--type", "image", BASE], capture_output=True).returncode == 0:
        return BASE
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        root = Path(folder, "root")
        include = f"--include={','.join(PACKAGES)}"
        _run(["debootstrap", "--variant=minbase", include, RELEASE, str(root), *([mirror] if mirror else [])])
        for waste in ("var/cache/apt/archives", "var/lib/apt/lists"):
            _run(["find", str(root / waste), "-type", "f", "-delete"])
        made = subprocess.run([*buildah, "from", "scratch"], capture_output=True, text=True, check=True)
        container = made.stdout.strip()
        _run([*buildah, "copy", "--quiet", container, str(root), "/"])
        _run([*buildah, "config", "--env", "PATH=/usr/local/bin:/usr/bin:/bin", "--cmd", "/bin/sh", container])
        _run([*buildah, "commit", "--quiet", "--rm", container, BASE])
    return BASE


def _run(command: list[str]) -> None:
    # SSL_CERT_FILE and the like name files of this machine; a build has them through the mount.
    subprocess.run(command, check=True, env={**os.environ, "BUILDAH_ISOLATION": "chroot"})


if __name__ == "__main__":
    raise SystemExit(main())
