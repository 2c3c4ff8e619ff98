"""Start the platform's parts, keep them running, and end everything that they started."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from romanhub.local.environments import SetupError

#: How long a part may take to answer, in seconds. Generous: a busy machine is slow, not broken.
START_LIMIT = 120.0

#: How long a part may take to end before it is killed, in seconds. The hub first ends every server.
STOP_LIMIT = 30.0

#: A part that dies so often within the window (in seconds) is given up, and the platform ends.
RESTARTS, RESTART_WINDOW = 5, 60.0

#: How often the ends of orphans are noted, in seconds.
REAP_PERIOD = 1.0

#: How often to look for what is left at the end, at most.
LOOKS = 20

#: Linux's prctl options (linux/prctl.h).
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Part:
    """One process of the platform.

    Parameters
    ----------
    name
        What the part is called on screen, and its log's name.
    command
        The command line. No secret may stand in it: every user of the machine can read it.
    environment
        What its environment has beside the platform's own.
    ready
        The address that answers once the part is ready; None where it serves nobody.
    patience
        How long the part may take to end before it is killed, in seconds.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    ready: str | None = None
    patience: float = STOP_LIMIT


class PartFailedError(SetupError):
    """A part did not start or will not stay up; the text names its log."""


class Supervisor:
    """Runs the parts of one platform.

    Parameters
    ----------
    logs
        The folder of the parts' logs.
    lock
        An open file whose lock every part shares: it is free again only once the last part has ended.
    say
        Called with a line for a person when something happens to a part.
    """

    def __init__(self, logs: Path, lock: int, say: Callable[[str], None]) -> None:
        self._logs = logs
        self._lock = lock
        self._say = say
        self._running: dict[str, tuple[Part, asyncio.subprocess.Process]] = {}
        self._deaths: dict[str, list[float]] = {}
        self._guards: list[asyncio.Task[None]] = []
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        _become_subreaper()
        self._reaper = asyncio.create_task(self._reap())

    async def start(self, part: Part) -> None:
        """Start a part, and return once it answers.

        Raises
        ------
        PartFailedError
            Where it ends or does not answer in time.
        """
        await self._launch(part)
        self._guards.append(asyncio.create_task(self._guard(part)))

    async def wait(self) -> None:
        """Return only by an exception: `PartFailedError` once a part has been given up."""
        await self._failed

    async def stop(self, order: Sequence[str]) -> None:
        """End the parts in the order given, and then whatever they left behind."""
        for task in (*self._guards, self._reaper):
            task.cancel()
        await asyncio.gather(*self._guards, self._reaper, return_exceptions=True)
        for name in order:
            if name in self._running:
                await _end(*self._running[name])
        await asyncio.to_thread(_end_descendants)

    async def _reap(self) -> None:
        """Take note of the ends of processes whose parent was killed.

        They become this process's children. Until it has taken note, an ended one still has its number, and
        the hub and the gateway would take it for running.
        """
        me = psutil.Process()
        while True:
            parts = {process.pid for _, process in self._running.values()}
            for child in me.children():
                with contextlib.suppress(psutil.NoSuchProcess, ChildProcessError):
                    if child.pid not in parts and child.status() == psutil.STATUS_ZOMBIE:
                        os.waitpid(child.pid, os.WNOHANG)
            await asyncio.sleep(REAP_PERIOD)

    async def _launch(self, part: Part) -> None:
        log = self._logs / f"{part.name}.log"
        try:
            with log.open("ab") as output:
                process = await asyncio.create_subprocess_exec(
                    *part.command,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env={**os.environ, **part.environment},
                    cwd=self._logs,
                    # A session of its own: Ctrl-C in the terminal reaches this process alone, which ends the
                    # parts in order.
                    start_new_session=True,
                    preexec_fn=_end_with_parent,
                    pass_fds=(self._lock,),
                )
        except FileNotFoundError:
            raise PartFailedError(
                f"The {part.name} cannot start: {part.command[0]} is not there. Install the platform again "
                "(make clean, then make run), or its package with the extra `hub`."
            ) from None
        self._running[part.name] = (part, process)
        await self._answers(part, process, log)

    async def _answers(self, part: Part, process: asyncio.subprocess.Process, log: Path) -> None:
        if part.ready is None:
            return
        deadline = time.monotonic() + START_LIMIT
        async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
            while time.monotonic() < deadline:
                if process.returncode is not None:
                    raise PartFailedError(f"The {part.name} ended while it started. {_last_words(log)}")
                try:
                    if (await client.get(part.ready)).status_code < 500:
                        return
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.1)
        raise PartFailedError(f"The {part.name} does not answer after {START_LIMIT:.0f} s. {_last_words(log)}")

    async def _guard(self, part: Part) -> None:
        """Start a part that died again, unless it dies too often."""
        while True:
            _, process = self._running[part.name]
            code = await process.wait()
            now = time.monotonic()
            deaths = [then for then in self._deaths.get(part.name, []) if now - then < RESTART_WINDOW]
            self._deaths[part.name] = [*deaths, now]
            how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            if len(deaths) >= RESTARTS:
                words = _last_words(self._logs / f"{part.name}.log")
                if not self._failed.done():
                    self._failed.set_exception(PartFailedError(f"The {part.name} keeps ending ({how}). {words}"))
                return
            self._say(f"The {part.name} ended ({how}); starting it again.")
            try:
                await self._launch(part)
                self._say(f"The {part.name} is back.")
            except PartFailedError as error:
                self._say(str(error))


def _last_words(log: Path) -> str:
    """The end of a part's log, for a person who must find out what is wrong."""
    lines = log.read_text(errors="replace").strip().splitlines()[-5:]
    return f"The end of {log}:\n" + "\n".join(f"    {line}" for line in lines)


def _end_with_parent() -> None:
    """Have a part told to end when the supervisor dies, however it dies (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _become_subreaper() -> None:
    """Take in the orphans: a server whose hub was killed is still this process's to end (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


async def _end(part: Part, process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), part.patience)
    except TimeoutError:
        process.kill()
        await process.wait()


def _end_descendants() -> None:
    """End every process that any part started and that is still there.

    What loses its parent meanwhile comes to this process, and so is found by another look: the first one misses
    what a process had started that ended while it looked.
    """
    me = psutil.Process()
    for _ in range(LOOKS):
        left = me.children(recursive=True)
        if not left:
            return
        for process in left:
            _signal(process, signal.SIGTERM)
        _, stubborn = psutil.wait_procs(left, timeout=5)
        for process in stubborn:
            _signal(process, signal.SIGKILL)
        psutil.wait_procs(stubborn, timeout=5)


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)
