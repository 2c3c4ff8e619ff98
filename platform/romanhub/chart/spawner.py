"""Users' servers as pods: within their tier, with a home of its size and their teams' folders."""

from __future__ import annotations

import re
from typing import Any

from hubquota.hub.desk import desk_for
from hubquota.hub.kubernetes import QuotaKubeSpawner
from hubquota.services.tiersfile import tiers_file
from kubernetes_asyncio.client import ApiException
from kubernetes_asyncio.utils.quantity import parse_quantity
from traitlets import Dict, Unicode

#: The name of the volume with the folders that teams share, and what the names of its mounts begin with.
SHARED = "shared"


class RomanServerSpawner(QuotaKubeSpawner):
    """Starts a user's server as a pod."""

    # KubeSpawner's own, which has no types.
    container_security_context: Any
    storage_capacity: Any
    volumes: Any
    volume_mounts: Any

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

    async def run_pre_spawn_hook(self) -> None:
        """Ask the ledger; then give the server its owner's home and their teams' folders."""
        await super().run_pre_spawn_hook()
        self.container_security_context = {**self.container_security_context, **self.restricted}
        gib = await self._home_gib()
        if gib is not None:
            self.storage_capacity = f"{gib}Gi"
            await self._grow_home()
        self._share()

    async def _home_gib(self) -> int | None:
        """How large a home its owner's own account has, in GiB; None where the ledger does not say."""
        tiers, name = tiers_file(self.quota_tiers_file).current(), self.user.name
        desk = desk_for(self.quota_database_url, self.quota_deadline)
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
        if parse_quantity(claim.spec.resources.requests["storage"]) >= parse_quantity(self.storage_capacity):
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


def _named(things: Any) -> dict[str, Any]:
    """Volumes or mounts by name, whether they were configured as a mapping or as a list."""
    if isinstance(things, dict):
        return dict(things)
    return {f"{at}-{one['name']}": one for at, one in enumerate(things)}
