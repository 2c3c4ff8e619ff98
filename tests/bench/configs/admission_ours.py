"""A plain hub with hubquota in its three lines."""

import os

from tests.bench.instant import CONFIGS

c = get_config()  # noqa: F821
load_subconfig(str(CONFIGS / "admission.py"))  # noqa: F821

c.JupyterHub.spawner_class = "tests.bench.hub_side.TimedQuotaSpawner"
c.Spawner.quota_tiers_file = os.environ["BENCH_TIERS"]
c.Spawner.quota_database_url = os.environ["BENCH_LEDGER"]
