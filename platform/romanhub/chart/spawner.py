"""Users' servers as pods: within their tier, with a home of its size and their teams' folders.

The server of a run, which has a name, has its owner's home, too; what the robot runs has a new home each time.
"""

from __future__ import annotations

import re
from typing import Any

from hubquota.hub.desk import desk_for
from hubquota.hub.kubernetes import QuotaKubeSpawner
from hubquota.services.tiersfile import tiers_file
from kubernetes_asyncio.client import ApiException
from traitlets import Dict, Unicode

from romanhub.kubernetes.labels import label_of
from romanhub.services.namedservers import refuse_other_names

#: The option that names the image that a run is started in.
IMAGE = "image"

#: The options that everybody's start may have.
OPTIONS = QuotaKubeSpawner.quota_options

#: The name of the volume with the folders that teams share, and what the names of its mounts begin with.
SHARED = "shared"

#: What Kubernetes' units of bytes stand for.
_UNITS = {
    "": 1,
    **{f"{unit}i": 1024**power for power, unit in enumerate("KMGTPE", 1)},
    **{unit: 1000**power for power, unit in enumerate("kMGTPE", 1)},
}


class RomanServerSpawner(QuotaKubeSpawner):
    """Starts a user's server as a pod."""

    # KubeSpawner's own, which has no types.
    image: Any
    container_security_context: Any
    storage_capacity: Any
    storage_pvc_ensure: Any
    pod_affinity_required: Any
    pvc_name: Any
    volumes: Any
    volume_mounts: Any

    fresh_for = Unicode(
        config=True,
        help="The account each of whose named servers has a home of its own: it is new at the server's start, and "
        "goes with its pod.",
    )

    shared_claim = Unicode(config=True, help="The claim of the volume that teams share; empty for none.")

    shared_path = Unicode("/home/shared", config=True, help="Where their folders are in a server.")

    shared_groups = Unicode("^survey-", config=True, help="Which groups have a folder, as a regular expression.")

    restricted = Dict(
        {
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        config=True,
        help="What a container needs to meet the restricted Pod Security Standard, beside what KubeSpawner sets.",
    )

    @property
    def is_fresh(self) -> bool:
        """Whether the server has a home of its own."""
        return bool(self.name) and self.user.name == self.fresh_for

    async def run_pre_spawn_hook(self) -> None:
        """Refuse a name that is no run's, and ask the ledger; then see to the server's home and folders."""
        refuse_other_names(self.name)
        # Which image it is, nobody chooses for their own server. For the robot's the runner does, which knows what
        # an entry may name; whoever may start a server of the robot's, is trusted with that.
        self.quota_options = OPTIONS | {IMAGE} if self.is_fresh else OPTIONS
        if named := self._named_image():
            self.image = named
        await super().run_pre_spawn_hook()
        self.container_security_context = {**self.container_security_context, **self.restricted}
        gib = await self._home_gib()
        if self.is_fresh:
            self._make_fresh(gib)
            return
        if self.name:
            # KubeSpawner would give it a volume of its own. What its owner's server remembers is their home.
            self.pvc_name = self.user.spawners[""].pvc_name
        self._stay_with_home()
        if gib is not None:
            self.storage_capacity = f"{gib}Gi"
            await self._grow_home()
        self._share()

    def get_env(self) -> dict[str, str]:
        """The server's environment variables, which name the image that it is started in."""
        env: dict[str, str] = super().get_env()
        return env | told_of(named) if (named := self._named_image()) else env

    def _named_image(self) -> str:
        """The image that the server was asked for with; empty for the one that everybody has."""
        return str((self.user_options or {}).get(IMAGE, "")) if self.is_fresh else ""

    async def delete_forever(self) -> None:
        """Remove the home of a person who was deleted. The end of a run's server takes nobody's home."""
        if not self.name:
            await super().delete_forever()

    def _make_fresh(self, gib: int | None) -> None:
        """Have the server's home be a folder of its pod, as large as its tier's homes."""
        self.storage_pvc_ensure = False
        homes = [
            name
            for name, one in _named(self.volumes).items()
            if one.get("persistentVolumeClaim", {}).get("claimName") in ("{pvc_name}", self.pvc_name)
        ]
        empty = {"emptyDir": {} if gib is None else {"sizeLimit": f"{gib}Gi"}}
        self.volumes = {
            name: {"name": one["name"], **empty} if name in homes else one
            for name, one in _named(self.volumes).items()
        }

    def _stay_with_home(self) -> None:
        """Have a run and its owner's server share a node: most kinds of volume are mounted on one at a time."""
        mine = {"hub.jupyter.org/username": label_of(self.user.name), "component": self.component_label}
        term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": mine}}
        others = [one for one in self.pod_affinity_required if one != term]
        shares = self.name or any(one.active for name, one in self.user.spawners.items() if name)
        one_node = "ReadWriteMany" not in self.storage_access_modes
        # Where there is no such pod yet, Kubernetes takes one that meets its own condition anywhere.
        self.pod_affinity_required = [*others, term] if shares and one_node else others

    async def _home_gib(self) -> int | None:
        """How large a home its owner's own account has, in GiB; None where the ledger does not say."""
        tiers, name = tiers_file(self.quota_tiers_file).current(), self.user.name
        desk = desk_for(self.quota_database_url, self.quota_deadline, self.quota_tiers_file)
        try:
            found = await desk.ask(lambda ledger: ledger.entitlement(tiers, name))
        except Exception:
            self.log.warning("The size of the home of %s could not be read.", name, exc_info=True)
            return None
        return found.tier.storage.home_gib

    async def _grow_home(self) -> None:
        """Make a home larger that was made for a smaller tier. None is ever made smaller: files would be lost."""
        try:
            claim = await self.api.read_namespaced_persistent_volume_claim(self.pvc_name, self.namespace)
        except ApiException as error:
            if error.status != 404:
                raise
            return  # it is about to be made
        if bytes_of(claim.spec.resources.requests["storage"]) >= bytes_of(self.storage_capacity):
            return
        larger = {"spec": {"resources": {"requests": {"storage": self.storage_capacity}}}}
        try:
            await self.api.patch_namespaced_persistent_volume_claim(self.pvc_name, self.namespace, larger)
        except ApiException as error:
            # The StorageClass may not allow it. A server with the smaller home is better than none.
            self.log.warning("The home %s stays as large as it was: %s", self.pvc_name, error.reason)

    def _share(self) -> None:
        if not self.shared_claim:
            return
        teams = sorted(group.name for group in self.user.groups if re.search(self.shared_groups, group.name))
        mounts = {
            f"{SHARED}-{team}": {"name": SHARED, "mountPath": f"{self.shared_path}/{team}", "subPath": team}
            for team in teams
        }
        self.volume_mounts = {
            **{name: one for name, one in _named(self.volume_mounts).items() if not name.startswith(f"{SHARED}-")},
            **mounts,
        }
        volumes = {name: one for name, one in _named(self.volumes).items() if name != SHARED}
        if teams:
            volumes[SHARED] = {"name": SHARED, "persistentVolumeClaim": {"claimName": self.shared_claim}}
        self.volumes = volumes


def told_of(image: str) -> dict[str, str]:
    """The variables by which a server knows its image: its digest, or its name where the name has none.

    Dask workers are of the same image as the notebook; what any client of the gateway sends proves it.
    """
    identity = image.partition("@")[2] or image
    return {"ROMANHUB_ENVIRONMENT": identity, "DASK_GATEWAY__CLUSTER__OPTIONS__ENVIRONMENT": identity}


def bytes_of(quantity: str) -> int:
    """How many bytes an amount is that Kubernetes writes, such as 10Gi.

    Raises
    ------
    ValueError
        It is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([A-Za-z]*)", quantity)
    if found is None or found[2] not in _UNITS:
        raise ValueError(f"{quantity} is no amount of bytes")
    return int(float(found[1]) * _UNITS[found[2]])


def _named(things: Any) -> dict[str, Any]:
    """Volumes or mounts by name, whether they were configured as a mapping or as a list."""
    if isinstance(things, dict):
        return dict(things)
    return {f"{at}-{one['name']}": one for at, one in enumerate(things)}
