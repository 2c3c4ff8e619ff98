"""A plain hub with jupyterhub-usage-quotas: everybody has plenty, and one person an hour of a small server."""

import os

from jupyterhub_usage_quotas import setup_usage_quotas

from tests.bench.instant import CONFIGS, InstantSpawner, TimedHook

c = get_config()  # noqa: F821
load_subconfig(str(CONFIGS / "admission.py"))  # noqa: F821


class Spawner(TimedHook, InstantSpawner):
    """Servers that cost nothing."""


c.JupyterHub.load_groups = {"everybody": {"users": []}, "poor": {"users": []}}
c.UsageQuotaManager.prometheus_url = os.environ["BENCH_PROMETHEUS"]
c.UsageQuotaManager.hub_namespace = "hub"
# Fail closed: a decision without an answer would be none.
c.UsageQuotaManager.failover_open = False
c.UsageQuotaManager.policy = [
    {"resource": "memory", "limit": "1000000G", "window": 30, "scope": {"group": ["everybody"]}},
    {"resource": "memory", "limit": "4G", "window": 30, "scope": {"group": ["poor"]}},
]
c.UsageQuotaManager.prometheus_emit_interval = 3600
c.UsageQuotaManager.metrics_exporter_token = os.environ["BENCH_TOKEN"]
c.UsageQuotaManager.hub_url = f"http://127.0.0.1:{os.environ['BENCH_HUB_PORT']}"
setup_usage_quotas(c)
# It is given to KubeSpawner, which these servers are not.
c.Spawner.pre_spawn_hook = c.KubeSpawner.pre_spawn_hook
c.JupyterHub.spawner_class = Spawner
