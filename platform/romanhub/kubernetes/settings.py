"""What an operator says of Dask on Kubernetes: images, where schedulers and workers run, and what they may use."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, SecretStr, ValidationError

from romanhub.models.parts import Strict, Text

#: The variable that names the file of these settings, which both programs of the gateway read.
VARIABLE = "ROMANHUB_DASK"

#: The variable with the ledger's database: an address with a password in it, so it is in no file of settings.
DATABASE = "HUBQUOTA_DATABASE_URL"

#: The name of a label, a taint or an annotation of Kubernetes, with or without a prefix.
LabelName = Annotated[
    str, Field(pattern=r"^([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")
]

LabelValue = Annotated[str, Field(pattern=r"^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$")]

Labels = dict[LabelName, LabelValue]


class SettingsError(Exception):
    """The settings cannot be used; the message names each field that is wrong, and where it is."""


class Toleration(Strict):
    """A taint of nodes that pods may be put on all the same."""

    key: LabelName = Field(description="The taint's key.")
    operator: Literal["Equal", "Exists"] = Field(
        default="Exists", description="Whether the value has to be the same too."
    )
    value: LabelValue = Field(default="", description="The taint's value, for the operator Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="The taint's effect; any without it."
    )


class Nodes(Strict):
    """Which nodes pods of a kind run on."""

    required: Labels = Field(
        default_factory=dict, description="Labels that a node has to have. Without such a node the pod waits."
    )
    preferred: Labels = Field(
        default_factory=dict,
        description="Labels of the nodes that are taken first, such as those of spot machines; others do too.",
    )
    avoided: Labels = Field(
        default_factory=dict,
        description="Labels that a node must not have, such as those of spot machines for schedulers.",
    )
    tolerations: tuple[Toleration, ...] = Field(
        default=(), description="Taints of nodes that these pods may run on, such as a pool's for workers."
    )
    priority_class: str | None = Field(
        default=None,
        min_length=1,
        description="The priority class of these pods; the cluster's default without it.",
    )


class Scheduler(Strict):
    """What a cluster's scheduler has. It costs its owner nothing, so its size is the platform's to choose."""

    cores: float = Field(default=0.5, gt=0, le=64, description="Cores that are set aside for it.")
    most_cores: float = Field(default=2, gt=0, le=64, description="Cores that it may use where they are free.")
    memory_gib: float = Field(default=2, gt=0, le=512, description="Memory that it has, in GiB.")
    nodes: Nodes = Field(default_factory=Nodes, description="Which nodes schedulers run on: ones that stay.")


class Workers(Strict):
    """Where workers run. What one has follows from the tier of the account that pays."""

    share: float = Field(
        default=0.94,
        gt=0.5,
        le=1,
        description=(
            "How much of its tier's cores and memory a worker sets aside on its node; its limits are the whole. "
            "Less than all, so that as many fit on a node as its size suggests: a node keeps some for itself."
        ),
    )
    nodes: Nodes = Field(
        default_factory=Nodes, description="Which nodes workers run on: spot machines, where there are any."
    )


class DaskSettings(Strict):
    """Dask on Kubernetes, for both programs of the gateway."""

    instance: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")] = Field(
        description="The gateway's name: what it makes carries it, and nothing else is touched."
    )
    namespace: Text = Field(description="The namespace of schedulers and workers.")
    api_url: str = Field(pattern=r"^https?://", description="The address at which schedulers reach the gateway.")
    api_address: str = Field(
        default=":8000", pattern=r"^[^/]*:\d+$", description="Where the API server listens: host:port."
    )
    controller_address: str = Field(
        default=":8000", pattern=r"^[^/]*:\d+$", description="Where the controller answers whether it is well."
    )
    prefix: str = Field(
        default="/services/dask-gateway", pattern=r"^/", description="The path under which users see the gateway."
    )
    image: Text = Field(
        description="The image of schedulers and workers, the same as users' servers run, best with its digest."
    )
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = Field(
        default="IfNotPresent", description="When a node fetches the image."
    )
    image_pull_secrets: tuple[Text, ...] = Field(
        default=(), description="The names of the secrets that the image is fetched with."
    )
    uid: int = Field(default=1000, ge=1, description="The user that pods run as; never root.")
    tiers_file: Text = Field(description="The tiers file.")
    region: str = Field(
        default="", description="The region in which a pod runs for which nothing else is asked; empty if unknown."
    )
    regions: dict[Text, Labels] = Field(
        default_factory=dict,
        description=(
            "For each region (or zone) of data, the labels of the nodes that are next to it. A cluster for data "
            "in one of these regions runs there."
        ),
    )
    where_not: Literal["refuse", "warn"] = Field(
        default="refuse",
        description="What becomes of a cluster for data in another region: it is refused, or its owner is warned.",
    )
    environment: dict[str, str] = Field(
        default_factory=dict, description="Environment variables of schedulers and workers. No secrets."
    )
    config_folders: dict[LabelName, str] = Field(
        default_factory=dict,
        description="ConfigMaps by their names, each with the folder where schedulers and workers see it.",
    )
    network_policies: bool = Field(
        default=False,
        description="Whether each cluster has a NetworkPolicy of its own, by which its pods reach each other. "
        "Needed where another policy keeps pods from reaching what is not said.",
    )
    grace_seconds: int = Field(
        default=10,
        ge=1,
        # Half a minute before nothing pays, workers begin to stop; a quarter is the scheduler's.
        le=15,
        description="How long a pod that is told to end has, in seconds, before it is killed.",
    )
    unscheduled_seconds: int = Field(
        default=1800,
        ge=60,
        # The ledger gives an admission up after an hour.
        le=3000,
        description=(
            "How long a worker may wait for a node, in seconds. Then what is held for it is let go, and it is "
            "asked for anew."
        ),
    )
    same_owner_label: LabelName = Field(
        default="hub.jupyter.org/username",
        description="The label that says whose a pod is, the same as on users' servers.",
    )
    scheduler: Scheduler = Field(default_factory=Scheduler, description="Schedulers.")
    workers: Workers = Field(default_factory=Workers, description="Workers.")

    @property
    def identity(self) -> str:
        """The identity of the workers' environment, which a notebook's is compared with (`image_identity`)."""
        return image_identity(self.image)

    @classmethod
    def load(cls, environ: Mapping[str, str] = os.environ) -> DaskSettings:
        """Read the file that a variable names.

        Raises
        ------
        SettingsError
            There is no such file, or something in it is wrong.
        """
        name = environ.get(VARIABLE)
        if not name:
            raise SettingsError(f"{VARIABLE} is not set: it names the file of the settings of Dask on Kubernetes.")
        try:
            return cls.model_validate(yaml.safe_load(Path(name).read_text()))
        except OSError as error:
            raise SettingsError(f"The settings of Dask cannot be read: {error}") from None
        except yaml.YAMLError as error:
            raise SettingsError(f"{name} is no YAML: {' '.join(str(error).split())}") from None
        except ValidationError as error:
            wrong = "; ".join(
                f"{'.'.join(map(str, one['loc'])) or 'the file'}: {one['msg']}"
                for one in error.errors(include_input=False, include_url=False)
            )
            raise SettingsError(f"{name}: {wrong}") from None


class Secrets(Strict):
    """What no file of settings holds."""

    database_url: SecretStr = Field(min_length=1, description="The ledger's database.")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Secrets:
        """Read them from the environment.

        Raises
        ------
        SettingsError
            One is missing.
        """
        if not environ.get(DATABASE):
            raise SettingsError(f"{DATABASE} is not set: it holds the address of the ledger's database.")
        return cls(database_url=SecretStr(environ[DATABASE]))


def image_identity(image: str) -> str:
    """Return the identity of an image's environment: its digest; the whole name where that has none.

    The hub's spawner gives the same to users' servers, in `ROMANHUB_ENVIRONMENT`. A name without a digest tells
    apart what is named apart, but not two images that have had the same name.
    """
    return image.partition("@")[2] or image
