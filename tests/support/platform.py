"""A real platform, started by its own command line on this machine."""

from __future__ import annotations

import os
import queue
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.support.ports import free_port

#: How long the platform may take to be ready on a busy machine, in seconds.
PATIENCE = 180.0


def shared_environments() -> str:
    """Where the environments are that the platforms under test use."""
    if given := os.environ.get("ROMANHUB_ENVIRONMENTS"):
        return given
    raise RuntimeError("Run the tests by `make test`, which says where the environments are.")


def _romanhub() -> str:
    """The platform's command line, in the environment that it runs from."""
    return str(Path(shared_environments()) / "hub" / "bin" / "romanhub")


def fresh_state() -> Path:
    """A new folder of state that other system users may enter, as the platform asks for."""
    folder = Path(tempfile.mkdtemp(prefix="romanhub-test-", dir="/var/tmp"))
    folder.chmod(0o755)
    return folder


@dataclass
class Platform:
    """A platform under test: `romanhub up` as a process, and what it said on its screen."""

    state: Path
    port: int = field(default_factory=free_port)
    environment: dict[str, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """Where people sign in."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def output(self) -> str:
        """Everything on the screen so far."""
        return "\n".join(self.lines)

    @property
    def admin_password(self) -> str:
        """The administrator's password, as printed at the first start."""
        found = re.search(r"user name admin, password (\S+)", self.output)
        assert found, self.output
        return found.group(1)

    def start(self) -> Platform:
        """Run `romanhub up` and return once it says that the platform is ready."""
        self.launch()
        self.wait_for("Ctrl-C ends everything.")
        return self

    def launch(self) -> None:
        """Run `romanhub up` without waiting for it."""
        self.lines = []
        self.process = subprocess.Popen(
            [_romanhub(), "up"],
            env=self.variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._incoming: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, args=(self.process, self._incoming), daemon=True).start()

    def variables(self) -> dict[str, str]:
        """The environment of the platform's command line."""
        return {
            **os.environ,
            "ROMANHUB_STATE": str(self.state),
            "ROMANHUB_PORT": str(self.port),
            "ROMANHUB_ENVIRONMENTS": shared_environments(),
            **self.environment,
        }

    def wait_for(self, words: str, patience: float = PATIENCE) -> str:
        """Return the next line on the screen that has the words in it."""
        deadline = time.monotonic() + patience
        while True:
            try:
                line = self._incoming.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"The platform did not say {words!r}:\n{self.output}{self.logs()}") from None
            if line is None:
                raise AssertionError(f"The platform ended without saying {words!r}:\n{self.output}{self.logs()}")
            self.lines.append(line)
            if words in line:
                return line

    def interrupt(self) -> int:
        """Press Ctrl-C and wait for the end; returns the exit code."""
        assert self.process
        self.process.send_signal(signal.SIGINT)
        return self.wait()

    def wait(self) -> int:
        """Wait for the platform to end; returns the exit code."""
        assert self.process
        code = self.process.wait(PATIENCE)
        while (line := self._incoming.get(timeout=10)) is not None:
            self.lines.append(line)
        return code

    def part(self, name: str) -> psutil.Process:
        """The process of one part."""
        assert self.process
        wanted = {
            "hub": "jupyterhub_config.py",
            "portal": "romanhub.portal",
            "archive": "weed",
            "proxy": "configurable-http-proxy",
            "watch": "hubquota watch",
            "runner": "romanhub.community.proof",
        }
        for child in psutil.Process(self.process.pid).children():
            line = " ".join(child.cmdline())
            if name == "gateway" and "dask_gateway_config" in line and " proxy " not in line:
                return child
            if name in wanted and (wanted[name] in line or wanted[name].replace(" ", "") in line.replace("/", "")):
                return child
            if name == "watch" and line.endswith("hubquota watch"):
                return child
        raise AssertionError(f"no {name} among {psutil.Process(self.process.pid).children()}")

    def processes(self) -> list[psutil.Process]:
        """Every process on this machine that has this platform's state in its command line or environment."""
        found = []
        for process in psutil.process_iter():
            try:
                where = " ".join([*process.cmdline(), *process.environ().values()])
            except psutil.Error:
                continue
            if str(self.state) in where and process.pid != os.getpid():
                found.append(process)
        return found

    def logs(self) -> str:
        """The end of each part's log, for a test that failed."""
        ends = []
        for log in sorted((self.state / "logs").glob("*.log")):
            ends.append(f"\n--- {log.name}\n{log.read_text(errors='replace')[-3000:]}")
        return "".join(ends)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another `romanhub` command on this platform's state."""
        return subprocess.run(
            [_romanhub(), *arguments],
            env=self.variables(),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    def remove(self) -> None:
        """End the platform and remove its state, its system users with it."""
        if self.process and self.process.poll() is None:
            self.interrupt()
        if self.state.exists():
            self.command("clean", "--yes")
            shutil.rmtree(self.state, ignore_errors=True)

    @staticmethod
    def _read(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
        assert process.stdout
        for line in process.stdout:
            lines.put(line.rstrip("\n"))
        lines.put(None)
