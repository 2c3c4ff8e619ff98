"""A process that has imported Dask and waits: each scheduler and worker of a cluster is a copy of it.

Most of a cluster's start is the import of the same modules, three times over. This program imports them once. For
each request it makes a copy of itself (fork), which takes on the owner's identity and environment and then runs
Dask's own command. It is started by the gateway with the interpreter of the notebooks' environment, by its path,
and so uses that environment and the standard library alone.

What keeps one owner's process apart from the others is that this one never learns anything: it has run nobody's
code, has no thread and no event loop when it forks, and a request is read by the copy that it is for. Requests
come over a pair of connected sockets, which nobody else can reach. When the gateway's end closes, it ends; the
copies go on.
"""

from __future__ import annotations

import copy
import ctypes
import gc
import importlib
import importlib.metadata
import json
import os
import select
import signal
import socket
import sys
import time
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

#: With what environment this process has to be started: what a nanny sets before it starts a worker's process, and
#: what only counts when an interpreter starts (the defaults of `distributed.nanny.pre-spawn-environ`).
AT_START = {
    "MALLOC_TRIM_THRESHOLD_": "65536",
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONHASHSEED": "6640",
}

#: What Dask reads of its configuration while it is imported, and never again.
AT_IMPORT = (
    "distributed.admin",
    "distributed.comm.offload",
    "distributed.comm.shard",
    "distributed.logging",
    "logging",
    "logging-file-config",
)

#: How many characters of a copy's command line `ps` can show: as many as this process's own has, by an argument
#: that says nothing.
ROOM = 2000

#: What the gateway says once it has noted the copy's number; without it, the copy ends before it has run anything.
GO = b"go"

#: The answer of a copy that has to be started as a process of its own instead.
NOT_HERE = "0"

#: Linux's prctl option (linux/prctl.h).
_PR_SET_DUMPABLE = 4


def main() -> None:
    """Import, serve, and in a copy run what it was made for."""
    _import()
    job = _serve(socket.socket(fileno=int(sys.argv[1])))
    _seed()
    job.run()


def _import() -> None:
    import dask.cli

    for command in importlib.metadata.entry_points(group="dask_cli"):
        if command.name in ("scheduler", "worker"):
            dask.cli.cli.add_command(command.load(), command.name)
    for module in ("dask_gateway.scheduler_preload", "tornado.simple_httpclient"):
        importlib.import_module(module)
    gc.collect()
    # What is there now stays; a collection in a copy need not write to it, and so to memory that they share.
    gc.freeze()


def _serve(control: socket.socket) -> _Job:
    """Make copies until the gateway has gone; returns in a copy alone."""
    noted, note = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(note)
    poll = select.poll()
    for descriptor in (noted, control.fileno()):
        poll.register(descriptor, select.POLLIN)
    control.send(GO)
    while True:
        ready = {descriptor for descriptor, _ in poll.poll()}
        if noted in ready:
            os.read(noted, 4096)
            _reap()
        if control.fileno() not in ready:
            continue
        message, descriptors, _, _ = socket.recv_fds(control, 1, 2)
        if not message:
            os._exit(0)
        if os.fork():
            for descriptor in descriptors:
                os.close(descriptor)
            continue
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        control.detach()
        try:
            return _Job(*descriptors)
        except BaseException:
            # It has run nothing yet: the gateway sees that there is no answer, and starts a process instead.
            sys.excepthook(*sys.exc_info())
            os._exit(1)


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


class _Job:
    """What a copy was made for.

    Parameters
    ----------
    connection
        The descriptor of the copy's own connection with the gateway.
    output
        The descriptor of the log.
    """

    def __init__(self, connection: int, output: int) -> None:
        os.setsid()
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.closerange(3, connection)
        os.closerange(connection + 1, os.sysconf("SC_OPEN_MAX"))
        with socket.socket(fileno=connection) as gateway, gateway.makefile("rb") as reader:
            request = json.loads(reader.readline())
            self._command: list[str] = request["command"]
            _become(request["uid"], request["gid"], request["groups"], request["folder"])
            environment: dict[str, str] = request["environment"]
            #: What this process was started with: what counts only then has to be the same.
            self._started = {name: os.environ.get(name) for name in AT_START}
            answer = os.getpid() if _take_on(environment) else NOT_HERE
            gateway.sendall(f"{answer}\n".encode())
            if reader.read(len(GO)) != GO:
                os._exit(0)

    def run(self) -> None:
        """Run the command, as if it had been started by itself; never returns."""
        import dask.cli

        _show(self._command)
        sys.argv = self._command
        # What a worker starts must not find this file in the place of a program.
        self._file = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        if self._command[1] == "worker":
            self._keep_fresh()
        dask.cli.cli.main(args=self._command[1:], prog_name="dask")

    def _keep_fresh(self) -> None:
        """Have the nanny make the worker's process, and each one after it, from a copy of this one as it is now.

        Python's own server for forks would be started as a new interpreter that imports everything again.
        """
        import dask.config
        import distributed.utils
        from distributed.nanny import _get_env_variables

        before = _get_env_variables("distributed.nanny.pre-spawn-environ")
        if any(self._started.get(name, value) != value for name, value in before.items()):
            # Somebody asked for what only an interpreter's start can give.
            return
        from multiprocessing import forkserver, resource_tracker, util

        shown = f"python (worker {self._command[self._command.index('--name') + 1]})"

        def fork(path: bytes, args: Sequence[Any], passfds: Sequence[int]) -> int:
            pid = os.fork()
            if pid:
                return pid
            try:
                os.environ.update(before)
                _close_all_but(passfds)
                _show([shown])
                exec(args[-1], {})  # noqa: S102  -- what the new interpreter would have been told to run
            except SystemExit:
                os._exit(0)
            except BaseException:
                sys.excepthook(*sys.exc_info())
            os._exit(1)

        real, util.spawnv_passfds = util.spawnv_passfds, fork
        try:
            resource_tracker.ensure_running()
            util.register_after_fork(_fresh[0], _seed_once)
            forkserver.set_forkserver_preload([])
            forkserver.ensure_running()
        finally:
            util.spawnv_passfds = real
        # Or the nanny would import all that a worker may use before it starts one.
        distributed.utils._forkserver_preload_set = True
        dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"})


def _become(uid: int | None, gid: int, groups: Sequence[int], folder: str) -> None:
    """Take the owner's identity on, and enter the folder."""
    if uid is not None:
        os.setgid(gid)
        os.setgroups(groups)
        os.setuid(uid)
        # As after the start of a program: the process is its owner's to look at.
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 1)
    os.chdir(folder)


def _take_on(environment: Mapping[str, str]) -> bool:
    """Use an environment as if the process had been started with it; returns whether that could be done.

    It cannot where Dask's configuration, which the owner's home may have a part of, has another value for what
    counts only while modules are imported.
    """
    import dask.config

    before = _imported_with()
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    dask.config.paths[:] = dask.config._get_paths()
    dask.config.refresh()
    return _imported_with() == before


def _imported_with() -> list[object]:
    import dask.config

    return [copy.deepcopy(dask.config.get(key, None)) for key in AT_IMPORT]


def _seed() -> None:
    """Begin numpy's random numbers anew, as in a new process; Python's own begin anew by themselves.

    Every worker would have the same ones otherwise: numpy keeps where it is when a process forks.
    """
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()


class _Mark:
    """What Python's register of things to do after a fork is kept by."""


#: Holds the mark until a worker's process has its own random numbers: what its owner forks is left alone.
_fresh = [_Mark()]


def _seed_once(_mark: _Mark) -> None:
    _fresh.clear()
    _seed()


def _close_all_but(descriptors: Sequence[int]) -> None:
    first = 3
    for descriptor in sorted(descriptors):
        os.closerange(first, descriptor)
        first = descriptor + 1
    os.closerange(first, os.sysconf("SC_OPEN_MAX"))


def _show(command: Sequence[str]) -> None:
    """Have `ps` show a command in the place of this program's, over the memory of its arguments."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    # The 48th and 49th of all (proc_pid_stat(5)), the first two of which stand before.
    start, end = int(fields[45]), int(fields[46])
    if end - start < ROOM:
        return
    text = " ".join(command).encode()[: ROOM - 1]
    # A last byte that is none is how Linux tells that a program has put something else there.
    ctypes.memmove(start, text.ljust(end - start - 1, b"\0") + b".", end - start)


if __name__ == "__main__":
    main()
