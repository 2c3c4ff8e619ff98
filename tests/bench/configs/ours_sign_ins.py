"""Our hub with its ledger, form and database, but a sign-in and servers that cost nothing."""

from tests.bench.hubs import OURS

c = get_config()  # noqa: F821
load_subconfig(str(OURS))  # noqa: F821

c.JupyterHub.authenticator_class = "dummy"
c.JupyterHub.spawner_class = "tests.bench.hub_side.InstantQuotaSpawner"
c.InstantQuotaSpawner = c.LocalServerSpawner
# At the end there is nothing to stop.
c.JupyterHub.cleanup_servers = False
