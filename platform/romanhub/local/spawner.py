"""Single-user servers as local processes, each as its owner's system user, within their tier."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hubquota.hub.spawner import QuotaSpawnerMixin
from jupyterhub.spawner import LocalProcessSpawner
from traitlets import Unicode

from romanhub.local.processes import birth, is_alive, listens
from romanhub.local.system_users import SystemUsers, become, can_separate

#: How long to wait between two questions whether a new server answers, in seconds.
PAUSE = 0.05


class HomeProcessSpawner(LocalProcessSpawner):  # type: ignore[misc]
    """Starts a user's server on this machine, in their home and as their system user."""

    homes = Unicode(config=True, help="The folder that holds the users' home folders.")

    welcome = Unicode(config=True, help="A folder whose files every new home starts with.")

    #: When the server's process was made.
    _birth: float | None = None

    def _users(self) -> SystemUsers:
        return SystemUsers(Path(self.homes), separate=can_separate())

    async def start(self) -> tuple[str, int]:
        """Make sure that the user has a home, start the server in it, and return once it listens.

        The hub itself asks a new server ever more rarely whether it answers, up to five seconds apart: a
        person would wait for a server that has long been ready, and pay for it.

        Raises
        ------
        RuntimeError
            Where the server ended before it listened; the hub's log says why.
        """
        self._users().ensure(self.user.name, welcome=Path(self.welcome))
        ip, port = await super().start()
        self._birth = birth(self.pid)
        while not await asyncio.to_thread(listens, self.pid, port):
            if await self.poll() is not None:
                raise RuntimeError("The server ended while it started.")
            await asyncio.sleep(PAUSE)
        return ip, port

    async def poll(self) -> int | None:
        """Whether the server runs; after a restart of the hub its number may be another process' by now."""
        if self.proc is None and self.pid and not is_alive(self.pid, self._birth):
            self.clear_state()
            return 0
        status: int | None = await super().poll()
        return status

    def get_state(self) -> dict[str, Any]:
        """What a restarted hub must know of the server."""
        state: dict[str, Any] = super().get_state()
        return state | ({"birth": self._birth} if self.pid else {})

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up what the hub knew of the server before its restart."""
        super().load_state(state)
        self._birth = state.get("birth")

    def make_preexec_fn(self, name: str) -> Callable[[], None]:
        """Run the server as its owner's system user, in their home."""
        users = self._users()
        return become(users.lookup(name), users.home(name))

    def user_env(self, env: dict[str, str]) -> dict[str, str]:
        """The owner's name and home, as any program expects them."""
        users = self._users()
        system = users.lookup(self.user.name)
        home = str(users.home(self.user.name))
        return env | {
            "HOME": home,
            "USER": system.name if system else self.user.name,
            "SHELL": "/bin/bash",
            # What a Dask cluster in a notebook writes is not for a folder that everybody can write.
            "DASK_TEMPORARY_DIRECTORY": f"{home}/.cache/dask",
            # Jupyter's files go into the home, whatever the platform's own settings are.
            "JUPYTER_CONFIG_DIR": f"{home}/.jupyter",
            "JUPYTER_RUNTIME_DIR": f"{home}/.local/share/jupyter/runtime",
        }


class LocalServerSpawner(QuotaSpawnerMixin, HomeProcessSpawner):
    """Starts a user's server on this machine, within their tier.

    One machine cannot hold a server to its cores and memory; the size is what is charged, and what the
    server's own tools show. On Kubernetes the same size is a hard limit.
    """
