"""The plain hub on upstream's SQLite defaults, with servers that cost nothing."""

from tests.bench.hubs import PLAIN

c = get_config()  # noqa: F821
load_subconfig(str(PLAIN))  # noqa: F821

c.JupyterHub.authenticator_class = "dummy"
c.JupyterHub.spawner_class = "tests.bench.instant.InstantSpawner"
# A form, as our hub has one: both sides are asked for the very same pages.
c.Spawner.options_form = '<input name="size" value="small">'
# At the end there is nothing to stop.
c.JupyterHub.cleanup_servers = False
