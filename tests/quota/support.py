"""What the quota package's tests share: a clock to turn, patience, a PostgreSQL server and a real hub."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil
import psycopg
import pytest
from click.testing import CliRunner, Result
from hubquota.cli import main
from hubquota.hub.api import Server
from hubquota.hub.watch import Watch
from hubquota.models.ledger import Lease
from hubquota.services.ledger import Ledger
from hubquota.services.tiersfile import TiersFile
from psycopg import sql

from tests.support.ports import free_port

HERE = Path(__file__).parent


def run_command(database: str, *arguments: str) -> Result:
    """Run `hubquota` on a ledger, with the tests' own tiers file."""
    env = {"HUBQUOTA_DATABASE_URL": database, "HUBQUOTA_TIERS": str(HERE / "hub_tiers.yaml")}
    return CliRunner().invoke(main, arguments, env=env)


Found = TypeVar("Found")


class Clock:
    """A clock that stands still until somebody turns it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def turn(self, seconds: int) -> datetime:
        """Turn the clock; return the time that it shows then."""
        self.now += timedelta(seconds=seconds)
        return self.now


def eventually(look: Callable[[], Found | None], what: str, *, within: float = 90) -> Found:
    """Return what `look` finds as soon as it finds something; fail if it has not within so many seconds."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    pytest.fail(f"Within {within} s there was not: {what}")


@dataclass
class Postgres:
    """A PostgreSQL server of the tests' own, on a socket in a folder of its own."""

    folder: str
    user: str
    #: The server's command line, and the system user that it runs as.
    command: list[str]
    identity: dict[str, Any]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        with Path(f"{self.folder}/log").open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, cwd=self.folder, **self.identity)
        eventually(self.answers, "an answer from PostgreSQL")

    def answers(self) -> bool:
        """Return whether it takes connections."""
        if self.process is not None and self.process.poll() is not None:
            pytest.fail(f"PostgreSQL ended by itself:\n{Path(self.folder, 'log').read_text()}")
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """End it at once, as a fall of the machine would: whatever was under way is undone at the next start."""
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        """Return a connection with every right, in which each statement stands for itself."""
        return psycopg.connect(host=self.folder, user=self.user, dbname=database, autocommit=True)

    def new_database(self, name: str) -> None:
        """Make a database."""
        with self.connect() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    def url(self, database: str) -> str:
        """Return a database's address."""
        return f"postgresql+psycopg://{self.user}@/{database}?host={self.folder}"


@dataclass
class Hub:
    """A real JupyterHub with a proxy, the quota spawner and a ledger of its own."""

    folder: Path
    port: int
    #: Ports that only the hub and its proxy talk to.
    inner_ports: tuple[int, int]
    token: str
    ledger: Ledger
    database_url: str
    #: Where the JupyterHub is that runs; the tests' own if not given.
    library: Path | None = None
    #: The hub itself, and what takes in the servers that it leaves behind.
    process: psutil.Process | None = None
    inits: list[subprocess.Popen[bytes]] = field(default_factory=list)
    clients: list[httpx.Client] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The address of the hub, seen through its proxy."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def version(self) -> str:
        """The version of the JupyterHub that runs, as it says itself."""
        return str(self.api().get("").raise_for_status().json()["version"])

    @property
    def tiers_file(self) -> Path:
        """The tiers file that the hub uses."""
        return self.folder / "tiers.yaml"

    def api(self, token: str | None = None) -> httpx.Client:
        """Return a client of the hub's REST API, by default with every right."""
        return self._client(
            base_url=f"{self.url}/hub/api/", headers={"Authorization": f"token {token or self.token}"}
        )

    def browser(self, user: str) -> httpx.Client:
        """Return a client that has logged in as a user, and follows redirects as a browser does."""
        client = self._client(base_url=self.url, follow_redirects=True)
        client.get("/hub/login").raise_for_status()
        form = {"username": user, "password": "any", "_xsrf": client.cookies["_xsrf"]}
        client.post("/hub/login", data=form).raise_for_status()
        return client

    def ready(self, user: str, **options: Any) -> dict[str, Any]:
        """Start a user's server and return the hub's model of it once it is ready."""
        api = self.api()
        api.post(f"users/{user}")
        api.post(f"users/{user}/server", json=options).raise_for_status()
        return eventually(lambda: self.server(user, ready=True), f"a server of {user}")

    def server(self, user: str, *, ready: bool = False) -> dict[str, Any] | None:
        """Return the hub's model of a user's server if there is one (and it is ready)."""
        model = self.api().get(f"users/{user}").raise_for_status().json()
        server: dict[str, Any] | None = model["servers"].get("")
        return server if server and (server["ready"] or not ready) else None

    def stop(self, user: str) -> None:
        """Stop a user's server and wait until the hub is through with it."""
        self.api().delete(f"users/{user}/server").raise_for_status()
        eventually(lambda: self.server(user) is None, f"the end of {user}'s server")

    def last_lease(self, user: str) -> Lease | None:
        """Return the latest lease of a user's account that has ended."""
        ended = self.ledger.statement(user).ended
        return ended[0] if ended else None

    def start(self, command: list[str] | None = None, environment: dict[str, str] | None = None) -> None:
        """Start the hub, and wait until it answers.

        Args:
            command: what to run; the tests' own configuration if not given.
            environment: its environment; for the tests' own configuration if not given.
        """
        given = {
            "port": self.port,
            "inner_ports": self.inner_ports,
            "token": self.token,
            "database_url": self.database_url,
        }
        first = [str(self.library)] if self.library else []
        path = os.pathsep.join([*first, *filter(None, sys.path)])
        with (self.folder / "hub.log").open("ab") as log:
            hub = [sys.executable, "-m", "jupyterhub", "--config", str(HERE / "configured_hub.py")]
            init = subprocess.Popen(
                [sys.executable, str(HERE / "init.py"), *(command or hub)],
                cwd=self.folder,
                env=environment or os.environ | {"PYTHONPATH": path, "HUB_TEST": json.dumps(given)},
                stdout=log,
                stderr=log,
            )
        self.inits.append(init)
        process = self.process = eventually(psutil.Process(init.pid).children, "the hub's process")[0]

        def answers() -> bool:
            if not process.is_running():
                pytest.fail(f"The hub ended by itself:\n{self.log()}")
            try:
                return self.api().get("users").status_code == httpx.codes.OK
            except httpx.HTTPError:
                return False

        eventually(answers, "an answer from the hub", within=90)

    def kill(self) -> None:
        """Kill the hub as a crash would. Its servers and its proxy go on."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def kill_server(self, model: dict[str, Any]) -> None:
        """Kill a server's process as a crash would, and wait until nothing is left of it."""
        server = psutil.Process(model["state"]["pid"])
        server.kill()
        server.wait(10)

    def log(self) -> str:
        """Return what the hub has logged."""
        return (self.folder / "hub.log").read_text(errors="replace")

    def close(self) -> None:
        """End the hub and everything that it started."""
        for client in self.clients:
            client.close()
        if self.process is not None and self.process.is_running():
            self.process.terminate()
            try:
                self.process.wait(30)
            except psutil.TimeoutExpired:
                self.process.kill()
        for init in self.inits:
            _end_with_all(init)

    def _client(self, **options: Any) -> httpx.Client:
        client = httpx.Client(timeout=90, **options)
        self.clients.append(client)
        return client


class NoServers:
    """Stands for the hub after a restart of the machine: it answers, and nothing runs any more."""

    def servers(self) -> Iterator[Server]:
        """Return none."""
        return iter(())

    def server(self, _user: str, _name: str) -> Server | None:
        """Return none."""
        return None


def reconcile(ledger: Ledger) -> None:
    """Do what is done after a fault: compare with a hub on which nothing runs."""
    watch = Watch(ledger, TiersFile(str(HERE / "hub_tiers.yaml")), NoServers())  # type: ignore[arg-type]
    watch.pass_once()


def new_hub(folder: Path, database_url: str, ledger: Ledger, *, library: Path | None = None) -> Hub:
    """Return a hub in a folder of its own; it is not started yet."""
    folder.mkdir(exist_ok=True)
    shutil.copy(HERE / "hub_tiers.yaml", folder / "tiers.yaml")
    return Hub(
        folder=folder,
        port=free_port(),
        inner_ports=(free_port(), free_port()),
        token="a-token-of-the-tests",
        ledger=ledger,
        database_url=database_url,
        library=library,
    )


def _end_with_all(init: subprocess.Popen[bytes]) -> None:
    """Kill what an init has taken in (a server that a killed hub was just starting, too), until it ends itself."""
    while init.poll() is None:
        with suppress(psutil.NoSuchProcess):
            for left in psutil.Process(init.pid).children(recursive=True):
                left.kill()
        with suppress(subprocess.TimeoutExpired):
            init.wait(0.05)
