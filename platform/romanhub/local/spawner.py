"""Single-user servers as local processes, each as its owner's system user, within their tier."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hubquota.hub.refusal import refusal_error
from hubquota.hub.spawner import QuotaSpawnerMixin
from hubquota.hub.spawner_base import finished
from hubquota.models.ledger import Refused
from jupyterhub.spawner import LocalProcessSpawner
from traitlets import Dict, Unicode

from romanhub.client.environment import FILE
from romanhub.local.processes import birth, is_alive, listens
from romanhub.local.system_users import SystemUsers, become, can_separate
from romanhub.services.namedservers import refuse_other_names

#: The option that names the image.
IMAGE = "image"

#: The options that everybody's start may have.
OPTIONS = QuotaSpawnerMixin.quota_options

#: How long to wait between two questions whether a new server answers, in seconds.
PAUSE = 0.05


class HomeProcessSpawner(LocalProcessSpawner):  # type: ignore[misc]
    """Starts a user's server on this machine, in their home and as their system user."""

    homes = Unicode(config=True, help="The folder that holds the users' home folders.")

    welcome = Unicode(config=True, help="A folder whose files every new home starts with.")

    fresh_for = Unicode(
        config=True,
        help="The account each of whose named servers has a home of its own: it is new at the server's start, it "
        "belongs to a system user of its own, and both go when the server has ended.",
    )

    images = Dict(
        config=True,
        help="The environments that servers of that account may start in, by name: the folder of each.",
    )

    #: When the server's process was made.
    _birth: float | None = None

    @property
    def is_fresh(self) -> bool:
        """Whether the server has a home of its own."""
        return bool(self.name) and self.user.name == self.fresh_for

    @property
    def _owner(self) -> str:
        """Whose home and system user the server has. No user's name has a slash."""
        return f"{self.user.name}/{self.name}" if self.is_fresh else str(self.user.name)

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
        users = self._users()
        users.ensure(self.user.name, welcome=Path(self.welcome))
        if self.is_fresh:
            await asyncio.to_thread(users.discard, self._owner)
            users.ensure(self._owner, welcome=Path(self.welcome))
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

    async def run_post_stop_hook(self) -> None:
        """Remove the home that was for this server alone, then run the hook that the configuration may have."""
        if self.is_fresh:
            await asyncio.to_thread(self._users().discard, self._owner)
        await finished(super().run_post_stop_hook())

    def get_env(self) -> dict[str, str]:
        """The server's environment variables, which name the image that it starts in."""
        env: dict[str, str] = super().get_env()
        return (
            env if (image := self._image()) is None else env | _in_image(image, str(self.user_options[IMAGE]), env)
        )

    def _image(self) -> Path | None:
        """The folder of the image that the server was asked for with; None for the one that everybody has.

        Raises
        ------
        Refused
            There is none of that name, or it is not installed.
        """
        name = (self.user_options or {}).get(IMAGE)
        if name is None or not self.is_fresh:
            return None
        folder = Path(self.images.get(str(name), ""))
        if str(name) not in self.images or not (folder / FILE).is_file():
            raise refusal_error(
                Refused(
                    limit="option",
                    message=f"There is no image '{str(name)[:80]}' on this machine; `romanhub community rehearse "
                    f"--image NAME` installs one of: {', '.join(self.images) or 'none'}.",
                )
            )
        return folder

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
        return become(users.lookup(self._owner), users.home(self._owner))

    def user_env(self, env: dict[str, str]) -> dict[str, str]:
        """The owner's name and home, as any program expects them."""
        users = self._users()
        system = users.lookup(self._owner)
        home = str(users.home(self._owner))
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

    async def run_pre_spawn_hook(self) -> None:
        """Refuse a server with a name that is no run's, and an image that is not there; then ask the ledger."""
        refuse_other_names(self.name)
        # Which image it is, nobody chooses for their own server.
        self.quota_options = OPTIONS | {IMAGE} if self.is_fresh else OPTIONS
        if (image := self._image()) is not None:
            self.cmd = [str(image / "bin" / "jupyterhub-singleuser")]
        await super().run_pre_spawn_hook()


def _in_image(folder: Path, name: str, env: dict[str, str]) -> dict[str, str]:
    """What a server's environment variables say otherwise where it starts in another image."""
    identity = (folder / FILE).read_text()
    search = env["PATH"].split(":")
    return {
        "JUPYTER_IMAGE_SPEC": name,
        "PATH": ":".join([str(folder / "bin"), *search[1:]]),
        "ROMANHUB_ENVIRONMENT": identity,
        "DASK_GATEWAY__CLUSTER__OPTIONS__ENVIRONMENT": identity,
    }
