"""A plain JupyterHub, hubquota from its wheel, and three lines of configuration."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hubquota.hub.keys import server_key
from hubquota.models.ledger import Lease
from hubquota.models.money import to_units
from hubquota.services.ledger import Ledger
from hubquota.storage.engine import make_engine

from tests.quota.support import HERE, Hub, eventually
from tests.support.ports import free_port

THREE_LINES = """
from hubquota.hub import configure
configure(c, tiers_file="tiers.yaml", database_url="sqlite:///ledger.sqlite")
c.JupyterHub.spawner_class, c.JupyterHub.authenticator_class = "quota-simple", "quota-dummy"
"""

#: What any hub needs that is to be started by a test: addresses, a server that starts quickly, and a token.
OF_THE_TEST = """
import hubquota
from pathlib import Path

Path("where").write_text(hubquota.__file__)
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_port = {inner_ports[0]}
c.ConfigurableHTTPProxy.command = [{proxy!r}]
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{inner_ports[1]}"
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {{"edwin"}}
c.Spawner.cmd = [{python!r}, {server!r}]
c.SimpleLocalProcessSpawner.home_dir_template = str(Path.cwd() / "{{username}}")
c.JupyterHub.services = [{{"name": "tests", "api_token": {token!r}}}]
c.JupyterHub.load_roles = [
    {{"name": "tests", "services": ["tests"], "scopes": ["admin:users", "admin:servers", "admin:groups"]}}
]
"""

#: The watch passes more often than once a minute, so that the test need not wait for it.
IN_A_HURRY = """
c.JupyterHub.services[-1]["command"] += ["--interval", "1"]
"""


@pytest.fixture(scope="module")
def installed(hub_library: Path | None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment in which hubquota is installed from its wheel, beside either JupyterHub."""
    folder = tmp_path_factory.mktemp("plain")
    source = folder / "source"
    shutil.copytree(HERE.parents[1] / "quota", source, ignore=shutil.ignore_patterns("__pycache__"))
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    (wheel,) = (folder / "dist").glob("hubquota-*.whl")
    environment = folder / "environment"
    python = environment / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    # The hub and what hubquota needs come from the tests' environment: nothing is fetched.
    (library,) = environment.glob("lib/python*/site-packages")
    seen = [*([str(hub_library)] if hub_library else []), sysconfig.get_path("purelib")]
    (library / "of-the-tests.pth").write_text("\n".join(seen))
    install = [sys.executable, "-m", "uv", "pip", "install", "--offline", "--no-index", "--no-deps"]
    subprocess.run([*install, "--python", str(python), str(wheel)], check=True, capture_output=True)
    return python


@pytest.fixture(scope="module")
def plain_hub(
    installed: Path, hub_library: Path | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Hub]:
    """A hub in that environment."""
    folder = tmp_path_factory.mktemp("hub")
    shutil.copy(HERE / "hub_tiers.yaml", folder / "tiers.yaml")
    database_url = f"sqlite:///{folder / 'ledger.sqlite'}"
    subprocess.run(
        [str(installed.with_name("hubquota")), "migrate", "--database-url", database_url],
        check=True,
        env={"PATH": os.environ["PATH"]},
    )
    engine = make_engine(database_url)
    hub = Hub(
        folder=folder,
        port=free_port(),
        inner_ports=(free_port(), free_port()),
        token="a-token-of-the-tests",
        ledger=Ledger(engine),
        database_url=database_url,
    )
    config = folder / "jupyterhub_config.py"
    of_the_test = OF_THE_TEST.format(
        port=hub.port,
        inner_ports=hub.inner_ports,
        proxy=str(Path(sys.executable).with_name("configurable-http-proxy")),
        python=str(installed),
        server=str(HERE / "small_server.py"),
        token=hub.token,
    )
    config.write_text(of_the_test + THREE_LINES + IN_A_HURRY)
    try:
        hub.start([str(installed), "-m", "jupyterhub", "--config", str(config)], {"PATH": os.environ["PATH"]})
        assert hub.version.startswith("5." if hub_library else "6.")
        yield hub
    finally:
        hub.close()
        engine.dispose()


def test_three_lines_make_a_plain_hub_keep_accounts(plain_hub: Hub, installed: Path) -> None:
    assert Path((plain_hub.folder / "where").read_text()).is_relative_to(installed.parents[1])
    browser = plain_hub.browser("ada")
    account = eventually(lambda: plain_hub.ledger.account("ada"), "the account, from the sign-in on")
    assert account.tiers == ("explorer",)
    (entry,) = plain_hub.ledger.statement("ada").entries
    assert (entry.actor, entry.amount) == ("sign-in", to_units(81))
    assert "about 540 hours left" in browser.get("/hub/spawn").text
    plain_hub.ready("ada", size="small")
    lease = plain_hub.ledger.open_lease(server_key("ada", ""))
    assert lease is not None
    plain_hub.stop("ada")
    assert "was stopped on" in browser.get("/hub/spawn").text
    assert plain_hub.ledger.verify() == []


def test_what_nothing_pays_for_any_more_is_stopped_and_the_home_page_says_why(plain_hub: Hub) -> None:
    browser = plain_hub.browser("dora")
    plain_hub.ready("dora", size="small")
    lease = plain_hub.ledger.open_lease(server_key("dora", ""))
    assert lease is not None
    left = plain_hub.ledger.balance("dora").posted
    plain_hub.ledger.correct("dora", -left, actor="admin", reason="It was a mistake.", key="all-of-it")
    over = eventually(lambda: plain_hub.last_lease("dora"), "the end of the lease")
    assert (over.id, over.end_kind) == (lease.id, "budget")
    assert "The credits that paid for it are used up." in browser.get("/hub/home").text


def test_a_user_of_a_group_starts_on_its_tier(plain_hub: Hub) -> None:
    api = plain_hub.api()
    api.post("users/bob")
    api.post("groups/the-poor")
    api.post("groups/the-poor/users", json={"users": ["bob"]}).raise_for_status()
    plain_hub.browser("bob")
    account = eventually(lambda: plain_hub.ledger.account("bob"), "the account")
    assert account.tiers == ("poor",)


def test_the_end_of_a_server_says_who_stopped_it(plain_hub: Hub) -> None:
    def stopped_by(browser: httpx.Client | None) -> tuple[str | None, str | None]:
        plain_hub.ready("carol", size="small")
        lease = plain_hub.ledger.open_lease(server_key("carol", ""))
        assert lease is not None
        if browser is None:
            plain_hub.stop("carol")
        else:
            headers = {
                "X-XSRFToken": browser.cookies.get("_xsrf", path="/hub/") or "",
                "Accept": "application/json",
            }
            browser.delete("/hub/api/users/carol/server", headers=headers).raise_for_status()

        def ended() -> Lease | None:
            found = plain_hub.ledger.lease(lease.id)
            return found if found and not found.is_open else None

        found = eventually(ended, "the end of the lease")
        return found.reason, found.end_kind

    carol, edwin = plain_hub.browser("carol"), plain_hub.browser("edwin")
    assert stopped_by(edwin) == ("The server was stopped by edwin.", "admin")
    assert "The server was stopped by edwin." in carol.get("/hub/spawn").text
    assert stopped_by(carol) == ("The server was stopped by carol.", "stopped")
    assert stopped_by(None) == ("The server was stopped by the service tests.", "stopped")
