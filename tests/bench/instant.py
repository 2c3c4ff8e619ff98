"""What runs inside a hub that is measured, ours or another: it needs JupyterHub alone.

Servers that cost nothing, hooks whose time is noted, and many admissions at one moment.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
import types
from functools import cache
from inspect import isawaitable
from pathlib import Path
from typing import Any

from jupyterhub import __version__, utils
from jupyterhub.apihandlers import APIHandler
from jupyterhub.handlers import default_handlers
from jupyterhub.spawner import Spawner
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

HOST = "127.0.0.1"

#: The configurations of hubs, for those that others are made of: a hub finds only absolute paths.
CONFIGS = Path(__file__).parent / "configs"

#: Where the hub notes how long each decision took, in its folder.
DECISIONS = "decisions.jsonl"

#: What jupyterhub-credit-service's hub touches after each of its minute's passes, in its folder.
PASSED = "passed"

#: Seconds between two looks at the event loop's own clock.
TICK = 0.0005


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


class TimedHook:
    """Put before a spawner whose hook decides: notes how long each decision took, and the hub's CPU meanwhile."""

    #: Whether the hook's time is noted: for starts, and not where many are asked for at one moment.
    noted = True

    async def run_pre_spawn_hook(self) -> None:
        """Decide, and note the seconds, of the clock and of the process's CPU."""
        if not self.noted:
            decided = super().run_pre_spawn_hook()  # type: ignore[misc]
            if isawaitable(decided):
                await decided
            return
        cpu, started = time.process_time(), time.perf_counter()
        try:
            decided = super().run_pre_spawn_hook()  # type: ignore[misc]
            if isawaitable(decided):
                await decided
        finally:
            took = {"seconds": time.perf_counter() - started, "cpu": time.process_time() - cpu}
            with Path(os.environ["ROMANHUB_STATE"], DECISIONS).open("a") as notes:
                notes.write(json.dumps(took) + "\n")


class Admissions(APIHandler):
    """Has the hub decide about many starts at one moment: what it takes, and how long the loop was held."""

    async def get(self) -> None:
        """Ask every user's hook at once; nothing is started."""
        found = [self.user_from_username(name) for name in self.get_query_arguments("user")]
        spawners = [user.spawners[""] for user in found]
        for spawner in spawners:
            spawner.noted = False
        held = [0.0]
        # To watch the loop keeps it busy, so that is done in a burst of its own.
        watched = self.get_query_argument("watch", "") != ""
        watching = asyncio.create_task(_watch_loop(held) if watched else asyncio.sleep(0))
        await asyncio.sleep(10 * TICK)
        held[0], cpu, started = 0.0, time.process_time(), time.perf_counter()
        deciding = []
        for spawner in spawners:
            deciding.append(asyncio.create_task(self._decide(spawner)))
            # As requests come: each has a turn of the loop of its own.
            await asyncio.sleep(0)
        answers = await asyncio.gather(*deciding)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        await asyncio.sleep(10 * TICK)
        watching.cancel()
        for spawner in spawners:
            released = spawner.run_post_stop_hook()
            if isawaitable(released):
                await released
        self.write(json.dumps({"seconds": seconds, "cpu": cpu, "held": held[0], "admitted": sum(answers)}))

    async def _decide(self, spawner: Any) -> bool:
        decided = spawner.run_pre_spawn_hook()
        if isawaitable(decided):
            await decided
        return True


async def _watch_loop(held: list[float]) -> None:
    while True:
        began = time.perf_counter()
        await asyncio.sleep(TICK)
        held[0] = max(held[0], time.perf_counter() - began - TICK)


def serve_admissions() -> None:
    """Have the hub answer under /hub/api/bench/admissions."""
    default_handlers.append((r"/api/bench/admissions", Admissions))
