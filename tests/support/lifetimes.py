"""When the workers' processes of a platform began and ended, as the system says and nobody else."""

from __future__ import annotations

import contextlib
import os
import selectors
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType

import psutil

#: How often new processes are looked for, in seconds. When one began does not depend on it.
LOOK = 0.1


@dataclass
class Life:
    """A worker's process: when it was made and when it ended, in seconds since 1970; None while it runs."""

    process: psutil.Process
    cluster: str
    began: float
    ended: float | None = None

    def kill(self) -> None:
        """Kill the process and all that it has started, at once."""
        family = [self.process, *self.process.children(recursive=True)]
        for one in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()


class Lifetimes:
    """Notes the workers among the descendants of a process, while it is entered as a context.

    Parameters
    ----------
    pid
        The platform's first process, which orphans come back to.
    """

    def __init__(self, pid: int) -> None:
        self._first = psutil.Process(pid)
        self._lives: dict[int, Life] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def all(self) -> list[Life]:
        """Every worker so far, in the order of their beginnings."""
        return sorted(self._lives.values(), key=lambda life: life.began)

    @property
    def running(self) -> list[Life]:
        """The workers that run now."""
        return [life for life in self.all if life.ended is None]

    def __enter__(self) -> Lifetimes:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        with selectors.DefaultSelector() as ends:
            next_look = 0.0
            while not self._over.is_set():
                if time.monotonic() >= next_look:
                    self._find(ends)
                    next_look = time.monotonic() + LOOK
                for key, _ in ends.select(LOOK):
                    key.data.ended = time.time()
                    ends.unregister(key.fd)
                    os.close(key.fd)

    def _find(self, ends: selectors.BaseSelector) -> None:
        for process in self._first.children(recursive=True):
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                if process.pid in self._lives and self._lives[process.pid].process == process:
                    continue
                # A worker's child has its parent's command line until it has become what it is to be.
                if process.ppid() not in self._lives and _is_worker(process.cmdline()):
                    # It works in a folder of its cluster's.
                    cluster = Path(process.cwd()).parent.name
                    descriptor = os.pidfd_open(process.pid)
                    self._lives[process.pid] = life = Life(process, cluster, process.create_time())
                    ends.register(descriptor, selectors.EVENT_READ, life)


def _is_worker(command: Sequence[str]) -> bool:
    """Whether a command line is `dask worker`, whatever runs it."""
    return any(program.endswith("/dask") and word == "worker" for program, word in pairwise(command))
