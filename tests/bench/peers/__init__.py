"""What admissions are compared with: others' plugins, each in an environment of its own, and Prometheus."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from romanhub.local import environments
from romanhub.local.environments import Environment

from tests.bench.hubs import PATIENCE, Process
from tests.support.platform import shared_environments
from tests.support.ports import free_port

HERE = Path(__file__).parent

#: Seconds between two samples, as the plugin that reads them expects.
SAMPLE = 60


class PeerMissingError(Exception):
    """A peer cannot be had on this machine; the text says what it lacks."""


def jupyterhub(peer: str, *, newest: bool = False) -> Path:
    """The `jupyterhub` of a peer's environment, which is made from its lock where it is not there yet.

    Parameters
    ----------
    peer
        The lock's name.
    newest
        Whether it needs Python 3.12 or later.

    Raises
    ------
    PeerMissingError
        Where there is no Python for it.
    SetupError
        Where a package cannot be had.
    """
    environment = Environment(Path(shared_environments()) / f"peer-{peer}", (HERE / f"{peer}.lock",))
    python = _newer_python() if newest else environments.find_python(for_other_users=False)
    if not environment.is_current(python):
        environments.build(environment, python=python, uv=Path(sys.executable).with_name("uv"))
    return environment.bin / "jupyterhub"


def _newer_python() -> Path:
    """An interpreter of Python 3.12 or later that runs, from the path or from pyenv's folder."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    names = ("python3.12", "python3.13", "python3.14")
    found = [Path(at) for name in names if (at := shutil.which(name))]
    found += sorted(versions.glob("3.1[234].*/bin/python"))
    for candidate in found:
        check = [str(candidate), "-c", "import sys; raise SystemExit(sys.version_info < (3, 12))"]
        if subprocess.run(check, capture_output=True).returncode == 0:
            return candidate.resolve()
    raise PeerMissingError("There is no Python 3.12 or later on this machine.")


@contextlib.contextmanager
def prometheus(folder: Path, pods: Sequence[str], *, hours: int) -> Iterator[str]:
    """A real Prometheus that has seen every pod use 4 GiB of memory for so many hours; yields its address.

    Raises
    ------
    PeerMissingError
        Where neither the path has one nor Debian's package can be fetched.
    """
    server, tool = _programs()
    folder.mkdir()
    seen, blocks = folder / "seen.om", folder / "blocks"
    _write_samples(seen, pods, hours=hours)
    making = [str(tool), "tsdb", "create-blocks-from", "openmetrics", str(seen), str(blocks)]
    subprocess.run(making, check=True, capture_output=True)
    configuration = folder / "prometheus.yml"
    configuration.write_text("global: {scrape_interval: 1h}\n")
    port = free_port()
    command = [str(server), f"--config.file={configuration}", f"--storage.tsdb.path={blocks}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--storage.tsdb.retention.time=60d"]
    running = Process("prometheus", command, dict(os.environ), folder)
    try:
        running.wait_for(f"http://127.0.0.1:{port}/-/ready")
        yield f"http://127.0.0.1:{port}"
    finally:
        running.end()


def _write_samples(path: Path, pods: Sequence[str], *, hours: int) -> None:
    began = int(time.time()) // SAMPLE * SAMPLE - 20 * 86_400
    name = "kube_pod_container_resource_requests"
    with path.open("w") as file:
        file.write(f"# TYPE {name} gauge\n")
        for pod in pods:
            labels = f'resource="memory",namespace="hub",node="one",pod="{pod}"'
            for sample in range(hours * 3600 // SAMPLE):
                file.write(f"{name}{{{labels}}} {4 * 2**30} {began + sample * SAMPLE}\n")
        file.write("# EOF\n")


def _programs() -> tuple[Path, Path]:
    """Prometheus and its tool: from the path, or from Debian's package, unpacked and not installed."""
    found = shutil.which("prometheus"), shutil.which("promtool")
    if found[0] and found[1]:
        return Path(found[0]), Path(found[1])
    kept = Path(shared_environments()) / "peer-prometheus"
    if not (kept / "usr/bin/promtool").exists():
        kept.mkdir(exist_ok=True)
        try:
            subprocess.run(
                ["apt-get", "download", "prometheus"], cwd=kept, check=True, capture_output=True, timeout=PATIENCE
            )
            (package,) = kept.glob("prometheus_*.deb")
            subprocess.run(["dpkg", "-x", str(package), str(kept)], check=True, capture_output=True)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise PeerMissingError(f"There is no Prometheus here and Debian's cannot be had: {error}") from None
    return kept / "usr/bin/prometheus", kept / "usr/bin/promtool"
