"""The hub on the tests' cluster: our spawner over KubeSpawner, and the platform's own tiers."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from hubquota.hub import template_paths
from hubquota.hub.kubernetes import QuotaKubeSpawner
from hubquota.hub.plugins import QuotaDummyAuthenticator

given = json.loads(os.environ["HUB_TEST"])
c: Any = get_config()  # type: ignore[name-defined]  # noqa: F821

c.JupyterHub.spawner_class = QuotaKubeSpawner
c.JupyterHub.authenticator_class = QuotaDummyAuthenticator
c.JupyterHub.template_paths = template_paths
c.JupyterHub.db_url = "sqlite:///hub.sqlite"
c.JupyterHub.cleanup_servers = False
c.JupyterHub.bind_url = f"http://{given['address']}:{given['port']}"
if pod := os.environ.get("POD_IP"):
    # The hub is a pod, and its proxy is not in it.
    c.JupyterHub.hub_bind_url = f"http://0.0.0.0:{given['inner_ports'][0]}"
    c.JupyterHub.hub_connect_url = f"http://{pod}:{given['inner_ports'][0]}"
    c.ConfigurableHTTPProxy.should_start = False
else:
    c.JupyterHub.hub_bind_url = f"http://{given['address']}:{given['inner_ports'][0]}"
    c.ConfigurableHTTPProxy.command = [str(Path(sys.executable).with_name("configurable-http-proxy"))]
c.ConfigurableHTTPProxy.api_url = f"http://{given['address']}:{given['inner_ports'][1]}"
c.ConfigurableHTTPProxy.auth_token = given["proxy_token"]
c.Authenticator.allow_all = True

c.Spawner.quota_tiers_file = given["tiers_file"]
c.Spawner.quota_database_url = given["database_url"]
c.Spawner.quota_hub = given["name"]
c.Spawner.cmd = ["jupyterhub-singleuser"]
c.Spawner.default_url = "/lab"
c.Spawner.start_timeout = c.Spawner.http_timeout = 180
c.Spawner.poll_interval = 2
c.KubeSpawner.namespace = given["namespace"]
c.KubeSpawner.image = given["image"]
c.KubeSpawner.image_pull_policy = given["pull"]
c.KubeSpawner.uid = c.KubeSpawner.fs_gid = 1000
c.KubeSpawner.allow_privilege_escalation = False
c.KubeSpawner.container_security_context = {
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
# A home is a folder of the node, which stands for a volume: there is nothing here that makes volumes. On a cluster
# that is given it ends with its pod.
where = {"hostPath": {"path": f"{given['homes']}/{{username}}", "type": "Directory"}} if given["homes"] else {}
c.KubeSpawner.volumes = [{"name": "home", **(where or {"emptyDir": {}})}]
c.KubeSpawner.volume_mounts = [{"name": "home", "mountPath": "/home/roman"}]
# A node that says nothing is given up after seconds, not minutes: tests wait for it.
c.KubeSpawner.tolerations = [
    {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 3}
    for key in ("unreachable", "not-ready")
]
c.KubeSpawner.extra_pod_config = {"terminationGracePeriodSeconds": 5}

c.JupyterHub.services = [{"name": "tests", "api_token": given["token"]}]
c.JupyterHub.load_roles = [
    {
        "name": "tests",
        "services": ["tests"],
        "scopes": ["admin:users", "admin:servers", "admin:server_state", "access:servers"],
    },
]
