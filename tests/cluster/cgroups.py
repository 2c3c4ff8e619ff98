"""The cgroups of a node's pods: made for it, and removed after it, in either version of cgroups."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

#: What all the pods' cgroups are in. Another name where two of these run beside each other on one machine.
NAME = os.environ.get("ROMANHUB_TEST_CLUSTER_CGROUP", "romanhub-test")

_ROOT = Path("/sys/fs/cgroup")

#: Without these, all the pods together get no more of a busy machine's cores than one other process does.
_SHARES = {"cpu.shares": "10240", "cpu.weight": "1000"}


def are_there() -> bool:
    """Whether a cgroup can be made that limits memory."""
    probe = _memory() / f"{NAME}-probe"
    try:
        probe.mkdir()
        probe.rmdir()
    except OSError:
        return False
    return True


def make() -> None:
    """Make the pods' cgroup, in each hierarchy that there is."""
    for hierarchy in _hierarchies():
        ours = hierarchy / NAME
        ours.mkdir(exist_ok=True)
        for name, share in _SHARES.items():
            if (ours / name).exists():
                (ours / name).write_text(share)
        if _one_for_all():
            continue
        for name in ("cpuset.cpus", "cpuset.mems"):
            if (hierarchy / name).exists():
                (ours / name).write_text((hierarchy / name).read_text())


def kill() -> None:
    """End all that runs in the pods' cgroup at once."""
    for file in (_memory() / NAME).rglob("cgroup.procs"):
        for number in file.read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(number), signal.SIGKILL)


def remove() -> None:
    """Remove the pods' cgroup; what has run in it has ended."""
    for hierarchy in _hierarchies():
        for folder, _, _ in os.walk(hierarchy / NAME, topdown=False):
            with suppress(OSError):
                Path(folder).rmdir()


def memory_of(process: Path) -> Path:
    """The cgroup that limits the memory of a process, given by its folder in /proc."""
    places = dict(line.split(":", 2)[1:] for line in (process / "cgroup").read_text().splitlines())
    return _memory() / places["" if _one_for_all() else "memory"].lstrip("/")


def _one_for_all() -> bool:
    """Whether this is version 2, in which one hierarchy has all the controllers."""
    return (_ROOT / "cgroup.controllers").exists()


def _memory() -> Path:
    return _ROOT if _one_for_all() else _ROOT / "memory"


def _hierarchies() -> Iterator[Path]:
    if _one_for_all():
        yield _ROOT
        return
    for hierarchy in _ROOT.iterdir():
        # The named ones are links to each other; the unified one has no controllers in version 1.
        if not hierarchy.is_symlink() and hierarchy.name != "unified" and (hierarchy / "cgroup.procs").exists():
            yield hierarchy
