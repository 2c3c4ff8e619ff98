"""A real hub behind its proxy, in a folder of its own, and people who sign in to it through a provider."""

from __future__ import annotations

import html
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import yaml

from tests.support.person import Person
from tests.support.ports import free_port

CONFIG = Path(__file__).with_name("hub_config.py")
ROOT = CONFIG.parents[3]

#: How long a hub may take to start on a busy machine, in seconds.
PATIENCE = 90.0


@dataclass
class Hub:
    """A hub under test, started with arguments of its command line."""

    folder: Path
    arguments: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    ports: list[int] = field(default_factory=lambda: [free_port() for _ in range(3)])
    output: str = ""

    def __post_init__(self) -> None:
        self.key = secrets.token_hex(32)
        self.process: subprocess.Popen[str] | None = None
        self._runs = threading.Event()

    @property
    def url(self) -> str:
        """Where people sign in."""
        return f"http://127.0.0.1:{self.ports[0]}"

    @property
    def callback(self) -> str:
        """Where a provider sends people back to."""
        return f"{self.url}/hub/oauth_callback"

    def settings(self, **keys: object) -> None:
        """Write the file of settings for sign-in through a provider."""
        self.given = keys
        file = self.folder / "sign_in.yaml"
        file.write_text(yaml.safe_dump(keys))
        self.environment["ROMANHUB_SIGN_IN"] = str(file)

    def launch(self) -> None:
        """Start the hub without waiting for it."""
        bin_folder = Path(sys.executable).parent
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("JUPYTERHUB", "ROMANHUB"))
        }
        self.process = subprocess.Popen(
            [sys.executable, str(bin_folder / "jupyterhub"), "--config", str(CONFIG), *self.arguments],
            cwd=self.folder,
            env={
                **kept,
                "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
                "PYTHONPATH": f"{ROOT / 'platform'}{os.pathsep}{ROOT / 'quota'}",
                "TEST_HUB_FOLDER": str(self.folder),
                "TEST_HUB_PORTS": " ".join(map(str, self.ports)),
                "JUPYTERHUB_CRYPT_KEY": self.key,
                **self.environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self.output = ""
        self._runs.clear()
        self._reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self._reader.start()

    def start(self) -> Hub:
        """Start the hub and return once people can sign in."""
        self.launch()
        assert self._runs.wait(PATIENCE), f"The hub did not start:\n{self.output}"
        assert self.process and self.process.poll() is None, f"The hub ended:\n{self.output}"
        return self

    def stop(self) -> int:
        """End the hub and its proxy; returns the exit code."""
        assert self.process
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.wait()

    def wait(self) -> int:
        """Wait for the hub to end; returns the exit code."""
        assert self.process
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise
        finally:
            self._reader.join(PATIENCE)

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        for line in process.stdout:
            self.output += line
            if "JupyterHub is now running" in line:
                self._runs.set()
        self._runs.set()


class Member(Person):
    """A person with an account at the provider, and their browser.

    Parameters
    ----------
    hub
        Where they sign in.
    login
        Their name at the provider.
    name
        Their user name at the hub, where it is another.
    """

    def __init__(self, hub: Hub, login: str, name: str | None = None) -> None:
        super().__init__(hub.url, name or login, f"password of {login}")
        self.login = login

    def sign_in(self) -> httpx.Response:
        """Click on the button, and fill in the provider's form where it asks; returns the page after it."""
        page = self.go_to_provider()
        return self.fill_in(page) if 'type="password"' in page.text else page

    def sign_in_again(self) -> httpx.Response:
        """Sign in as above, from a page that was open since before; returns the page after it."""
        page = self.web.get("/hub/oauth_login")
        return self.fill_in(page) if 'type="password"' in page.text else page

    def go_to_provider(self) -> httpx.Response:
        """Click on the hub's button; returns the page after it."""
        page = self.web.get("/hub/login")
        button = re.search(r"href='([^']*/oauth_login[^']*)'", page.text)
        assert button, page.text
        return self.web.get(html.unescape(button.group(1)))

    def fill_in(self, page: httpx.Response, **other: str) -> httpx.Response:
        """Send the provider's form with the person's name and password."""
        return self.web.post(page.url, data={"login": self.login, "password": self.password, **other})

    def stop_short_of_the_hub(self) -> httpx.URL:
        """Sign in at the provider; returns the address at the hub that the browser would go to next."""
        page = self.go_to_provider()
        answer = self.web.post(
            page.url, data={"login": self.login, "password": self.password}, follow_redirects=False
        )
        while not str(answer.headers["location"]).startswith(self.url):
            answer = self.web.get(answer.headers["location"], follow_redirects=False)
        return httpx.URL(answer.headers["location"])

    @property
    def is_signed_in(self) -> bool:
        """Whether the hub knows this browser."""
        return self.api("GET", "/user").status_code == 200


def text(page: httpx.Response) -> str:
    """What a person reads on one of the hub's pages, as one line."""
    body = re.search(r"<main\b.*?</main>|<div class=\"error\">.*?</div>", page.text, re.DOTALL)
    found = re.sub(r"<script.*?</script>|<[^>]+>", " ", body.group(0) if body else page.text, flags=re.DOTALL)
    return " ".join(html.unescape(found).split())
