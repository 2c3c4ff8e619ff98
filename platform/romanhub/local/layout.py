"""Where things are on one machine: the one folder of state, and the files that come with the project.

Standard library alone: `make run` uses this module before anything is installed.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from romanhub.local.environments import Environment, SetupError, others_can_reach

#: The folder of the checkout, where there is one; an installed package has none.
CHECKOUT = Path(__file__).resolve().parents[3]

#: Where an installed package carries the deployment's files.
INSTALLED = Path(__file__).resolve().parents[1] / "deployment"


def deployment() -> Path:
    """The folder that holds `hub_config/`, `images/` and `helm/`: the checkout, or the package's copy."""
    return INSTALLED if INSTALLED.is_dir() else CHECKOUT


def default_state() -> Path:
    """The folder of state where `ROMANHUB_STATE` names none: `state/` in the checkout.

    As root, every user's server runs as a system user of its own, which must be able to enter the folder:
    where the checkout is private to root (in /root, say), the state is in /var/lib/romanhub instead.
    """
    if given := os.environ.get("ROMANHUB_STATE"):
        return Path(given).expanduser().resolve()
    if INSTALLED.is_dir():
        return Path("romanhub-state").resolve()
    local = CHECKOUT / "state"
    if os.geteuid() != 0 or others_can_reach(local):
        return local
    return Path("/var/lib/romanhub") / hashlib.sha256(str(CHECKOUT).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class State:
    """The one folder of state, and what is where in it."""

    root: Path

    @property
    def homes(self) -> Path:
        """The users' home folders."""
        return self.root / "homes"

    @property
    def private(self) -> Path:
        """What only the platform itself may read: databases, passwords, secrets."""
        return self.root / "private"

    @property
    def logs(self) -> Path:
        """One log for each part."""
        return self.root / "logs"

    @property
    def archive(self) -> Path:
        """The archive server's data."""
        return self.root / "archive"

    @property
    def clusters(self) -> Path:
        """The working folders of Dask clusters."""
        return self.root / "clusters"

    @property
    def aws_config(self) -> Path:
        """What AWS's libraries read in users' servers: where keys come from, and where the storage is."""
        return self.root / "aws.config"

    @property
    def lock(self) -> Path:
        """Held by the running platform and every part of it."""
        return self.root / "lock"

    @property
    def environments(self) -> Path:
        """The environments, unless `ROMANHUB_ENVIRONMENTS` puts them elsewhere to be shared."""
        given = os.environ.get("ROMANHUB_ENVIRONMENTS")
        return Path(given).expanduser().resolve() if given else self.root / "env"

    @property
    def mark(self) -> Path:
        """The file that tells a folder of state from any other folder."""
        return self.root / ".romanhub-state"

    def is_ours(self) -> bool:
        """Whether the folder is a folder of state, or may become one: it is not there, or empty."""
        return self.mark.exists() or not self.root.exists() or not any(self.root.iterdir())

    def make(self) -> None:
        """Make the folders, with the rights that they need.

        Raises
        ------
        SetupError
            Where the folder is there and holds something else.
        """
        if not self.is_ours():
            raise SetupError(
                f"{self.root} has something else in it. Set ROMANHUB_STATE to a new or an empty folder."
            )
        self.root.mkdir(parents=True, exist_ok=True)
        self.mark.touch()
        for folder, mode in (
            (self.root, 0o755),
            (self.homes, 0o711),
            (self.clusters, 0o711),
            (self.environments, 0o755),
            (self.private, 0o700),
            (self.logs, 0o700),
            (self.archive, 0o700),
        ):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(mode)

    def bootstrap_environment(self) -> Environment:
        """Holds uv, which builds all the others."""
        return Environment(self.environments / "setup", (deployment() / "images" / "setup.lock",))

    def hub_environment(self) -> Environment:
        """Runs the hub, the proxy, the gateway, the portal, the archive server and the command line."""
        return Environment(self.environments / "hub", (deployment() / "images/hub/requirements.lock",))

    def roman_environment(self, *, full: bool = False) -> Environment:
        """Runs single-user servers, the Roman kernel and Dask: the analysis image's core, or all of it."""
        selection = "full" if full else "core"
        lock = deployment() / "images" / "roman" / f"{selection}.lock"
        return Environment(self.environments / f"roman-{selection}", (lock,))
