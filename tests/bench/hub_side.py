"""What runs inside the hubs that are measured: servers that cost nothing, and steady looks at those that start."""

from __future__ import annotations

import types
from functools import cache

from hubquota.hub.spawner import QuotaSpawnerMixin
from jupyterhub import __version__, utils
from jupyterhub.spawner import Spawner
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

HOST = "127.0.0.1"


def look_every(seconds: str | None) -> None:
    """Have the hub look at a starting server every so many seconds; None leaves upstream's way.

    Upstream waits a random time before each look, up to 5 s and more from one to the next, so that two starts
    of the same server differ by a second or more, by luck. This takes the luck out, on both sides alike.
    """
    if seconds is not None:
        steady = float(seconds)

        def uniform(low: float, high: float) -> float:
            # Asked for a wait between nothing and a limit, and once for when to give up, which is left alone.
            return steady if low == 0 else high

        utils.random = types.SimpleNamespace(uniform=uniform)


class _Ready(RequestHandler):
    def get(self) -> None:
        self.set_header("X-JupyterHub-Version", __version__)
        self.finish("ready")


@cache
def _server() -> int:
    """The port of the one stand-in that answers for every user's server, in the hub's own process."""
    (listening,) = bind_sockets(0, HOST)
    HTTPServer(Application([(r".*", _Ready)])).add_sockets([listening])
    return int(listening.getsockname()[1])


class InstantSpawner(Spawner):
    """A stand-in: a server that is there at once, so that what is measured is the hub's own work."""

    _runs = False

    async def start(self) -> tuple[str, int]:
        """Start nothing."""
        self._runs = True
        return HOST, _server()

    async def stop(self, now: bool = False) -> None:
        """Stop nothing."""
        self._runs = False

    async def poll(self) -> int | None:
        """Say what `start` and `stop` left."""
        return None if self._runs else 0


class InstantQuotaSpawner(QuotaSpawnerMixin, InstantSpawner):
    """The same behind our form and our ledger."""
