"""A Dask cluster of the user's that says what it costs, how long that lasts, and why it ended."""

from __future__ import annotations

import asyncio
import os
import time
import weakref
from contextlib import suppress
from contextvars import Context
from html import escape
from typing import Any

from dask_gateway import GatewayCluster
from distributed import Client

from romanhub.client.account import counted, credits_text
from romanhub.client.clusters import ClusterState, read_cluster, time_text
from romanhub.client.connection import Portal
from romanhub.client.errors import ClusterEndedError, RomanHubError
from romanhub.client.gateway import ClosingGateway, in_a_sentence, sentence
from romanhub.client.widget import widget_of

#: How often a cluster's state is asked for while it runs, in seconds.
PERIOD = 15.0

#: What the representation shows may be so old, in seconds.
FRESH = 3.0

#: How long to wait, after a scheduler is gone, for the platform to say why its cluster ended, in seconds.
PATIENCE = 20.0


class RomanHubCluster(GatewayCluster):  # type: ignore[misc]
    """A Dask Gateway cluster that knows its price.

    `scale` and `adapt` take what dask-gateway's own take. What is more than may run is cut down, and said.
    Where the cluster has ended, they raise ClusterEndedError, which says why.
    """

    _state: ClusterState | None = None
    _seen_at = 0.0
    #: What was said last of a change of scale, for where nobody reads what is printed.
    last_said = ""
    _follower: asyncio.Task[None] | None = None

    def _init_internal(self, *args: Any, **kwargs: Any) -> None:
        self._portal = Portal.from_environment()
        self._said: set[str] = set()
        super()._init_internal(*args, **kwargs)

    async def _start_internal(self) -> RomanHubCluster:
        if not self.asynchronous:
            # The cluster has made the client by itself, and closes it twice.
            self.gateway.__class__ = ClosingGateway
        try:
            await super()._start_internal()
        except Exception as error:
            raise in_a_sentence(error) from None
        return self

    async def _start_async(self) -> None:
        await super()._start_async()
        self.dashboard_link = dashboard_link(self.name)
        self._follower = asyncio.ensure_future(_follow(weakref.ref(self)))

    async def _stop_async(self) -> None:
        if self._follower is not None and self._follower is not asyncio.current_task():
            self._follower.cancel()
        await super()._stop_async()

    async def _stop_internal(self, shutdown: bool | None = None) -> None:
        # Nothing is left to shut down of a cluster that has ended.
        await super()._stop_internal(shutdown=False if self.why_ended() else shutdown)

    # What it costs ---------------------------------------------------------------------------------------

    def state(self) -> ClusterState | None:
        """Return the cluster's state, asked for anew where that was not done just now; None if it is not known."""
        if self.name is not None and not self.asynchronous and time.monotonic() - self._seen_at > FRESH:
            self._take(self._ask_portal())
        return self._state

    def why_ended(self) -> str | None:
        """Return why the cluster ended, as far as is known; None while it runs."""
        if self._state is None or not self._state.ended:
            return None
        return f"This Dask cluster has ended. {self._state.reason or 'Nobody noted why.'}"

    def check(self) -> None:
        """Raise ClusterEndedError where the cluster is known to have ended."""
        if (why := self.why_ended()) is not None:
            raise ClusterEndedError(why)

    def _check_stays(self) -> None:
        """Raise ClusterEndedError where the cluster has ended or is being stopped: its size is settled."""
        self.check()
        if self._state is not None and self._state.reason:
            raise ClusterEndedError(f"This Dask cluster is being stopped. {self._state.reason}")

    def _ask_portal(self) -> ClusterState | None:
        with suppress(RomanHubError):
            return read_cluster(self._portal, self.name)
        return None

    async def _look(self) -> ClusterState | None:
        self._take(await asyncio.to_thread(self._ask_portal))
        return self._state

    def _take(self, state: ClusterState | None) -> None:
        """Note a newer state; print warnings and the end's reason, each once, and show the rest in the widget."""
        if state is None:
            return
        self._state, self._seen_at = state, time.monotonic()
        ended = [why] if (why := self.why_ended()) and self.status not in ("closing", "closed") else []
        for line in (*state.warnings, *ended):
            if line not in self._said:
                self._said.add(line)
                if self.asynchronous:
                    continue
                # Below the cell that runs now or ran last; else it would go below the one that made the cluster.
                Context().run(print, f"Dask cluster: {line}", flush=True)
        if (widget := getattr(self, "_cost_widget", None)) is not None:
            widget.value = self._cost_html()

    async def _until_ended(self) -> str | None:
        """Wait for the platform to say why the cluster ended; None where it goes on, or nobody says."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            await self._look()
            if (why := self.why_ended()) is not None:
                return why
            await asyncio.sleep(1)
        return None

    # Changes of scale ------------------------------------------------------------------------------------

    def scale(self, n: int, **kwargs: Any) -> Any:
        """Scale the cluster to `n` workers, or to as many as may run."""
        return self.gateway.sync(self._scale, n, **kwargs)

    def adapt(
        self, minimum: int | None = None, maximum: int | None = None, active: bool = True, **kwargs: Any
    ) -> Any:
        """Have workers come and go with the work, between two numbers."""
        asked = self.gateway.sync(self._adapt, minimum, maximum, active, **kwargs)
        return Adapting(minimum or 0, maximum, asked) if self.asynchronous else asked

    async def _scale(self, n: int) -> None:
        await self._ask("scale", {"count": await self._within(n)})

    async def _adapt(self, minimum: int | None, maximum: int | None, active: bool) -> None:
        highest = maximum if maximum is None else await self._within(maximum)
        lowest = minimum if minimum is None or highest is None else min(minimum, highest)
        await self._ask("adapt", {"minimum": lowest, "maximum": highest, "active": active})

    async def _within(self, asked: int) -> int:
        """Return the number asked for, or the limit where that is smaller; say so."""
        self.check()
        state = await self._look()
        self._check_stays()
        if state is None or not isinstance(asked, int):
            return asked
        allowed = min(asked, state.limit)
        self.last_said = ""
        if allowed < asked:
            self._say(
                f"The limit of {state.account} is {counted(state.limit, 'worker')} at once, so the cluster gets "
                f"{allowed} instead of {asked}."
            )
        elif allowed > state.most:
            self._say(f"Of {asked} workers, {state.most} fit now; others follow when there is room for them.")
        return allowed

    def _say(self, line: str) -> None:
        self.last_said = line
        if not self.asynchronous:
            print(line)  # noqa: T201  -- a notebook's user reads it

    async def _ask(self, what: str, asked: dict[str, Any]) -> None:
        """Ask the gateway for a change of scale."""
        url = f"{self.gateway.address}/api/v1/clusters/{self.name}/{what}"
        try:
            answer = await self.gateway._request("POST", url, json=asked)
            said = (await answer.json()).get("msg")
        except Exception as error:
            await self._look()
            self._check_stays()
            raise in_a_sentence(error) from None
        if said:
            self._say(sentence(said))

    # What people see -------------------------------------------------------------------------------------

    def get_client(self, set_as_default: bool = True) -> ClusterClient:
        """Return a client of the cluster.

        :raises ClusterEndedError: where the cluster has ended.
        """
        self.state()
        self.check()
        client = ClusterClient(
            self,
            security=self.security,
            set_as_default=set_as_default,
            asynchronous=self.asynchronous,
            loop=self.loop,
        )
        if not self.asynchronous:
            self._clients.add(client)
        return client

    def __repr__(self) -> str:
        lines = state.lines() if (state := self.state()) is not None else [f"The cluster is {self.status}."]
        return "\n".join([f"Dask cluster {self.name}", *(f"  {line}" for line in lines)])

    def _repr_html_(self) -> str:
        return f"<p><strong>Dask cluster</strong> {self.name}</p>{self._cost_html()}{self._link_html()}"

    def headline(self) -> str:
        """Return what its owner should know first, in a line: why it ended, a warning, or else what it costs."""
        state = self._state
        if state is None:
            return f"Dask cluster, {self.status}"
        costs = f"{credits_text(state.price)} credits/h, {state.cost_text} so far"
        return self.why_ended() or next(iter(state.warnings[-1:]), "") or self.last_said or costs

    def lasts(self) -> str:
        """Return how long what pays for it lasts; empty where nothing is used up, or that is not known."""
        left = None if self._state is None else self._state.seconds_left
        return "" if left is None else time_text(left)

    def _cost_html(self) -> str:
        state = self._state
        lines = [f"The cluster is {self.status}."] if state is None else state.lines()
        return "".join(f"<p>{escape(line)}</p>" for line in lines)

    def _link_html(self) -> str:
        if self.dashboard_link is None:
            return ""
        return f'<p><a href="{escape(self.dashboard_link, quote=True)}" target="_blank">Dashboard</a></p>'

    def _widget(self) -> Any:
        if self.asynchronous:
            return None
        if not hasattr(self, "_cached_widget"):
            self._cached_widget = widget_of(self)
        return self._cached_widget

    def _ipython_display_(self, **kwargs: Any) -> None:
        from IPython.display import display

        self.state()
        widget = self._widget()
        # The text is for what shows no widgets, such as a notebook that is read elsewhere.
        data = {} if widget is None else dict(widget._repr_mimebundle_())
        display(data | {"text/plain": repr(self), "text/html": self._repr_html_()}, raw=True, **kwargs)


class Adapting:
    """What the panel of Lab keeps of an adaptive cluster; awaited, it is there once the gateway was asked."""

    def __init__(self, minimum: int, maximum: int | None, asked: Any) -> None:
        self.minimum, self.maximum = minimum, maximum
        self._asked = asyncio.ensure_future(asked)

    def __await__(self) -> Any:
        yield from self._asked.__await__()
        return self


class ClusterClient(Client):  # type: ignore[misc]
    """A client that says why its cluster ended, rather than that a connection was lost."""

    def _graph_to_futures(self, *args: Any, **kwargs: Any) -> Any:
        if isinstance(self.cluster, RomanHubCluster):
            self.cluster.check()
        return super()._graph_to_futures(*args, **kwargs)

    async def _reconnect(self) -> None:
        """Where the scheduler is gone because the cluster ended, end what waits for it with the reason."""
        cluster = self.cluster
        why = await cluster._until_ended() if isinstance(cluster, RomanHubCluster) else None
        if why is None:
            await super()._reconnect()
            return
        self.scheduler_comm = None
        for waiting in self.futures.values():
            waiting.cancel(reason="cluster-ended", msg=why)
        self.futures.clear()
        await self._close()


def dashboard_link(name: str) -> str | None:
    """Return the path of a cluster's dashboard, behind the owner's server; None outside a server."""
    prefix = os.environ.get("JUPYTERHUB_SERVICE_PREFIX")
    return f"{prefix.rstrip('/')}/dask/dashboard/{name}/status" if prefix else None


async def _follow(reference: weakref.ref[RomanHubCluster]) -> None:
    """Look at a cluster from time to time, until it has ended or nobody holds it any more."""
    while True:
        cluster = reference()
        if cluster is None or cluster.status in ("closing", "closed"):
            return
        state = await cluster._look()
        del cluster
        if state is not None and state.ended:
            return
        await asyncio.sleep(PERIOD)
