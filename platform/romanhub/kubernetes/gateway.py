"""The gateway's API server on Kubernetes, under the policy.

It decides about what people ask for: it admits a cluster before it makes the DaskCluster object, and clips what
is asked of a scheduler. The pods are the controller's (`romanhub.kubernetes.controller`); the two share the ledger
and the objects, and nothing else, so there may be several of this one.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from aiohttp import web
from dask_gateway_server.backends.base import PublicException
from dask_gateway_server.backends.kubernetes import KubeBackend
from dask_gateway_server.models import User
from kubernetes_asyncio.client.rest import ApiException

from romanhub.dask.charged import ChargedBackend, account_of, size_of
from romanhub.dask.facts import ClusterFacts, WorkerSize
from romanhub.dask.options import REGION, Place
from romanhub.dask.orders import Order
from romanhub.kubernetes.engine import facts_of, is_active
from romanhub.kubernetes.settings import DaskSettings
from romanhub.kubernetes.shape import labels_of, notes_of

#: The annotation of a DaskCluster in which the controller reads when there was work in it last.
ACTIVE_AT = "romanhub/active-at"

#: While there is work in a cluster, that is written so often; at its end at once.
BUSY = timedelta(minutes=2)

#: How far two reports on the same moment may be from each other.
_SAME = timedelta(seconds=5)

GROUP, PLURAL = "gateway.dask.org", "daskclusters"


class KubeClusterBackend(ChargedBackend, KubeBackend):  # type: ignore[misc]
    """Admits clusters and clips what is asked of them; a controller runs them."""

    async def setup(self, app: web.Application) -> None:
        """Begin to know the clusters."""
        self.dask_settings = DaskSettings.load()
        #: What was written last of the clusters that this server was told of.
        self._active_at: dict[str, datetime] = {}
        await super().setup(app)

    def get_place(self) -> Place:
        """Return where clusters run: there are nodes in several regions, perhaps."""
        settings = self.dask_settings
        return Place(settings.region, settings.where_not, frozenset(settings.regions))

    # What is known ---------------------------------------------------------------------------------------

    def facts(self, cluster: str) -> ClusterFacts | None:
        """Return what is known of a cluster that has not been told to end; its workers are the controller's."""
        found = self.informer.get(cluster)
        return facts_of(found) if found is not None and is_active(found) else None

    def sizes(self) -> dict[str, WorkerSize]:
        """Return the sizes of the workers of all clusters of which anything is known, by name."""
        return {name: size_of(cluster.config) for name, cluster in list(self.clusters.items())}

    def workers_of(self, cluster: ClusterFacts) -> int:
        """Return how many workers the controller was told to run."""
        found = self.informer.get(cluster.name)
        return 0 if found is None else int(found["spec"].get("replicas", 0))

    async def order(self, cluster: str) -> Order | None:
        """Return that a cluster is to end and why, as the controller has announced it in the ledger."""
        reason = await self.policy.told(cluster)
        return Order(cluster, 0, reason, final=True) if reason else None

    # Acts ------------------------------------------------------------------------------------------------

    async def start_cluster(self, user: User, cluster_options: dict[str, Any]) -> str:
        """Admit a cluster, then have it made.

        Raises
        ------
        PublicException
            A refusal in one line: the limit or the balance, what would fit, and how to ask for more.
        """
        options, config = await self.process_cluster_options(user, cluster_options)
        made = self.make_cluster_object(user.name, options, config)
        name = f"{config.namespace}.{made['metadata']['name']}"
        account = account_of(options, user.name)
        cluster = ClusterFacts(name, user.name, account, size_of(config.to_dict()))
        await self.policy.admit_cluster(cluster, options.get(REGION, ""))
        try:
            tier = await self.policy.tier_of(cluster)
            meta, settings = made["metadata"], self.dask_settings
            meta["labels"] = {**meta["labels"], **labels_of(settings, user.name, account, tier)}
            meta["annotations"] = {**meta["annotations"], **notes_of(settings, user.name, account)}
            await self.custom_client.create_namespaced_custom_object(
                GROUP, self.crd_version, config.namespace, PLURAL, made
            )
        except BaseException as error:
            # What was made in spite of this is not admitted any more, and the controller ends it.
            await self.policy.cluster_ended(name, None, failed=True)
            if not isinstance(error, ApiException):
                raise
            self.log.warning("The cluster %s of %s was not made: %s", name, user.name, error)
            raise PublicException(
                "Kubernetes did not take the cluster, so nothing was started. Try again in a minute; if it "
                "happens again, please tell the platform's operators."
            ) from None
        self.log.info("Created cluster %s for user %s", name, user.name)
        return name

    async def stop_cluster(self, cluster_name: str, failed: bool = False) -> None:
        """Stop a cluster; of one whose object is gone there is nothing to stop."""
        try:
            await super().stop_cluster(cluster_name, failed=failed)
        except ApiException as error:
            if error.status != 404:
                raise

    async def note_activity(self, cluster: str, idle_seconds: float) -> None:
        """Write down for the controller when there was work in a cluster last.

        An object that changes is work for all of Kubernetes, so while there is work it is written now and then
        only; when the work ends it is written at once, and a cluster is never taken for idle earlier than it was.
        """
        at = self.policy.now() - timedelta(seconds=idle_seconds)
        last = self._active_at.get(cluster)
        if last is not None and at - last < (_SAME if idle_seconds > 1 else BUSY):
            return
        namespace, _, name = cluster.partition(".")
        path = "/metadata/annotations/" + ACTIVE_AT.replace("/", "~1")
        try:
            await self.custom_client.patch_namespaced_custom_object(
                GROUP,
                self.crd_version,
                namespace,
                PLURAL,
                name,
                [{"op": "add", "path": path, "value": at.isoformat(timespec="seconds")}],
            )
        except ApiException as error:
            if error.status != 404:
                raise
        self._active_at = {one: when for one, when in self._active_at.items() if one in self.clusters}
        self._active_at[cluster] = at
