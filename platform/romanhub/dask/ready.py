"""Starting a cluster's processes as copies of one that has imported Dask already; where it cannot, as ever."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from traitlets import Unicode

from romanhub.dask.folders import WORK, OwnFolders
from romanhub.dask.forks import AT_START, GO, NOT_HERE, ROOM
from romanhub.local.environments import STAMP

#: How long a copy may take to say its number, in seconds, before a process is started instead.
ANSWER = 5.0

#: How long after the gateway's start the process is made, and after its end made again, in seconds: the platform's
#: own parts start first.
PAUSE = 5.0

#: The program, which runs in the notebooks' environment.
PROGRAM = Path(__file__).with_name("forks.py")


@dataclass(frozen=True)
class Request:
    """What a copy is to become and to run."""

    command: list[str]
    environment: dict[str, str]
    folder: str
    uid: int | None
    gid: int
    groups: list[int]


class ReadyProcess:
    """The process that has imported Dask, made again where it ends or its environment is another.

    Parameters
    ----------
    python
        The interpreter of the notebooks' environment.
    environment
        What the process is started with, beside what it always needs. Nothing in it may be secret: every owner's
        processes are copies.
    log
        Where it says what went wrong; the caller's standard error if not given.
    pause
        How long to wait before it is made, in seconds.
    """

    def __init__(
        self, python: Path, environment: Mapping[str, str], *, log: int | None = None, pause: float = PAUSE
    ) -> None:
        self._python = python
        self._environment = {**environment, **AT_START}
        self._log = log
        self._pause = pause
        self._control: socket.socket | None = None
        self._made_from: float | None = None
        #: The process, where there is one.
        self.pid: int | None = None
        #: Set while copies can be asked for.
        self.ready = asyncio.Event()

    async def keep(self) -> None:
        """Have the process there, until cancelled."""
        while True:
            await asyncio.sleep(self._pause)
            await self._one()

    async def start(self, request: Request, output: int) -> int | None:
        """Make a copy that becomes and runs what is requested.

        Parameters
        ----------
        request
            What it is to become and to run.
        output
            The descriptor of its log.

        Returns
        -------
        int or None
            The number of the new process; None where there is none, and nothing of the request has run.
        """
        if self._control is None or not self.ready.is_set() or self._environment_changed():
            return None
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with ours:
            try:
                with theirs:
                    socket.send_fds(self._control, [GO], [theirs.fileno(), output])
                async with asyncio.timeout(ANSWER):
                    return await _agree(ours, request)
            except (OSError, TimeoutError):
                return None

    async def _one(self) -> None:
        """Run one process to its end."""
        self._made_from = self._stamp()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        with ours:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    str(self._python),
                    # The folder of the program is none to import from.
                    "-P",
                    str(PROGRAM),
                    str(theirs.fileno()),
                    " " * ROOM,
                    pass_fds=(theirs.fileno(),),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=self._log,
                    stderr=self._log,
                    env=self._environment,
                    cwd="/",
                    start_new_session=True,
                )
            self.pid = process.pid
            self._control = ours
            try:
                with suppress(OSError):
                    if await asyncio.get_running_loop().sock_recv(ours, 1) == GO[:1]:
                        self.ready.set()
                await process.wait()
            finally:
                self.ready.clear()
                self._control = self.pid = None
                # It ends by itself now; where it does not, nobody waits for it.
                ours.close()
                with suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        await process.wait()

    def _stamp(self) -> float | None:
        """When the environment was made."""
        try:
            return (self._python.parents[1] / STAMP).stat().st_mtime
        except OSError:
            return None

    def _environment_changed(self) -> bool:
        """Whether the environment is another than the process has imported; if so, it is told to end."""
        if self._stamp() == self._made_from:
            return False
        self.ready.clear()
        if self._control is not None:
            self._control.shutdown(socket.SHUT_RDWR)
        return True


async def _agree(connection: socket.socket, request: Request) -> int | None:
    """Tell a copy what it is for, and let it go once its number is known."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connection, json.dumps(asdict(request)).encode() + b"\n")
    answer = b""
    while not answer.endswith(b"\n"):
        part = await loop.sock_recv(connection, 64)
        if not part:
            return None
        answer += part
    number = answer.decode().strip()
    if number == NOT_HERE:
        return None
    await loop.sock_sendall(connection, GO)
    return int(number)


class ReadyStarts(OwnFolders):
    """Starts schedulers and workers as copies of a process that is ready, in the folders that are theirs."""

    ready_python = Unicode(
        config=True,
        help="The interpreter of the notebooks' environment, for a process that has imported Dask already and "
        "that schedulers and workers are copies of. Without it, each imports everything itself.",
    )

    _ready: ReadyProcess | None = None

    def keep_ready(self) -> None:
        """Have the process there from now on, until the gateway ends."""
        if self.ready_python and sys.platform == "linux":
            environment = {name: os.environ[name] for name in self.inherited_environment if name in os.environ}
            # A home that nobody can put anything into, and by which the platform's processes are found.
            environment["HOME"] = str(self.clusters_directory)
            self._ready = ReadyProcess(Path(self.ready_python), environment)
            self.task_pool.spawn(self._ready.keep())

    async def start_process(self, cluster: Any, cmd: list[str], env: dict[str, str], name: str) -> int:
        """Start a scheduler or a worker; returns its number."""
        if self._ready is not None and self._ready.ready.is_set() and self._is_dask(cmd):
            system = self._users.lookup(cluster.username)
            workdir = Path(cluster.state["workdir"])
            request = Request(
                command=cmd,
                environment=env,
                folder=str(workdir / WORK),
                uid=system.uid if system else None,
                gid=system.gid if system else -1,
                groups=os.getgrouplist(system.name, system.gid) if system else [],
            )
            log = Path(self.get_logs_directory(str(workdir))) / f"{name}.log"
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o755)
            try:
                started = time.monotonic()
                pid = await self._ready.start(request, descriptor)
            finally:
                os.close(descriptor)
            if pid is not None:
                return pid
            log.unlink()
            seconds = time.monotonic() - started
            self.log.info("The ready process made no copy for %s in %.1f s; starting one as ever.", name, seconds)
        started_anew: int = await super().start_process(cluster, cmd, env, name)
        return started_anew

    def _is_dask(self, command: list[str]) -> bool:
        """Whether a command is the environment's own `dask scheduler` or `dask worker`."""
        dask = Path(self.ready_python).with_name("dask")
        return len(command) > 1 and Path(command[0]) == dask and command[1] in ("scheduler", "worker")
