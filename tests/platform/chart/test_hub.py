"""The hub as the chart starts it: the chart jupyterhub's configuration first, then what is the platform's own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest
import yaml
from hubquota.storage.engine import make_engine
from hubquota.storage.migrate import migrate
from romanhub.chart.hub import configure
from romanhub.chart.secretlist import load_secrets, manifests
from romanhub.chart.settings import Settings
from romanhub.chart.spawner import bytes_of
from romanhub.local.environments import SetupError
from traitlets.config import Config

from tests.quota.support import eventually
from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parents[3]

#: What the chart jupyterhub's own file sets here: ports, and a proxy that the hub starts itself.
BEFORE = """
c.JupyterHub.bind_url = "http://127.0.0.1:{public}"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub}"
c.ConfigurableHTTPProxy.command = [{proxy!r}]
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api}"
c.ConfigurableHTTPProxy.auth_token = "a-token-of-the-proxy"
c.KubeSpawner.image = "registry.example.org/roman@sha256:abc"
c.KubeSpawner.environment = {{"FROM_THE_CHART": "1"}}
c.KubeSpawner.container_security_context = {{"readOnlyRootFilesystem": False}}
"""


@pytest.fixture
def told(tmp_path: Path) -> dict[str, str]:
    """What the hub's pod is given."""
    made = manifests(load_secrets(ROOT / "helm/romanhub/files/secrets.yaml"), {})
    folder = tmp_path / "secrets"
    folder.mkdir()
    for key, value in made[0]["stringData"].items():
        (folder / key).write_text(value)
    settings = tmp_path / "settings.yaml"
    settings.write_text(yaml.safe_dump({"url": "https://hub.example.org", "signIn": "trial"}))
    ledger = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    migrate(make_engine(ledger))
    return {
        "ROMANHUB_SETTINGS": str(settings),
        "ROMANHUB_SECRETS": str(folder),
        "HUBQUOTA_TIERS": str(ROOT / "hub_config/tiers.yaml"),
        "HUBQUOTA_DATABASE_URL": ledger,
        "ROMANHUB_HUB_DATABASE_URL": f"sqlite:///{tmp_path / 'hub.sqlite'}",
    }


@pytest.fixture
def hub(told: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """The address of a hub that was started as its pod is."""
    inner = free_port()
    before = tmp_path / "jupyterhub_config.py"
    proxy = str(Path(sys.executable).with_name("configurable-http-proxy"))
    before.write_text(BEFORE.format(public=free_port(), hub=inner, api=free_port(), proxy=proxy))
    with (tmp_path / "hub.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "romanhub.chart.hub", "--config", str(before)],
            cwd=tmp_path,
            env={**os.environ, **told, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            stdout=log,
            stderr=log,
        )
    # Past the proxy: before its routes are there, the hub waits for the services, which do not run here.
    url = f"http://127.0.0.1:{inner}"

    def answers() -> bool:
        assert process.poll() is None, (tmp_path / "hub.log").read_text()
        try:
            return httpx.get(f"{url}/hub/health", trust_env=False).is_success
        except httpx.HTTPError:
            return False

    try:
        eventually(answers, "the hub", within=120)
        yield url
    finally:
        # Its proxy is in a session of its own, and would outlive it.
        children = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        process.wait(30)
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()


def test_it_runs_with_its_services_and_their_rights(hub: str, told: dict[str, str], tmp_path: Path) -> None:
    def ask(service: str, path: str) -> httpx.Response:
        token = Path(told["ROMANHUB_SECRETS"], service).read_text()
        return httpx.get(f"{hub}/hub/api/{path}", headers={"Authorization": f"token {token}"}, trust_env=False)

    assert ask("watch", "users").is_success
    assert ask("broker", "users").status_code == 403
    assert ask("portal", "user").json()["name"] == "portal"
    assert Path(told["ROMANHUB_HUB_DATABASE_URL"].removeprefix("sqlite:///")).is_file()
    log = (tmp_path / "hub.log").read_text()
    assert "Hub API listening" in log
    assert "Logging error" not in log, "another library has its own way to log"


def test_a_missing_secret_is_said_in_a_sentence(told: dict[str, str]) -> None:
    secrets = Path(told["ROMANHUB_SECRETS"])
    (secrets / "watch").unlink()
    with pytest.raises(SetupError, match="The Secret romanhub-hub has no watch: `romanhub secrets generate`"):
        configure(Config(), Settings(url="https://hub.example.org"), told, secrets)


def test_servers_are_told_what_notebooks_ask_for(told: dict[str, str]) -> None:
    c = Config()
    c.KubeSpawner.image = "registry.example.org/roman@sha256:abc"
    c.KubeSpawner.environment = {"FROM_THE_CHART": "1"}
    settings = Settings.model_validate(
        {
            "url": "https://hub.example.org",
            "signIn": "trial",
            "homes": {"storageClass": "fast", "shared": {"claim": "teams"}},
        }
    )
    configure(c, settings, told, Path(told["ROMANHUB_SECRETS"]))
    environment = c.KubeSpawner.environment
    assert environment["FROM_THE_CHART"] == "1"
    assert environment["ROMANHUB_ENVIRONMENT"] == "sha256:abc", "the identity that the gateway compares"
    assert environment["ROMANHUB_BROKER_URL"] == "http://proxy-public/services/broker/"
    assert c.KubeSpawner.storage_class == "fast"
    assert c.RomanServerSpawner.shared_claim == "teams"


def test_without_a_search_nobody_is_led_to_one(told: dict[str, str]) -> None:
    c = Config()
    c.KubeSpawner.image = "registry.example.org/roman:1"
    settings = Settings(url="https://hub.example.org", sign_in="trial", search=False)
    configure(c, settings, told, Path(told["ROMANHUB_SECRETS"]))
    assert "archive" not in {one["name"] for one in c.JupyterHub.services}
    assert "ROMANHUB_SEARCH_URL" not in c.KubeSpawner.environment


def test_a_clean_up_server_is_held_as_the_operator_says(told: dict[str, str]) -> None:
    c = Config()
    c.KubeSpawner.image = "registry.example.org/roman:1"
    settings = Settings.model_validate(
        {"url": "https://hub.example.org", "signIn": "trial", "homes": {"cleanUp": "read-only"}}
    )
    configure(c, settings, told, Path(told["ROMANHUB_SECRETS"]))
    assert c.Spawner.quota_clean_up_home == "read-only"
    # The end of a server says who stopped it.
    assert c.Authenticator.refresh_pre_stop is True


@pytest.mark.parametrize(("quantity", "size"), [("10Gi", 10 * 2**30), ("1.5G", 1_500_000_000), ("1000", 1000)])
def test_sizes_of_homes_are_compared_in_bytes(quantity: str, size: int) -> None:
    assert bytes_of(quantity) == size


def test_what_is_no_size() -> None:
    with pytest.raises(ValueError, match="10 gigs is no amount"):
        bytes_of("10 gigs")
