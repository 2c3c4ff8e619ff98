"""Dask Gateway's own configuration, for both of its programs, from the operator's settings."""

from __future__ import annotations

from typing import Any

from romanhub.kubernetes.settings import DaskSettings, Secrets


def configure(c: Any, settings: DaskSettings | None = None, secrets: Secrets | None = None) -> None:
    """Set what upstream's configuration file would.

    Parameters
    ----------
    c
        The configuration of the program that is starting: what `get_config()` returns in its file.
    settings
        What the operator says; read from the file that `ROMANHUB_DASK` names without it.
    secrets
        What no file holds; read from the environment without it.

    Raises
    ------
    SettingsError
        Something is missing or wrong.
    """
    found, hidden = settings or DaskSettings.load(), secrets or Secrets.from_environment()
    c.DaskGateway.backend_class = "romanhub.kubernetes.gateway.KubeClusterBackend"
    c.DaskGateway.authenticator_class = "dask_gateway_server.auth.JupyterHubAuthenticator"
    c.DaskGateway.address = found.api_address
    c.KubeClusterBackend.tiers_file = found.tiers_file
    c.KubeClusterBackend.database_url = hidden.database_url.get_secret_value()
    c.KubeClusterBackend.environment = found.identity
    c.KubeClusterBackend.api_url = c.KubeController.api_url = found.api_url
    c.KubeBackend.gateway_instance = c.KubeController.gateway_instance = found.instance
    c.KubeController.address = found.controller_address
    c.KubeController.proxy_prefix = found.prefix

    kube = c.KubeClusterConfig
    kube.namespace = found.namespace
    kube.image = found.image
    kube.image_pull_policy = found.image_pull_policy
    kube.image_pull_secrets = [{"name": name} for name in found.image_pull_secrets]
    kube.scheduler_cores = min(found.scheduler.cores, found.scheduler.most_cores)
    kube.scheduler_cores_limit = found.scheduler.most_cores
    kube.scheduler_memory = kube.scheduler_memory_limit = int(found.scheduler.memory_gib * 2**30)
    # Dask's own commands: upstream's are gone since distributed 2026.6. Web servers on ports would be open to
    # everybody whom the network lets through, so the preload ends them.
    kube.scheduler_cmd = ["dask", "scheduler", "--no-dashboard", "--preload", "romanhub.client.dashboard"]
    kube.worker_cmd = ["dask", "worker", "--no-dashboard"]
    kube.environment = {
        # As in the kernel: AstroPy uses what it has, and asks no address outside.
        "DASK_DISTRIBUTED__WORKER__PRELOAD": '["romanhub.client.offline", "romanhub.client.dashboard"]',
        # What does not fit into memory is written beside nothing else.
        "DASK_TEMPORARY_DIRECTORY": "/tmp",  # noqa: S108  -- of the pod alone
        **found.environment,
    }
