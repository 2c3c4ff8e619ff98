"""The spawner for Kubernetes that a hub finds by name: `c.JupyterHub.spawner_class = "quota-kubernetes"`."""

from __future__ import annotations

from kubespawner import KubeSpawner

from hubquota.hub.spawner import QuotaSpawnerMixin


class QuotaKubeSpawner(QuotaSpawnerMixin, KubeSpawner):  # type: ignore[misc]
    """Servers as pods, within their tier."""
