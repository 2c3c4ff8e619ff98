"""The chart's values: what `helm/romanhub/values.schema.json` is made from."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import Field

from romanhub.chart.model import Cidr, ObjectName, Quantity, Values
from romanhub.chart.settings import Settings
from romanhub.community.proof.settings import RunSettings
from romanhub.kubernetes.settings import DaskSettings


class Machine(Values):
    """Cores and memory of a pod."""

    cpu: Quantity | None = Field(default=None, description="CPU cores.")
    memory: Quantity | None = Field(default=None, description="Memory.")


class Resources(Values):
    """What a pod is sure to have, and what it may have at most."""

    requests: Machine = Field(default=Machine(), description="What it is sure to have.")
    limits: Machine = Field(default=Machine(), description="What it may have at most.")


class Image(Values):
    """An image of a part."""

    name: str = Field(min_length=1, description="The image, with its registry.")
    tag: str = Field(min_length=1, description="Its tag.")
    pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = Field(
        default=None, description="When it is pulled; Kubernetes' own choice if not given."
    )


class Part(Values):
    """One of the platform's own parts."""

    resources: Resources = Field(default=Resources(), description="Its cores and memory.")


class Replicated(Part):
    """A part that may run several times."""

    replicas: int = Field(default=1, ge=1, le=20, description="How many of it run at once.")


class Volume(Values):
    """A volume that a part keeps something on."""

    size: Quantity = Field(description="Its size.")
    storage_class: ObjectName | None = Field(
        default=None, description="Its StorageClass; the cluster's default if not given."
    )


class Search(Part):
    """The search of the archive, where `global.romanhub.search` has it run."""

    volume: Volume = Field(description="Where its index is kept.")
    index_schedule: str = Field(
        default="17 * * * *",
        min_length=9,
        description="When the index is brought up to date, as for cron, in UTC.",
    )
    index_secret: ObjectName | None = Field(
        default=None,
        description="A Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY that may list and read the "
        "archive, for the index alone; without one, the archive's buckets have to be public.",
    )


class ServiceAccount(Values):
    """How a part is known to the cluster and to the cloud."""

    annotations: dict[str, str] = Field(
        default={}, description="What gives it a cloud role, such as eks.amazonaws.com/role-arn."
    )


class Broker(Part):
    """The broker of short-lived keys: the one part with a role in the cloud."""

    service_account: ServiceAccount = Field(
        default=ServiceAccount(), description="Its account, which carries the cloud role that may assume `role`."
    )


class Portal(Replicated):
    """The pages and the API; they keep what the community publishes."""

    service_account: ServiceAccount = Field(
        default=ServiceAccount(),
        description="Its account, which may carry a cloud role that reads and writes the community's bucket "
        "alone; without one, the key in the Secret romanhub-community does.",
    )


class Proxy(Replicated):
    """The proxy of Dask clusters, which is Traefik."""

    image: Image = Field(description="Traefik's image.")


class Probe(Part):
    """The robot that uses the platform now and then."""

    enabled: bool = Field(default=True, description="Whether it does.")
    schedule: str = Field(default="*/30 * * * *", min_length=9, description="When, as for cron, in UTC.")
    size: str | None = Field(default=None, description="The size that it starts; its tier's default if not given.")
    push_gateway: str | None = Field(
        default=None, pattern=r"^https?://", description="A Prometheus Pushgateway that is told what it found."
    )


class Migrations(Part):
    """The check and the migrations that come before every install and upgrade."""

    deadline_seconds: int = Field(
        default=600, ge=10, le=86_400, description="How long they may take, in seconds, before the install fails."
    )


class PurgeHomes(Values):
    """The volume with people's homes, where all of them are folders on one."""

    claim: ObjectName | None = Field(
        default=None,
        description="A PersistentVolumeClaim that several nodes may mount (ReadWriteMany); without one, no homes.",
    )
    mount_path: str = Field(default="/homes", pattern=r"^/.+", description="Where the purge finds it.")


class PurgeJob(Part):
    """The purge's daily run, where `purge` has its file."""

    schedule: str = Field(default="30 3 * * *", min_length=9, description="When, as for cron, in UTC.")
    suspend: bool = Field(default=False, description="Whether it waits; a run by hand is possible all the same.")
    really: bool = Field(
        default=False, description="Whether it does what is due. Without it, its log says what it would do."
    )
    volume: Volume = Field(description="Where its archives are kept, at /var/lib/romanhub/purge.")
    homes: PurgeHomes = Field(default=PurgeHomes(), description="Where homes are.")
    secret: ObjectName | None = Field(
        default=None,
        description="A Secret whose values become environment variables of the run, such as AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY of who may empty the buckets that the purge's file names.",
    )


class Monitoring(Values):
    """What Prometheus and Grafana are given."""

    rules: bool = Field(
        default=False, description="Make a PrometheusRule and PodMonitors; needs the Prometheus operator."
    )
    dashboards: bool = Field(
        default=False,
        description="Make ConfigMaps with dashboards, with the label that Grafana's sidecar looks for.",
    )
    labels: dict[str, str] = Field(default={}, description="Labels on both, by which an installation finds them.")
    namespaces: list[ObjectName] = Field(
        default=[], description="Namespaces whose pods may read metrics, such as that of Prometheus."
    )


class Network(Values):
    """What pods may reach, where the cluster's network enforces NetworkPolicies."""

    enabled: bool = Field(default=True, description="Whether there are NetworkPolicies.")
    database: list[Cidr] = Field(
        default=["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"],
        description="Where the database is; write its address alone.",
    )
    database_port: int = Field(default=5432, ge=1, le=65535, description="The database's port.")
    api_server: list[Cidr] = Field(
        default=["0.0.0.0/0"],
        description="Where the API server is, for the controller of Dask clusters; write its address alone.",
    )
    storage: list[Cidr] = Field(
        default=[], description="Storage with a private address, which servers, workers and the broker may reach."
    )
    internet: bool = Field(default=True, description="Whether servers and workers reach public addresses.")
    private: list[Cidr] = Field(
        default=[
            "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16",
        ],
        description="What is not the internet: private addresses, and the cloud's metadata address.",
    )  # fmt: skip


class Quota(Values):
    """What the namespace may use in all, whatever the ledger allows. A guard against mistakes and bills."""

    enabled: bool = Field(default=True, description="Whether there is a ResourceQuota for workers.")
    worker_cores: Quantity = Field(default="2000", description="CPU cores of all Dask workers together.")
    worker_memory: Quantity = Field(default="8Ti", description="Memory of all Dask workers together.")
    pods: int = Field(default=5000, ge=10, description="How many pods there may be, of any kind.")


class NodePool(Values):
    """Machines of one kind that the cluster has, or that its autoscaler can add."""

    purpose: Literal["core", "user", "worker", "any"] = Field(
        default="any", description="What runs there: the platform's parts, users' servers, Dask workers."
    )
    cores: float = Field(gt=0, description="CPU cores that pods may have: the node's allocatable ones.")
    memory_gib: float = Field(
        gt=0, description="Memory that pods may have, in GiB: the node's allocatable memory."
    )
    spot: bool = Field(default=False, description="Whether the cloud may take it away.")
    most: int = Field(default=100, ge=1, description="How many of them there can be.")


class GlobalValues(Values):
    """What the charts that this one is made of see, too."""

    romanhub: Settings = Field(description="What every part of the platform is told.")
    safe_to_show_values: bool = Field(default=False, description="Of the chart jupyterhub.")


class ChartValues(Values):
    """All values of the chart romanhub."""

    global_: GlobalValues = Field(alias="global", description="What all parts are told.")
    tiers: str = Field(
        default="", description="The tiers file's text: --set-file tiers=hub_config/tiers.yaml. Needed."
    )
    datasets: str = Field(
        default="",
        description="The text of the file of data sets: --set-file datasets=hub_config/datasets.yaml. Needed.",
    )
    notices: str = Field(default="", description="The text of the file of notices; without it, none are sent.")
    purge: str = Field(default="", description="The text of the purge's file; without it, nothing is purged.")
    image: Image = Field(description="The image of portal, broker, search, runner and probe.")
    image_pull_secrets: list[ObjectName] = Field(
        default=[], description="Secrets with which images of the platform's own parts are pulled."
    )
    nodes: dict[str, NodePool] = Field(
        default={},
        description="The cluster's nodes, by a name of your own. With them, a size of the tiers file that fits on "
        "none fails the install.",
    )
    portal: Portal = Field(default=Portal(), description="The pages and the API.")
    broker: Broker = Field(default=Broker(), description="The broker of short-lived keys.")
    search: Search = Field(description="The search of the archive.")
    watch: Part = Field(default=Part(), description="What stops servers, charges and sweeps. One runs.")
    runner: Part = Field(
        default=Part(), description="What runs notebooks without a person, where there is a community. One runs."
    )
    runs: dict[str, Any] = Field(
        default={},
        description="How often shared notebooks are run, how many at once, for how long and in which images: keys "
        "of romanhub.community.proof.settings.",
    )
    gateway: Replicated = Field(default=Replicated(), description="Dask Gateway's API, under the policy.")
    controller: Part = Field(default=Part(), description="What makes Dask clusters' pods. One runs.")
    dask: dict[str, Any] = Field(
        default={}, description="Where and how Dask clusters run: keys of romanhub.kubernetes.settings."
    )
    dask_proxy: Proxy = Field(description="The proxy of Dask clusters.")
    probe: Probe = Field(default=Probe(), description="The robot that uses the platform now and then.")
    purge_job: PurgeJob = Field(description="The purge's daily run.")
    migrations: Migrations = Field(default=Migrations(), description="What comes before an install or upgrade.")
    monitoring: Monitoring = Field(default=Monitoring(), description="What Prometheus and Grafana are given.")
    network: Network = Field(default=Network(), description="What pods may reach.")
    quota: Quota = Field(default=Quota(), description="What the namespace may use in all.")
    jupyterhub: dict[str, Any] = Field(
        default={}, description="Values of the chart jupyterhub, which checks them."
    )
    dask_gateway: dict[str, Any] = Field(
        default={}, alias="dask-gateway", description="Values of the chart dask-gateway, which checks them."
    )


#: What the settings of Dask have that follows from the rest of the chart.
_FOLLOWS = frozenset(
    {
        "instance", "namespace", "api_url", "api_address", "controller_address", "prefix", "image",
        "image_pull_secrets", "tiers_file", "uid", "same_owner_label", "config_folders", "network_policies",
    }
)  # fmt: skip

#: The form of schema that Helm reads.
_DIALECT = "http://json-schema.org/draft-07/schema#"


def schema() -> dict[str, Any]:
    """The values' JSON schema. Every key may be left out by who installs: the chart's own values.yaml has it."""
    found = ChartValues.model_json_schema(by_alias=True, ref_template="#/definitions/{model}")
    definitions = found.pop("$defs")
    dask = DaskSettings.model_json_schema(ref_template="#/definitions/{model}")
    definitions |= dask["$defs"]
    runs = RunSettings.model_json_schema()["properties"]
    found["properties"]["runs"] |= {"additionalProperties": False, "properties": runs}
    found["properties"]["dask"] |= {
        "additionalProperties": False,
        "properties": {key: said for key, said in dask["properties"].items() if key not in _FOLLOWS},
    }
    return {"$schema": _DIALECT, **found, "definitions": definitions}


def schema_text() -> str:
    """The schema as the chart's file has it."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"
