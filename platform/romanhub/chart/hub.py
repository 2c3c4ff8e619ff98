"""The hub on Kubernetes: `python -m romanhub.chart.hub --config …`, as the chart's values start it.

The configuration of the chart jupyterhub comes first; then this sets what is the platform's own, from the settings
that are mounted. So no Python is in the chart's values.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hubquota.hub import template_paths
from hubquota.hub.plugins import QuotaDummyAuthenticator
from jupyterhub.app import JupyterHub
from traitlets.config import Config

from romanhub.chart.settings import Settings, load_settings
from romanhub.chart.spawner import RomanServerSpawner, told_of
from romanhub.local.environments import SetupError
from romanhub.models.runs import COMMUNITY_ROBOT
from romanhub.portal.scopes import CUSTOM_SCOPES
from romanhub.probe.robot import ROBOT
from romanhub.services.hubservices import ROLES, SERVED, USING, services
from romanhub.sign_in.settings import load_sign_in

#: Where each service is in the namespace.
ADDRESSES = {
    "portal": "http://romanhub-portal:8080",
    "dask-gateway": "http://romanhub-dask-proxy:8000",
    "broker": "http://romanhub-broker:8080",
    "archive": "http://romanhub-search:8080",
}

#: Prometheus, which reads what the hub counts and nothing else.
METRICS = "metrics"

#: How clients of Dask Gateway reach schedulers.
SCHEDULERS = "gateway://romanhub-dask-proxy:8786"


def secret(folder: Path, key: str) -> str:
    """A secret of the hub's.

    Raises
    ------
    SetupError
        It is not there.
    """
    try:
        return (folder / key).read_text().strip()
    except OSError:
        raise SetupError(f"The Secret romanhub-hub has no {key}: `romanhub secrets generate` makes it.") from None


def configure(c: Config, settings: Settings, environment: Mapping[str, str], secrets: Path) -> None:
    """Set what is the platform's own.

    Parameters
    ----------
    c
        The hub's configuration, with what the chart jupyterhub has set.
    settings
        What the chart's values say.
    environment
        The process' environment variables: the databases, and where files are mounted.
    secrets
        The folder of the hub's Secret.

    Raises
    ------
    SetupError
        A secret or a setting is missing; the message says how it comes to be there.
    """
    if url := environment.get("ROMANHUB_HUB_DATABASE_URL"):
        c.JupyterHub.db_url = url
    c.JupyterHub.template_paths = template_paths
    here = {name: address for name, address in ADDRESSES.items() if name != "archive" or settings.search}
    c.JupyterHub.services = [
        *services(here, {name: secret(secrets, name) for name in (*SERVED, *USING)}),
        {"name": METRICS, "api_token": secret(secrets, METRICS)},
    ]
    c.JupyterHub.custom_scopes = CUSTOM_SCOPES
    c.JupyterHub.load_roles = [*ROLES, {"name": METRICS, "services": [METRICS], "scopes": ["read:metrics"]}]
    # Their accounts have no person.
    c.Authenticator.quota_programs = {ROBOT, COMMUNITY_ROBOT}
    # Servers with names are those that run a notebook without a person; the spawner refuses any other.
    c.JupyterHub.allow_named_servers = True
    c.JupyterHub.template_vars = {**dict(c.JupyterHub.get("template_vars", {})), "own_named_servers": False}
    _sign_in(c, settings, environment, secrets)
    _servers(c, settings, environment)


def _sign_in(c: Config, settings: Settings, environment: Mapping[str, str], secrets: Path) -> None:
    if settings.sign_in == "trial":
        c.JupyterHub.authenticator_class = QuotaDummyAuthenticator
        c.DummyAuthenticator.password = secret(secrets, "trial-password")
        c.Authenticator.allow_all = True
        c.Authenticator.admin_users = {"admin"}
        # So that the end of a server says who stopped it. An institution's provider is not asked for that.
        c.Authenticator.refresh_pre_stop = True
        return
    provider = load_sign_in({"ROMANHUB_SIGN_IN": environment.get("ROMANHUB_SIGN_IN_FILE", "")})
    if provider is None:
        raise SetupError("ROMANHUB_SIGN_IN_FILE does not say where the identity provider's settings are.")
    # Imported here: a trial has no provider.
    from romanhub.sign_in.institution_accounts import configure as configure_provider

    configure_provider(c, provider)


def _servers(c: Config, settings: Settings, environment: Mapping[str, str]) -> None:
    homes, inside = settings.homes, settings.inside
    c.JupyterHub.spawner_class = RomanServerSpawner
    c.RomanServerSpawner.fresh_for = COMMUNITY_ROBOT
    c.Spawner.quota_tiers_file = environment["HUBQUOTA_TIERS"]
    c.Spawner.quota_database_url = environment["HUBQUOTA_DATABASE_URL"]
    c.Spawner.quota_hub = settings.hub_name
    # A node that has just come is busy.
    c.Spawner.http_timeout = 120
    c.Spawner.quota_clean_up_home = homes.clean_up
    if homes.storage_class is not None:
        c.KubeSpawner.storage_class = homes.storage_class
    if homes.shared.claim is not None:
        c.RomanServerSpawner.shared_claim = homes.shared.claim
        c.RomanServerSpawner.shared_path = homes.shared.mount_path
        c.RomanServerSpawner.shared_groups = homes.shared.groups
    told = {
        "ROMANHUB_PORTAL_URL": inside("portal"),
        "ROMANHUB_SEARCH_URL": inside("archive"),
        "ROMANHUB_BROKER_URL": inside("broker"),
        "AWS_CONFIG_FILE": "/etc/romanhub/aws/config",
        "DASK_GATEWAY__ADDRESS": inside("dask-gateway"),
        "DASK_GATEWAY__PROXY_ADDRESS": SCHEDULERS,
        "DASK_GATEWAY__AUTH__TYPE": "jupyterhub",
        **told_of(c.KubeSpawner.get("image", "")),
        "DASK_LABEXTENSION__FACTORY__MODULE": "romanhub.client.panel",
        "DASK_LABEXTENSION__FACTORY__CLASS": "DaskCluster",
        "DASK_DISTRIBUTED__CLIENT__SECURITY_LOADER": "romanhub.client.panel.security_for",
    }
    if not settings.search:
        del told["ROMANHUB_SEARCH_URL"]
    c.KubeSpawner.environment = {**dict(c.KubeSpawner.get("environment", {})), **told}


class RomanHub(JupyterHub):  # type: ignore[misc]
    """JupyterHub, which reads the chart's settings after its configuration file."""

    def load_config_file(self, *arguments: Any, **more: Any) -> None:
        """Read the file, then set what is the platform's own."""
        super().load_config_file(*arguments, **more)
        given = Config()
        given.merge(self.config)
        try:
            configure(given, load_settings(), os.environ, Path(os.environ.get("ROMANHUB_SECRETS", "")))
        except SetupError as error:
            raise SystemExit(str(error)) from None
        self.update_config(given)


main = RomanHub.launch_instance

if __name__ == "__main__":
    main()
