"""What runs inside a JupyterHub, or beside it as its service."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

#: For `c.JupyterHub.template_paths`: the hub's own pages, with what there is to say about the user's servers.
template_paths = [str(Path(__file__).with_name("templates") / "pages")]

#: The watch, as the hub's service and as its role.
WATCH = "quota-watch"

#: What the watch may do at the hub.
WATCH_SCOPES = ["list:users", "read:users", "read:servers", "delete:servers"]


def configure(c: Any, *, tiers_file: str, database_url: str, hub: str = "") -> None:
    """Put hubquota into a hub, all but its classes: settings, pages, and the watch that enforces the limits.

    Lists that the configuration assigns itself (services, roles, template paths) have to be assigned before.

    Parameters
    ----------
    c
        The hub's configuration, as `jupyterhub_config.py` has it.
    tiers_file
        The tiers file.
    database_url
        The ledger's database.
    hub
        This hub's name, where several share the ledger.
    """
    tiers_file = str(Path(tiers_file).absolute())
    c.Spawner.quota_tiers_file, c.Spawner.quota_database_url = tiers_file, database_url
    c.Spawner.quota_hub = hub
    own = c.JupyterHub.get("template_paths")
    c.JupyterHub.template_paths = [*(own if isinstance(own, list) else []), *template_paths]
    environment = {
        "HUBQUOTA_TIERS": tiers_file,
        "HUBQUOTA_DATABASE_URL": database_url,
        "HUBQUOTA_HUB": hub,
    }
    command = [sys.executable, "-m", "hubquota", "watch"]
    service = {"name": WATCH, "command": command, "environment": environment, "cwd": str(Path.cwd())}
    c.JupyterHub.services.append(service)
    c.JupyterHub.load_roles.append({"name": WATCH, "services": [WATCH], "scopes": WATCH_SCOPES})
