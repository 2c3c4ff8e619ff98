"""Hubs to measure: ours as `romanhub up` prepares it, and a plain JupyterHub of the same version beside it.

Both have a folder of their own on disk, a proxy of the same kind as a process of its own, and run from the hub
environment. The plain hub has upstream's defaults, but for its addresses.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import psutil
from hubquota.storage.engine import make_engine
from hubquota.storage.migrate import migrate
from romanhub.local import parts, ports, secrets
from romanhub.local.layout import State
from romanhub.local.ports import HOST
from romanhub.local.settings import Settings

from tests.support.platform import shared_environments
from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = Path(__file__).parent / "configs"

#: The configurations that are measured as they are.
OURS = ROOT / "hub_config" / "jupyterhub_config.py"
PLAIN = CONFIGS / "plain.py"

#: How long anything may take, in seconds, before the benchmark is given up.
PATIENCE = 120.0

#: How often a process that starts is asked whether it answers, in seconds: what a start's figure is good to.
LOOK = 0.01

Figure = TypeVar("Figure")


class Hub:
    """A hub with its proxy, to be entered as a context; nothing of it is left afterwards.

    Parameters
    ----------
    config
        The hub's configuration.
    variables
        What the hub's environment has beside what every hub here has.
    program
        The `jupyterhub` that runs it; our hub environment's if not given.
    """

    def __init__(
        self, config: Path, variables: Mapping[str, str] | None = None, *, program: Path | None = None
    ) -> None:
        self._config = config
        self._program = str(program or hub_program("jupyterhub"))
        self.variables = dict(variables or {})
        self._things = contextlib.ExitStack()
        self._hub: Process | None = None

    @property
    def url(self) -> str:
        """Where people sign in, without a trailing slash."""
        return self.settings.url

    def __enter__(self) -> Hub:
        # On disk, and where other system users may enter: as root, servers run as users of their own.
        self.folder = Path(tempfile.mkdtemp(prefix="romanhub-bench-", dir="/var/tmp"))
        self._things.callback(shutil.rmtree, self.folder, ignore_errors=True)
        try:
            # What `romanhub up` makes ready before it starts a hub. A plain hub makes no use of it.
            make_environments()
            state = State(self.folder)
            state.make()
            chosen = ports.choose(state.private / "ports.json", free_port())
            self.settings = Settings(state, chosen, secrets.make(state.private / "secrets.json"))
            self._things.callback(self.settings.users.remove_all)
            self._things.callback(self.stop)
            migrate(make_engine(self.settings.ledger_url))
            for port in (self.settings.ports.portal, self.settings.ports.gateway_web):
                self._things.enter_context(_answering(port))
            proxy = parts.proxy(self.settings)
            running = Process(proxy.name, proxy.command, {**os.environ, **proxy.environment}, self.folder)
            self._things.callback(running.end)
            # Without its token it refuses, and so shows that it is there.
            running.wait_for(str(proxy.ready), status=403)
        except BaseException:
            self._things.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._things.close()

    def start(self) -> float:
        """Start the hub; returns the seconds from its process's start until its API answers."""
        environment = {
            **os.environ,
            "ROMANHUB_STATE": str(self.folder),
            "BENCH_PUBLIC_PORT": str(self.settings.ports.public),
            "BENCH_PROXY_PORT": str(self.settings.ports.proxy_api),
            "BENCH_HUB_PORT": str(self.settings.ports.hub),
            "BENCH_SERVER": str(self.settings.roman.bin / "jupyterhub-singleuser"),
            "CONFIGPROXY_AUTH_TOKEN": self.settings.secrets.proxy,
            **self.variables,
        }
        # The platform's own way into the checkout is in its environment; a path here would be seen by servers.
        if "PYTHONPATH" not in self.variables:
            environment.pop("PYTHONPATH", None)
        started = time.perf_counter()
        command = [self._program, "--config", str(self._config)]
        self._hub = Process("hub", command, environment, self.folder)
        self._hub.wait_for(f"{self.settings.hub_api}/")
        seconds = time.perf_counter() - started
        # Beyond the figure: until the proxy knows the hub, nobody can sign in.
        self._hub.wait_for(f"{self.url}/hub/login")
        return seconds

    def stop(self) -> None:
        """End the hub and the servers that it started; the proxy stays."""
        if self._hub is not None:
            self._hub.end()
            self._hub = None


def alternate(
    ours: Callable[[], Figure], theirs: Callable[[], Figure], times: int
) -> tuple[list[Figure], list[Figure]]:
    """Measure one after the other, again and again: what slows the machine for a while slows both.

    Returns
    -------
    tuple of two lists
        Our figures and theirs, `times` of each.
    """
    pairs = [(ours(), theirs()) for _ in range(times)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def hub_program(name: str) -> str:
    return str(Path(shared_environments()) / "hub" / "bin" / name)


@cache
def make_environments() -> None:
    """Bring the proxy's and the servers' environments up to date, from the hub's as the platform does."""
    subprocess.run([hub_program("python"), "-m", "tests.bench.environments"], cwd=ROOT, check=True)


class Process:
    """A command with what it prints in a log of its own.

    Parameters
    ----------
    name
        The log's name.
    command
        The command line.
    environment
        Its whole environment.
    folder
        Where it runs and logs.
    """

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        self._log = folder / f"{name}.log"
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                list(command),
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Ctrl-C reaches the benchmark alone, which then ends this.
                start_new_session=True,
            )

    def wait_for(self, address: str, status: int = 200) -> None:
        """Return once the address answers with the status.

        Raises
        ------
        RuntimeError
            Where the process ends or the address does not answer in time; with the end of the log.
        """
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self._process.poll() is None:
            if _status(address) == status:
                return
            time.sleep(LOOK)
        words = "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])
        raise RuntimeError(f"{address} does not answer {status}. The end of the log:\n{words}")

    def end(self) -> None:
        """End the process, and then whatever it started and left behind."""
        if self._process.poll() is None:
            children = psutil.Process(self._process.pid).children(recursive=True)
            self._process.terminate()
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            for left in children:
                with contextlib.suppress(psutil.NoSuchProcess):
                    left.kill()


def _status(address: str) -> int | None:
    """The status that an address answers with; None where nobody answers."""
    where = urlsplit(address)
    connection = http.client.HTTPConnection(HOST, where.port or 80, timeout=5)
    try:
        connection.request("GET", where.path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


class _Yes(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing: each would be a line on the terminal."""


@contextlib.contextmanager
def _answering(port: int) -> Iterator[None]:
    """A stand-in for one of the hub's services: the hub looks whether they answer, and no more is asked here."""
    with ThreadingHTTPServer((HOST, port), _Yes) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()
