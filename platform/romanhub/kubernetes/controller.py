"""The gateway's controller on Kubernetes, under the policy: `python -m romanhub.kubernetes.controller -f CONFIG`.

It makes the pods, so it is where workers are admitted, begun and ended, and where what has to stop is stopped.
What it knows it finds again after a restart, in the ledger and in the pods' own records. There is one of it at a
time; where two overlap for a moment, the ledger admits nothing twice.
"""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from collections.abc import Coroutine, Mapping
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any

import aiohttp
from aiohttp import web
from dask_gateway_server.backends.kubernetes.controller import ClusterInfo, KubeController
from dask_gateway_server.backends.kubernetes.utils import k8s_timestamp
from hubquota.models.ledger import Lease
from hubquota.services.ledger import Ledger
from hubquota.services.tiersfile import TiersFile
from hubquota.storage.engine import make_engine
from kubernetes_asyncio.client import NetworkingV1Api
from kubernetes_asyncio.client.rest import ApiException
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from romanhub.dask.charged import REPORTER
from romanhub.dask.payers import NOT_STARTED
from romanhub.dask.policy import Policy
from romanhub.dask.rounds import PERIOD, Rounds
from romanhub.dask.tokens import VARIABLE, ClusterTokens
from romanhub.kubernetes import secrets
from romanhub.kubernetes.apart import policy_of
from romanhub.kubernetes.clerk import Clerk
from romanhub.kubernetes.engine import OVER, PodEngine, facts_of, is_active, name_of
from romanhub.kubernetes.gateway import ACTIVE_AT, GROUP, PLURAL
from romanhub.kubernetes.lives import KEY, LEASE, Life, life_of
from romanhub.kubernetes.metrics import ClusterCollector, ClusterMetrics
from romanhub.kubernetes.retries import Retries
from romanhub.kubernetes.settings import DaskSettings, Secrets
from romanhub.kubernetes.shape import shaped

#: How many pods' begins and ends are noted at the same time.
CLERKS = 4

#: How long a scheduler may take to take a message, in seconds.
ANSWER = aiohttp.ClientTimeout(total=10)

#: The leases of the pods that are being made.
_leases: ContextVar[deque[Lease] | None] = ContextVar("leases", default=None)


class ChargedController(KubeController):  # type: ignore[misc]
    """Makes the pods of clusters as far as the ledger admits them, and charges for their own times."""

    name = "romanhub-dask-controller"
    description = "Start the controller of Dask clusters."

    async def setup(self) -> None:
        """Take up what runs since before this controller started."""
        self.settings, given = DaskSettings.load(), Secrets.from_environment()
        tiers = TiersFile(self.settings.tiers_file)
        ledger = Ledger(make_engine(given.database_url.get_secret_value()), tiers=tiers.current)
        self.engine = PodEngine(
            self._objects, self, lambda task: self.task_pool.spawn(task), self._announce_stopping
        )
        self.policy = Policy(ledger, tiers, self.engine.sizes)
        self.rounds = Rounds(self.policy, self.engine)
        self.clerk = Clerk(self.policy, self.engine.why, self.engine.asked, self.engine.remove)
        self.engine.ends, self.engine.ordered = self.clerk.noting, self.rounds.enforcer.order
        self.retries = Retries()
        self.registry = CollectorRegistry()
        collector = ClusterCollector(self._objects, self.engine.everything, lambda: len(self.clerk.noting()))
        self.metrics = ClusterMetrics(self.registry, collector)
        self.tokens = ClusterTokens.from_environment()
        self._work: list[asyncio.Task[None]] = []
        self.session = aiohttp.ClientSession(timeout=ANSWER)
        self.app.router.add_get("/api/health", self._health)
        self.app.router.add_get("/metrics", self._metrics)
        # Returns when all there is has been heard of, so nothing is taken for gone that is only not known yet.
        await super().setup()
        work = (self.rounds.run(), self._look_again(), *(self.clerk.run() for _ in range(CLERKS)))
        self._work = [self.task_pool.spawn(task) for task in work]

    async def cleanup(self) -> None:
        """End; what runs goes on."""
        await super().cleanup()
        if hasattr(self, "session"):
            await self.session.close()

    async def _health(self, _request: web.Request) -> web.Response:
        """Say whether all that this does again and again is being done."""
        well = all(not task.done() for task in (*self._work, *self.reconcilers))
        return web.json_response({"status": "pass" if well else "fail"}, status=200 if well else 503)

    async def _metrics(self, _request: web.Request) -> web.Response:
        """Tell Prometheus what there is to count."""
        return web.Response(body=generate_latest(self.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    def _objects(self) -> Mapping[str, Mapping[str, Any]]:
        found: Mapping[str, Mapping[str, Any]] = self.informers["cluster"].cache
        return found

    async def _announce_stopping(self, cluster: str, failed: bool) -> None:
        await self.policy.stopping(cluster, failed=failed)

    async def _look_again(self) -> None:
        """Look at every cluster from time to time: there may be room by now for workers that it lacks."""
        while True:
            await asyncio.sleep(PERIOD)
            for name, cluster in list(self._objects().items()):
                if is_active(cluster):
                    self.queue.put(name)
            for life in [*self.engine.lost(), *self.engine.unpaid(self.clerk.has_closed)]:
                # A scheduler that is lost is the cluster; it is stopped where its lease is compared.
                self.engine.remove(life)
            patience = timedelta(seconds=self.settings.unscheduled_seconds)
            for life in self.engine.overdue(self.policy.now(), patience):
                if life.worker:
                    self.engine.remove(life)
                else:
                    self.task_pool.spawn(self.engine.stop_cluster(life.cluster, failed=True))

    # What is heard ---------------------------------------------------------------------------------------

    def on_pod_update(self, pod: dict[str, Any], old: dict[str, Any] | None = None) -> None:
        """Take a pod that is new or has changed."""
        life = life_of(pod)
        if life is not None:
            self._take(life)
            if life.worker and life.waits and not pod["status"].get("containerStatuses"):
                # Upstream passes over what no node has taken yet: after a restart it would make it twice.
                self.cluster_info[life.cluster].on_worker_pending(life.pod)
        super().on_pod_update(pod, old)

    def on_pod_delete(self, pod: dict[str, Any]) -> None:
        """Take that a pod is gone."""
        life = life_of(pod, gone=True, now=self.policy.now())
        if life is not None:
            self._take(life, gone=True)
        super().on_pod_delete(pod)

    def _take(self, life: Life, *, gone: bool = False) -> None:
        before = next((one for one in self.engine.pods(life.cluster) if one.pod == life.pod), None)
        self.engine.take(life, gone=gone)
        self.clerk.take(life, gone=gone)
        if before is None or (before.runs, before.end is None) != (life.runs, life.end is None):
            self.rounds.changed()
            if life.end is not None and (before is None or before.end is None):
                self.metrics.ended(life)
            if life.worker and life.end is not None and life.end.own and life.began and life.ended:
                self.retries.ended(life.cluster, life.began, life.ended)

    def on_cluster_update(self, cluster: dict[str, Any], old: dict[str, Any] | None = None) -> None:
        """Take a cluster that is new or has changed, with when there was work in it last."""
        if said := (cluster["metadata"].get("annotations") or {}).get(ACTIVE_AT):
            idle = (self.policy.now() - datetime.fromisoformat(said)).total_seconds()
            self.policy.note_activity(name_of(cluster), max(0.0, idle))
        super().on_cluster_update(cluster, old)

    def on_cluster_delete(self, cluster: dict[str, Any]) -> None:
        """Take that a cluster's record is gone."""
        self.retries.forget(name_of(cluster))
        self.rounds.changed()
        super().on_cluster_delete(cluster)

    # Clusters --------------------------------------------------------------------------------------------

    async def handle_cluster(self, cluster: dict[str, Any]) -> tuple[dict[str, Any] | None, bool]:
        """Bring a cluster forward. What nobody has admitted is not started."""
        name, before = name_of(cluster), cluster.get("status") or {}
        new = before.get("phase", "Pending") == "Pending" and not before.get("schedulerPod")
        if new and is_active(cluster) and not await self.policy.is_admitted(name):
            self.log.warning("The cluster %s was not admitted, so it is not started", name)
            return {**before, "phase": "Failed", "completionTime": k8s_timestamp()}, False
        status, requeue = await super().handle_cluster(cluster)
        if status is not None and status.get("phase") in OVER:
            scheduler = self.engine.scheduler(name)
            if scheduler is None or (scheduler.end is not None and scheduler.key not in self.clerk.noting()):
                # No pod's end is going to close its lease: it never had one, or not one that was seen.
                await self.policy.cluster_ended(name, None, failed=is_active(cluster))
        return status, requeue

    async def handle_scale_up(
        self, cluster: dict[str, Any], sched_pod: dict[str, Any], info: ClusterInfo, replicas: int, delta: int
    ) -> bool:
        """Admit the workers that a cluster lacks as one batch, and make pods for those that are admitted."""
        name = name_of(cluster)
        leases: list[Lease] = []
        if not self.rounds.enforcer.ending(name) and self.retries.may_start(name, self.policy.now()):
            facts = facts_of(cluster, tuple(self.engine.keys(name)))
            leases = await self.policy.admit_workers(facts, delta, self.engine.keys(name))
        if not leases:
            return await self.handle_scale_down(cluster, sched_pod, info, replicas, 0)
        for lease in leases:
            self.engine.make(lease.key, name)
        left = deque(leases)
        token = _leases.set(left)
        try:
            failed: bool = await super().handle_scale_up(cluster, sched_pod, info, replicas, len(leases))
            return failed
        finally:
            _leases.reset(token)
            for lease in left:
                await self._let_go(lease)

    async def handle_scale_down(
        self, cluster: dict[str, Any], sched_pod: dict[str, Any], info: ClusterInfo, replicas: int, delta: int
    ) -> bool:
        """Delete the pods of workers that are not needed any more and have not begun."""
        # Upstream takes so many from a list's beginning, for which a number below zero is one too many or few.
        failed: bool = await super().handle_scale_down(cluster, sched_pod, info, replicas, abs(delta))
        return failed

    async def create_pod(self, namespace: str, pod: dict[str, Any], info: ClusterInfo | None = None) -> Any:
        """Make a worker's pod, which carries its lease."""
        left = _leases.get()
        if not left:
            raise RuntimeError("a worker is made only for a lease")
        lease, own = left.popleft(), copy.deepcopy(pod)
        own["metadata"]["annotations"] |= {LEASE: str(lease.id), KEY: lease.key}
        try:
            return await super().create_pod(namespace, own, info)
        except BaseException:
            left.append(lease)
            raise

    async def _let_go(self, lease: Lease) -> None:
        self.engine.unmake(lease.key)
        await self.policy.ended(lease.id, None, NOT_STARTED)

    # What pods are ---------------------------------------------------------------------------------------

    def make_pod(self, namespace: str, cluster_name: str, config: Any, is_worker: bool = False) -> dict[str, Any]:
        """Return a pod of a cluster."""
        pod = super().make_pod(namespace, cluster_name, config, is_worker=is_worker)
        return shaped(pod, self._objects()[f"{namespace}.{cluster_name}"], self.settings, worker=is_worker)

    def get_scheduler_command(self, namespace: str, cluster_name: str, config: Any) -> list[str]:
        """Return the scheduler's command line, with the module that reports when there was work last."""
        command: list[str] = super().get_scheduler_command(namespace, cluster_name, config)
        return [*command, "--preload", REPORTER]

    def get_env(self, namespace: str, cluster_name: str, config: Any) -> list[dict[str, Any]]:
        """Return the environment of schedulers and workers, with the cluster's token for the broker."""
        found: list[dict[str, Any]] = super().get_env(namespace, cluster_name, config)
        place = {"name": self.make_secret_name(cluster_name), "key": secrets.TOKEN, "optional": True}
        return [*found, {"name": VARIABLE, "valueFrom": {"secretKeyRef": place}}]

    async def create_secret_if_not_exists(self, cluster: dict[str, Any]) -> str:
        """Make a cluster's credentials, and a token of its owner's for the broker with them."""
        meta, made = cluster["metadata"], None
        name: str = await super().create_secret_if_not_exists(cluster)
        # Before it has a pod.
        await self._keep_apart(cluster)
        if self.tokens is None:
            return name
        secret = await self.core_client.read_namespaced_secret(name, meta["namespace"])
        if secrets.token_in(secret.data) is None:
            made = await self.tokens.make(cluster["spec"]["username"], name_of(cluster))
        if made is not None:
            await self.core_client.patch_namespaced_secret(name, meta["namespace"], secrets.with_token(made))
        return name

    async def _keep_apart(self, cluster: dict[str, Any]) -> None:
        """Make the rule by which the network keeps a cluster to itself, where there are such rules."""
        if not self.settings.network_policies:
            return
        meta = cluster["metadata"]
        rule = policy_of(cluster, self.get_labels(meta["name"]))
        # The client takes plain dictionaries, too; its types do not say so.
        api: Any = NetworkingV1Api(self.api_client)
        try:
            await api.create_namespaced_network_policy(meta["namespace"], rule)
        except ApiException as error:
            if error.status != 409:
                raise

    async def cleanup_cluster_resources(self, status: dict[str, Any], namespace: str) -> None:
        """Remove what a cluster had, and have the hub forget its token."""
        name = status.get("credentials")
        if self.tokens is not None and name:
            try:
                secret = await self.core_client.read_namespaced_secret(name, namespace)
            except ApiException as error:
                if error.status != 404:
                    raise
            else:
                token = secrets.token_in(secret.data)
                if token is not None:
                    await self.tokens.take_back(token)
        await super().cleanup_cluster_resources(status, namespace)

    async def create_ingressroute_if_not_exists(self, cluster: dict[str, Any], sched_pod: dict[str, Any]) -> str:
        """Make no way in to a dashboard: on the gateway's own address everybody could open it."""
        return ""

    # Acts ------------------------------------------------------------------------------------------------

    async def tell_scheduler(self, cluster: str, address: str, message: Mapping[str, Any]) -> None:
        """Send a message to a cluster's scheduler."""
        namespace, _, name = cluster.partition(".")
        secret = await self.core_client.read_namespaced_secret(self.make_secret_name(name), namespace)
        headers = {"Authorization": f"token {secrets.api_token_in(secret.data)}"}
        url = f"http://{address}:8788/api/comm"
        async with self.session.post(url, json=dict(message), headers=headers) as answer:
            answer.raise_for_status()

    async def remove_pod(self, cluster: str, pod: str, *, now: bool) -> None:
        """Delete a pod; at once where its machine does not answer."""
        options = {"grace_period_seconds": 0} if now else {}
        namespace = cluster.partition(".")[0]
        delete = self.core_client.delete_namespaced_pod(pod, namespace, **options)
        await self._gently(delete, f"delete the pod {pod}")

    async def deactivate(self, cluster: str) -> None:
        """Have a cluster shut down."""
        namespace, _, name = cluster.partition(".")
        await self._gently(
            self.custom_client.patch_namespaced_custom_object(
                GROUP,
                self.crd_version,
                namespace,
                PLURAL,
                name,
                [{"op": "add", "path": "/spec/active", "value": False}],
            ),
            f"stop the cluster {cluster}",
        )

    async def _gently(self, act: Coroutine[Any, Any, Any], what: str) -> None:
        """Do something that is done again at the next look where it fails."""
        try:
            await act
        except ApiException as error:
            if error.status != 404:
                self.log.warning("Could not %s: %s %s", what, error.status, error.reason)


main = ChargedController.launch_instance

if __name__ == "__main__":
    main()
