"""What every part of one machine's platform must know of the others, from the folder of state."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from romanhub.local import secrets
from romanhub.local.environments import Environment
from romanhub.local.layout import State, default_state, deployment
from romanhub.local.ports import HOST, Ports
from romanhub.local.secrets import Secrets
from romanhub.local.system_users import SystemUsers, can_separate

#: The archive's bucket, and the region that the local server says it is in.
BUCKET = "roman-archive"
REGION = "us-east-1"

#: The bucket that holds people's scratch.
SCRATCH_BUCKET = "roman-scratch"

#: The bucket that holds what the community publishes.
COMMUNITY_BUCKET = "roman-community"

#: What an operator may say of the community's catalogue; `romanhub.community.settings` describes each.
COMMUNITY = (
    "ROMANHUB_COMMUNITY_CURATORS",
    "ROMANHUB_COMMUNITY_PRODUCT_BYTES",
    "ROMANHUB_COMMUNITY_PRODUCT_FILES",
    "ROMANHUB_COMMUNITY_PERSON_BYTES",
    "ROMANHUB_COMMUNITY_GIT_ORIGINS",
    "ROMANHUB_COMMUNITY_GIT_SECONDS",
)

#: The administrator's account on one machine.
ADMIN = "admin"


@dataclass(frozen=True)
class Settings:
    """The platform's parts, as they are on this machine in this run."""

    state: State
    ports: Ports
    secrets: Secrets
    full: bool = False

    @classmethod
    def load(cls, root: Path | None = None) -> Settings:
        """The settings of the platform in a folder of state: the one that `ROMANHUB_STATE` names if not given.

        Raises
        ------
        FileNotFoundError
            Where the platform has never been started there.
        """
        state = State(root or default_state())
        ports = Ports.model_validate_json((state.private / "ports.json").read_text())
        kept = secrets.load(state.private / "secrets.json")
        return cls(state, ports, kept, full=os.environ.get("ROMANHUB_FULL") == "1")

    @property
    def url(self) -> str:
        """Where people sign in, without a trailing slash."""
        return f"http://{HOST}:{self.ports.public}"

    @property
    def hub_api(self) -> str:
        """The hub's REST API, past the proxy."""
        return f"http://{HOST}:{self.ports.hub}/hub/api"

    @property
    def archive_endpoint(self) -> str:
        """The archive's S3 server."""
        return f"http://{HOST}:{self.ports.archive}"

    @property
    def search_url(self) -> str:
        """The archive's search service, as people reach it."""
        return f"{self.url}/services/archive/"

    @property
    def index(self) -> Path:
        """The folder of the archive's index, which `romanhub archive index` builds for the search service."""
        return self.state.private / "index"

    @property
    def ledger_url(self) -> str:
        """The ledger's database."""
        return f"sqlite:///{self.state.private / 'ledger.sqlite'}"

    @property
    def community_url(self) -> str:
        """The database of the community's catalogue."""
        return f"sqlite:///{self.state.private / 'community.sqlite'}"

    @property
    def tiers_file(self) -> Path:
        """The tiers file: the deployment's own, or the one that `ROMANHUB_TIERS` names."""
        given = os.environ.get("ROMANHUB_TIERS")
        return Path(given) if given else deployment() / "hub_config" / "tiers.yaml"

    @property
    def datasets_file(self) -> Path:
        """The file of data sets: the deployment's own, or the one that `ROMANHUB_DATASETS` names."""
        given = os.environ.get("ROMANHUB_DATASETS")
        return Path(given) if given else deployment() / "hub_config" / "datasets.yaml"

    @property
    def notices_file(self) -> Path | None:
        """The settings for notices that `ROMANHUB_NOTICES` names; without it, the hub's pages alone show them."""
        given = os.environ.get("ROMANHUB_NOTICES")
        return Path(given) if given else None

    @property
    def runs_file(self) -> Path | None:
        """The settings of what runs notebooks that `ROMANHUB_RUNS` names; without it, what holds then."""
        given = os.environ.get("ROMANHUB_RUNS")
        return Path(given) if given else None

    @property
    def community_variables(self) -> dict[str, str]:
        """What the operator's environment, which every part has, says of the catalogue beyond where it is."""
        return {name: given for name in COMMUNITY if (given := os.environ.get(name))}

    @property
    def purge_file(self) -> Path | None:
        """The settings of the purge that `ROMANHUB_PURGE` names; without it, nothing is purged."""
        given = os.environ.get("ROMANHUB_PURGE")
        return Path(given) if given else None

    @property
    def passwords(self) -> Path:
        """The accounts' passwords, hashed."""
        return self.state.private / "passwords.dbm"

    @property
    def roman(self) -> Environment:
        """The environment of users' servers and Dask workers."""
        return self.state.roman_environment(full=self.full)

    @property
    def image(self) -> str:
        """What the environment of users' servers is called among the images."""
        return "full" if self.full else "core"

    @property
    def images(self) -> dict[str, Environment]:
        """What shared notebooks can be run in, by name, whether it is installed or not."""
        return {"core": self.state.roman_environment(), "full": self.state.roman_environment(full=True)}

    @property
    def users(self) -> SystemUsers:
        """Who the users' processes run as."""
        return SystemUsers(self.state.homes, separate=can_separate())

    @property
    def welcome(self) -> Path:
        """What a new home starts with."""
        return Path(__file__).resolve().parents[1] / "client" / "notebooks"
