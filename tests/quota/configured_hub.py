"""The configuration of the hub that the tests start: everything real but the notebook server."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from hubquota.hub import template_paths
from hubquota.hub.spawner import QuotaSpawnerMixin
from jupyterhub.spawner import SimpleLocalProcessSpawner

given = json.loads(os.environ["HUB_TEST"])
c: Any = get_config()  # type: ignore[name-defined]  # noqa: F821


class QuotaSpawner(QuotaSpawnerMixin, SimpleLocalProcessSpawner):  # type: ignore[misc]
    """Local processes that ask the ledger, but for a while in which the tests say that it is not there yet."""

    async def run_pre_spawn_hook(self) -> None:
        """Start without the ledger where the tests say so."""
        if not Path("without-the-ledger").exists():
            await super().run_pre_spawn_hook()


async def slow_for_some(spawner: Any) -> None:
    """Keep a start pending, make it fail, or start something that never answers, for users whose name says so."""
    if spawner.user.name.startswith("slow"):
        Path(f"{spawner.user.name}-is-starting").touch()
        await asyncio.sleep(120)
    if spawner.user.name.startswith("unlucky"):
        raise RuntimeError("the operator's own hook failed")
    if spawner.user.name.startswith("mute"):
        spawner.cmd, spawner.http_timeout = ["sleep", "60"], 2


c.JupyterHub.spawner_class = QuotaSpawner
c.JupyterHub.template_paths = template_paths
c.JupyterHub.allow_named_servers = True
c.Spawner.quota_tiers_file = "tiers.yaml"
c.Spawner.quota_database_url = given["database_url"]
c.Spawner.quota_deadline = 3.0
c.Spawner.cmd = [sys.executable, str(Path(__file__).with_name("small_server.py"))]
c.Spawner.poll_interval = 1
c.Spawner.pre_spawn_hook = slow_for_some
c.SimpleLocalProcessSpawner.home_dir_template = f"{Path.cwd()}/{{username}}"
c.LocalProcessSpawner.interrupt_timeout = 2

c.JupyterHub.bind_url = f"http://127.0.0.1:{given['port']}"
c.JupyterHub.hub_port = given["inner_ports"][0]
c.JupyterHub.db_url = "sqlite:///hub.sqlite"
c.JupyterHub.cleanup_servers = False
c.ConfigurableHTTPProxy.command = [str(Path(sys.executable).with_name("configurable-http-proxy"))]
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{given['inner_ports'][1]}"
c.ConfigurableHTTPProxy.auth_token = "a-token-of-the-proxy"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True

c.JupyterHub.services = [
    {"name": "tests", "api_token": given["token"]},
    {"name": "watch", "api_token": "a-token-of-the-watch"},
    {"name": "reader", "api_token": "a-token-that-only-reads"},
    {"name": "lister", "api_token": "a-token-that-reads-users"},
]
reading = ["list:users", "read:users", "read:servers"]
c.JupyterHub.load_roles = [
    {
        "name": "tests",
        "services": ["tests"],
        "scopes": ["admin:users", "admin:servers", "admin:groups", "admin:server_state", "read:metrics"],
    },
    {"name": "watch", "services": ["watch"], "scopes": [*reading, "delete:servers"]},
    {"name": "reader", "services": ["reader"], "scopes": reading},
    {"name": "lister", "services": ["lister"], "scopes": ["list:users", "read:users"]},
]

# What a test wants besides: settings by class and name.
if Path("more.json").exists():
    for section, settings in json.loads(Path("more.json").read_text()).items():
        c[section].update(settings)
