"""Build the environments that the platform runs in, each from its lock.

This module is also the first step of `make run`, before anything is installed: it uses the standard
library alone, and so must everything that it imports.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

#: What a fresh set of environments takes on disk, measured with `du` and rounded up, in bytes.
ROOM_NEEDED = 3_000_000_000

#: Written into an environment once it is whole: the digest of what it was made from.
STAMP = ".made-from"


class SetupError(Exception):
    """Something that the person who starts the platform must put right; the text says what."""


@dataclass(frozen=True)
class Environment:
    """One environment on disk and the locks that it is made from."""

    path: Path
    locks: tuple[Path, ...]

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.path / "bin" / "python"

    @property
    def bin(self) -> Path:
        """The folder of the environment's commands."""
        return self.path / "bin"

    def digest(self, python: Path) -> str:
        """A digest of the locks, the interpreter and the place: what it changes with, the environment does."""
        digest = hashlib.sha256(f"{python} {self.path}".encode())
        for lock in self.locks:
            digest.update(lock.read_bytes())
        return digest.hexdigest()

    def is_current(self, python: Path) -> bool:
        """Whether the environment is there, whole, and made from today's locks."""
        stamp = self.path / STAMP
        return stamp.is_file() and stamp.read_text() == self.digest(python)

    def seal(self, python: Path) -> None:
        """Note that the environment is whole."""
        (self.path / STAMP).write_text(self.digest(python))


def build(environment: Environment, *, python: Path, uv: Path) -> None:
    """Make the environment from its locks, anew where there was one.

    An interrupted build leaves no stamp; the next one finds in uv's cache what was already fetched.

    Raises
    ------
    SetupError
        Where the disk is full or a package cannot be had.
    """
    check_room(environment.path)
    run([str(uv), "venv", "--clear", "--quiet", "--python", str(python), str(environment.path)])
    command = [str(uv), "pip", "sync", "--python", str(environment.python), "--require-hashes"]
    # Byte code at install: a server's start is a third slower without it, and its user cannot write it.
    command += ["--compile-bytecode"]
    # At a terminal uv shows its own bars; elsewhere it is quiet.
    run([*command, *map(str, environment.locks)], show=sys.stderr.isatty())
    environment.seal(python)


def check_room(path: Path) -> None:
    """Refuse to begin what the disk cannot hold.

    Raises
    ------
    SetupError
        With the folder, what is free and what is needed.
    """
    folder = next(parent for parent in [path, *path.parents] if parent.exists())
    free = shutil.disk_usage(folder).free
    if free < ROOM_NEEDED:
        raise SetupError(
            f"The disk that holds {folder} has {free / 1e9:.1f} GB free and the set-up needs "
            f"{ROOM_NEEDED / 1e9:.0f} GB. Free some room, or set ROMANHUB_STATE to a folder on another disk."
        )


def find_python(*, for_other_users: bool) -> Path:
    """The interpreter to build environments from.

    Parameters
    ----------
    for_other_users
        Whether other system users must be able to run it, as they must where each of the platform's users
        has a system user of their own.

    Raises
    ------
    SetupError
        Where no interpreter of Python 3.11 or later fits.
    """
    candidates = [Path(getattr(sys, "_base_executable", sys.executable)).resolve()]
    for folder in ("/usr/bin", "/usr/local/bin"):
        candidates += [path.resolve() for path in sorted(Path(folder).glob("python3*"))]
    for candidate in candidates:
        if for_other_users and not others_can_reach(candidate):
            continue
        if _is_new_enough(candidate):
            return candidate
    raise SetupError(
        f"Started as root, every user's server runs as a system user of its own, and {candidates[0]} is in a "
        "folder that only root may enter. Install a Python 3.11 or later for everybody (on Debian: apt-get "
        "install python3), or run this as an ordinary user."
    )


def others_can_reach(path: Path) -> bool:
    """Whether any system user may enter every folder on the way to the path, and read it if it is there."""
    path = path.resolve()
    for parent in path.parents:
        if parent.exists() and not parent.stat().st_mode & stat.S_IXOTH:
            return False
    return not path.exists() or bool(path.stat().st_mode & stat.S_IXOTH)


def find_uv(bootstrap: Environment) -> Path:
    """The uv that builds the environments: the locked one, installed by pip where it is not there yet.

    Raises
    ------
    SetupError
        Where this Python has no venv module or the registry cannot be reached.
    """
    uv = bootstrap.bin / "uv"
    python = Path(sys.executable)
    if not bootstrap.is_current(python):
        try:
            subprocess.run(
                [sys.executable, "-m", "venv", "--clear", str(bootstrap.path)],
                check=True, capture_output=True, text=True,
            )  # fmt: skip
        except subprocess.CalledProcessError as error:
            raise SetupError(
                "This Python cannot make a virtual environment. Install its venv module "
                f"(on Debian: apt-get install python3-venv), then try again. It said: {_last_line(error)}"
            ) from None
        locks = [word for lock in bootstrap.locks for word in ("-r", str(lock))]
        pip = [str(bootstrap.python), "-m", "pip", "install", "--quiet", "--require-hashes"]
        run([*pip, "--disable-pip-version-check", *locks])
        bootstrap.seal(python)
    return uv


def _is_new_enough(python: Path) -> bool:
    """Whether the file runs as CPython 3.11 or later."""
    if not python.name.startswith("python") or not os.access(python, os.X_OK):
        return False
    check = "import sys; raise SystemExit(not ((3, 11) <= sys.version_info < (3, 15)))"
    try:
        return subprocess.run([str(python), "-c", check], capture_output=True).returncode == 0
    except OSError:
        return False


def run(command: Sequence[str], *, show: bool = False) -> None:
    """Run one step of the set-up. Unless it is to be shown, what it prints is seen only where it fails."""
    # The tests' and the user's own Python settings must not leak into another environment's interpreter.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment.pop("VIRTUAL_ENV", None)
    output = None if show else subprocess.PIPE
    result = subprocess.run(command, stdout=output, stderr=output, text=True, env=environment)
    if result.returncode == 0:
        return
    said = (result.stderr or result.stdout or "").strip()
    if "No space left on device" in said:
        raise SetupError(
            "The disk is full. Free some room, or set ROMANHUB_STATE to a folder on another disk, and try again."
        )
    raise SetupError(f"A step of the set-up failed: {' '.join(command)}\n{said}")


def _last_line(error: subprocess.CalledProcessError) -> str:
    """The last line of what a failed command printed."""
    lines = str(error.stdout or error.stderr or "nothing").strip().splitlines()
    return lines[-1] if lines else "nothing"
