"""What the hubs whose decisions are compared have in common: upstream's defaults, and a token."""

import os

from tests.bench.instant import CONFIGS, serve_admissions

c = get_config()  # noqa: F821
load_subconfig(str(CONFIGS / "plain.py"))  # noqa: F821

c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.allow_named_servers = True
# All at once is what is asked for.
c.JupyterHub.concurrent_spawn_limit = 0
c.JupyterHub.cleanup_servers = False
c.JupyterHub.services = [{"name": "benchmark", "api_token": os.environ["BENCH_TOKEN"]}]
c.JupyterHub.load_roles = [
    {"name": "benchmark", "services": ["benchmark"], "scopes": ["admin:users", "admin:servers", "admin:groups"]}
]
serve_admissions()
