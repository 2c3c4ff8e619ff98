"""What the platform's parts on Kubernetes are told: `global.romanhub` of the chart's values, in a mounted file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, ValidationError

from romanhub.chart.model import ObjectName, Url, Values
from romanhub.local.environments import SetupError
from romanhub.models.parts import Bucket

#: Names the file of settings.
VARIABLE = "ROMANHUB_SETTINGS"


class Storage(Values):
    """Where the archive and people's scratch are, and what the broker gives keys to."""

    endpoint: Url | None = Field(default=None, description="The storage's address; Amazon's if not given.")
    region: str = Field(default="us-east-1", min_length=1, description="The region to sign requests for.")
    scratch_bucket: Bucket = Field(default="roman-scratch", description="The bucket that holds people's scratch.")
    role: str = Field(
        default="arn:aws:iam::000000000000:role/romanhub-data",
        pattern=r"^arn:[^:]+:iam::\d*:role/.+$",
        description="The role that the broker assumes to make short-lived keys.",
    )


class Shared(Values):
    """The folders that teams share."""

    claim: ObjectName | None = Field(
        default=None,
        description="A PersistentVolumeClaim that many pods may write (ReadWriteMany); without one there are no "
        "shared folders.",
    )
    mount_path: str = Field(
        default="/home/shared", pattern=r"^/.+", description="Where it is; a folder for each group of its owner's."
    )
    groups: str = Field(
        default=r"^survey-",
        description="A regular expression: members of a group whose name it finds have that group's folder.",
    )


class Homes(Values):
    """The users' home volumes. Their sizes are the tiers'."""

    storage_class: ObjectName | None = Field(
        default=None, description="The StorageClass of home volumes; the cluster's default if not given."
    )
    mount_path: str = Field(default="/home/roman", pattern=r"^/.+", description="Where a home is in a server.")
    shared: Shared = Field(default=Shared(), description="The folders that teams share.")
    clean_up: Literal["delete-only", "read-only"] = Field(
        default="delete-only",
        description="What somebody in grace can do with their home, where the tiers file offers a clean-up "
        "server. `delete-only`: read and delete; it needs Linux 5.13 or later with Landlock on users' nodes. "
        "`read-only`: read.",
    )


class Community(Values):
    """The catalogue of what people publish."""

    bucket: Bucket | None = Field(
        default=None,
        description="The bucket that keeps what people publish, in the same storage; without one there is no "
        "catalogue, and notebooks do not run without their person.",
    )
    curators: str = Field(
        default="community-curators",
        min_length=1,
        description="The hub group whose members are curators; administrators are, too.",
    )
    git_origins: list[Url] = Field(
        default=[],
        description="Origins whose Git repositories people may register though they are not public or not at "
        "HTTPS's own port, such as https://git.example.org:8443. Where their addresses are private, "
        "network.storage has to name them, too.",
    )
    git_seconds: int = Field(
        default=3600,
        ge=10,
        description="How long after one look at a registered repository the next one follows, in seconds.",
    )


class Settings(Values):
    """What every part of the platform is told."""

    url: Url = Field(description="Where people open the platform, such as https://hub.example.org.")
    inside_url: Url = Field(
        default="http://proxy-public",
        description="The same proxy, as pods reach it. With TLS at the proxy: https and the public name.",
    )
    sign_in: Literal["institution", "trial"] = Field(
        default="institution",
        description="`institution`: through the provider in the Secret romanhub-sign-in. `trial`: any name with "
        "the one password in the Secret romanhub-hub; never where others reach it.",
    )
    hub_name: str = Field(
        default="",
        pattern=r"^[a-z0-9-]*$",
        description="This hub's name, where several hubs share one ledger.",
    )
    search: bool = Field(default=True, description="Whether the archive can be searched here.")
    storage: Storage = Field(default=Storage(), description="Where the archive and people's scratch are.")
    homes: Homes = Field(default=Homes(), description="The users' home volumes.")
    community: Community = Field(default=Community(), description="The catalogue of what people publish.")

    @property
    def search_url(self) -> str:
        """The archive's search service, as people reach it."""
        return f"{self.url.rstrip('/')}/services/archive/"

    def inside(self, service: str) -> str:
        """A service of the hub, as pods reach it, with a slash at its end."""
        return f"{self.inside_url.rstrip('/')}/services/{service}/"


def load_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """What the file says that `ROMANHUB_SETTINGS` names.

    Raises
    ------
    SetupError
        Where there is no such file, or it is not right: a line for each mistake.
    """
    given = environment.get(VARIABLE)
    if not given:
        raise SetupError(f"{VARIABLE} does not say where the settings are.")
    try:
        return Settings.model_validate(yaml.safe_load(Path(given).read_text(encoding="utf-8")))
    except OSError as error:
        raise SetupError(f"{VARIABLE} names {given}, which cannot be read: {error.strerror}.") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise SetupError(f"{given} is not YAML.") from None
    except ValidationError as error:
        lines = [f"{given}: {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise SetupError("\n".join(lines)) from None
