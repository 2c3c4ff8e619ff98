"""A backend of Dask Gateway under the policy: options, admission, clipping, and what schedulers report.

It is for any backend, whether that runs the clusters itself (`romanhub.dask.backend`) or has it done by a
controller elsewhere (`romanhub.kubernetes.gateway`).
"""

from __future__ import annotations

import json
import math
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from dask_gateway_server.backends.base import Backend, PublicException
from dask_gateway_server.models import User
from dask_gateway_server.options import Options
from dask_gateway_server.routes import api_handler
from hubquota.services.ledger import Ledger
from hubquota.services.tiersfile import TiersFile
from hubquota.storage.engine import make_engine
from traitlets import Enum, Unicode

from romanhub.dask.facts import ClusterFacts, WorkerSize
from romanhub.dask.options import ACCOUNT, GIB, Place, WhereNot, cluster_options
from romanhub.dask.orders import Order
from romanhub.dask.policy import Policy

#: The preload module of schedulers that reports when there was work last.
REPORTER = "romanhub.client.idle"


@dataclass
class _Said:
    """What there is to say to who asked for a scale, beside what the gateway says."""

    text: str = ""


_said: ContextVar[_Said | None] = ContextVar("said", default=None)


@web.middleware
async def say_what_was_clipped(request: web.Request, handler: Any) -> web.StreamResponse:
    """Put into the gateway's answer that a number was clipped, and why. Its client shows that as a warning."""
    said = _Said()
    token = _said.set(said)
    try:
        response: web.StreamResponse = await handler(request)
    finally:
        _said.reset(token)
    if said.text and isinstance(response, web.Response) and response.status == 200:
        response.text = json.dumps({"ok": False, "msg": said.text})
    return response


@api_handler(token_authenticated=True)  # type: ignore[untyped-decorator]
async def take_activity(request: web.Request) -> web.Response:
    """Take a scheduler's word on how long there has been no work in its cluster.

    The owner's code holds the cluster's token and can say anything; all that it gains is that a cluster runs on
    that could as well be kept busy.
    """
    try:
        idle = float((await request.json())["idle_seconds"])
    except (ValueError, TypeError, KeyError):
        raise web.HTTPUnprocessableEntity(reason="idle_seconds is to be a number of seconds.") from None
    if not math.isfinite(idle) or idle < 0:
        raise web.HTTPUnprocessableEntity(reason="idle_seconds is to be a number of seconds.")
    await request.app["backend"].note_activity(request.match_info["cluster_name"], min(idle, 1e9))
    return web.Response()


class ChargedBackend(Backend):  # type: ignore[misc]
    """Admits, limits and charges clusters by the ledger."""

    tiers_file = Unicode(config=True, help="The tiers file.")

    database_url = Unicode(config=True, help="The ledger's database.")

    environment = Unicode(config=True, help="The identity of the workers' environment; none is asked for without.")

    region = Unicode(config=True, help="The region that clusters run in; empty where nobody says.")

    where_not = Enum(
        ["refuse", "warn"],
        "refuse",
        config=True,
        help="What becomes of a cluster whose data is in another region: it is refused, or its owner is warned.",
    )

    async def setup(self, app: web.Application) -> None:
        """Add what the policy needs to the gateway's own web service."""
        app.middlewares.append(say_what_was_clipped)
        app.router.add_post("/api/v1/clusters/{cluster_name}/activity", take_activity)
        self.place = self.get_place()
        tiers = TiersFile(self.tiers_file)
        ledger = Ledger(make_engine(self.database_url), tiers=tiers.current)
        self.policy = Policy(ledger, tiers, self.sizes, place=self.place)
        await super().setup(app)

    def get_place(self) -> Place:
        """Return where clusters run."""
        where_not: WhereNot = self.where_not  # type: ignore[assignment]
        return Place(self.region, where_not)

    # What the backend knows ------------------------------------------------------------------------------

    def facts(self, cluster: str) -> ClusterFacts | None:
        """Return what is known of a cluster that has not been told to end."""
        raise NotImplementedError

    def sizes(self) -> dict[str, WorkerSize]:
        """Return the sizes of the workers of all clusters of which anything is known, by name."""
        raise NotImplementedError

    def workers_of(self, cluster: ClusterFacts) -> int:
        """Return how many workers a cluster has by now or is about to have, without asking the ledger."""
        return len(cluster.workers)

    async def order(self, cluster: str) -> Order | None:
        """Return what was ordered of a cluster; it stays known after the cluster has ended for it."""
        raise NotImplementedError

    async def note_activity(self, cluster: str, idle_seconds: float) -> None:
        """Take for how long there has been no work in a cluster, as its scheduler says."""
        self.policy.note_activity(cluster, idle_seconds)

    # The gateway's own questions -------------------------------------------------------------------------

    async def get_cluster_options(self, user: User) -> Options:
        """What the user may choose by their entitlements on the accounts that they may draw on."""
        return cluster_options(await self.policy.payers(user.name, user.groups), self.place, self.environment)

    async def on_cluster_heartbeat(self, cluster_name: str, msg: dict[str, Any]) -> None:
        """Take what the cluster says of itself, as far as it may say it.

        The owner's code holds the cluster's token and can say anything. A dashboard's address would be served
        on the platform's own address, to everybody and without sign-in, so none is taken. No more workers are
        started than the limits and the balance have room for.
        """
        msg["dashboard_address"] = ""
        cluster = self.facts(cluster_name)
        if cluster is not None and msg["count"] > self.workers_of(cluster):
            msg["count"] = min(msg["count"], await self._most(cluster))
        await super().on_cluster_heartbeat(cluster_name, msg)

    async def _most(self, cluster: ClusterFacts) -> int:
        order = await self.order(cluster.name)
        if order is not None and order.final:
            return 0
        most = (await self.policy.allowed(cluster)).most
        return most if order is None else min(most, order.allowed)

    async def forward_message_to_scheduler(self, cluster: Any, msg: dict[str, Any]) -> None:
        """Pass on what the owner asks of a scheduler, clipped to what would be admitted; say so, and why.

        Raises
        ------
        PublicException
            The cluster was told to end; with the reason.
        """
        facts = self.facts(cluster.name)
        order = await self.order(cluster.name)
        if order is not None and order.final:
            text = f"No more workers can start. {order.reason} {self.policy.tiers.ask}"
            raise PublicException(" ".join(text.split()))
        if facts is not None and msg.get("op") == "scale":
            msg = await self._clipped_scale(facts, msg)
        elif facts is not None and msg.get("op") == "adapt" and msg.get("active", True):
            msg = await self._clipped_adapt(facts, msg)
        await super().forward_message_to_scheduler(cluster, msg)

    async def _clipped_scale(self, cluster: ClusterFacts, msg: dict[str, Any]) -> dict[str, Any]:
        asked = msg.get("count", 0)
        if asked <= self.workers_of(cluster):
            return msg
        allowed = await self.policy.allowed(cluster)
        if asked <= allowed.most:
            return msg
        would = "worker would" if allowed.most == 1 else "workers would"
        fit = f"{allowed.most or 'No'} {would} fit now"
        say(f"{fit}, so the cluster is scaled to {allowed.most} instead of {asked}. {allowed.text}")
        return {**msg, "count": allowed.most}

    async def _clipped_adapt(self, cluster: ClusterFacts, msg: dict[str, Any]) -> dict[str, Any]:
        ceiling = await self.policy.ceiling(cluster)
        lowest, highest = msg.get("minimum") or 0, msg.get("maximum")
        if highest is not None and max(lowest, highest) > ceiling.most:
            say(
                f"The cluster adapts between {min(lowest, ceiling.most)} and {ceiling.most} workers instead of "
                f"{lowest} and {highest}. {ceiling.text}"
            )
        most = ceiling.most if highest is None else min(highest, ceiling.most)
        return {**msg, "minimum": min(lowest, ceiling.most), "maximum": most}

    async def stop_cluster(self, cluster_name: str, failed: bool = False) -> None:
        """Stop a cluster, and note why where no other reason is known."""
        if self.facts(cluster_name) is not None:
            await self.policy.stopping(cluster_name, failed=failed)
        await super().stop_cluster(cluster_name, failed=failed)


def say(text: str) -> None:
    """Have a sentence told to whoever sent the request that is being answered."""
    said = _said.get()
    if said is not None:
        said.text = " ".join(text.split())


def size_of(config: Any) -> WorkerSize:
    """Return what one worker has by a cluster's configuration."""
    return WorkerSize(max(1, math.ceil(config["worker_cores"])), max(1, -(-int(config["worker_memory"]) // GIB)))


def account_of(options: dict[str, Any], owner: str) -> str:
    """Return the account that pays for a cluster, by the options that it was started with."""
    account: str = options.get(ACCOUNT, owner)
    return account
