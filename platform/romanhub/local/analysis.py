"""The analysis environment of users' servers: made from the image's lock, with our client and the kernel in it."""

from __future__ import annotations

import compileall
import hashlib
import os
import shutil
import sys
from pathlib import Path

import hubquota

import romanhub
from romanhub.client.environment import FILE
from romanhub.local import environments
from romanhub.local.environments import STAMP, Environment
from romanhub.local.layout import State, deployment
from romanhub.local.screen import Screen

#: What the notebook's side of the package needs; the hub's side stays out of users' environments.
CLIENT = ("__init__.py", "py.typed", "asdf_blocks", "client", "models")

#: What tells the Jupyter server that a kernel which computes in silence is active.
ACTIVITY = ("__init__.py", "activity.py")


def ensure_roman(state: State, *, full: bool, screen: Screen) -> Environment:
    """Make the analysis environment where it is not there as its lock says, and return it.

    Parameters
    ----------
    state
        The folder of state.
    full
        The whole image rather than its core.
    screen
        Shows the step.

    Raises
    ------
    SetupError
        Where no interpreter fits, the disk is full or a package cannot be had.
    """
    environment = state.roman_environment(full=full)
    python = environments.find_python(for_other_users=os.geteuid() == 0)
    if not environment.is_current(python):
        image = "the whole analysis image" if full else "its core"
        with screen.step(f"Roman environment ({image}, from images/roman)", quiet=False):
            # The hub's environment, in which this runs, has uv from its lock.
            environments.build(environment, python=python, uv=Path(sys.executable).with_name("uv"))
    return environment


def place(environment: Environment) -> None:
    """Copy the client, Jupyter's files and the command into the environment, where they differ.

    They are the running platform's own, so that a notebook and its platform are never of two versions.
    """
    packages = next((environment.path / "lib").glob("python3.*/site-packages"))
    _place_package(packages, Path(romanhub.__file__).parent, CLIENT)
    _place_package(packages, Path(hubquota.__file__).parent, ACTIVITY)
    shutil.copytree(deployment() / "images" / "roman" / "share", environment.path / "share", dirs_exist_ok=True)
    shutil.copytree(deployment() / "images" / "roman" / "etc", environment.path / "etc", dirs_exist_ok=True)
    for command in (deployment() / "images" / "roman" / "bin").iterdir():
        # An installed package's files have no mark that they can be run.
        Path(shutil.copy(command, environment.bin)).chmod(0o755)
    digest = hashlib.sha256((environment.path / STAMP).read_bytes())
    for name, content in sorted(_content(packages / "romanhub").items()):
        digest.update(name.encode() + b"\0" + content + b"\0")
    (environment.path / FILE).write_text(f"roman-{digest.hexdigest()[:16]}")


def is_placed(environment: Environment) -> bool:
    """Whether the environment was ever made ready by `place`."""
    return (environment.path / FILE).is_file()


def identity(environment: Environment) -> str:
    """What tells the environment from one of another lock, or with another version of the platform's library.

    Raises
    ------
    FileNotFoundError
        Where the environment was never made ready by `place`.
    """
    return (environment.path / FILE).read_text()


def _place_package(packages: Path, source: Path, names: tuple[str, ...]) -> None:
    """Copy some modules and folders of a package, where what is there differs from them."""
    target = packages / source.name
    fresh = packages / f"{source.name}.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    for name in names:
        origin = source / name
        if origin.is_dir():
            shutil.copytree(origin, fresh / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif origin.exists():
            shutil.copy2(origin, fresh / name)
    if _content(fresh) == _content(target):
        shutil.rmtree(fresh)
    else:
        shutil.rmtree(target, ignore_errors=True)
        fresh.rename(target)
        compileall.compile_dir(target, quiet=2)


def _content(folder: Path) -> dict[str, bytes]:
    """Every file of a folder with what it holds, byte code apart."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
