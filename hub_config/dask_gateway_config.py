"""Dask Gateway's configuration on one machine. It says what is where; what happens is in `romanhub.dask`."""

from dask_gateway_server.auth import JupyterHubAuthenticator
from romanhub.dask.backend import LocalClusterBackend
from romanhub.local.analysis import identity
from romanhub.local.aws import storage_environment
from romanhub.local.ports import HOST
from romanhub.local.settings import REGION, Settings

c = get_config()  # noqa: F821
settings = Settings.load()
ports = settings.ports

c.DaskGateway.address = f"{HOST}:{ports.gateway}"
c.DaskGateway.authenticator_class = JupyterHubAuthenticator
c.DaskGateway.backend_class = LocalClusterBackend
c.Proxy.address = f"{HOST}:{ports.gateway_web}"
c.Proxy.tcp_address = f"{HOST}:{ports.gateway_scheduler}"
c.Proxy.prefix = "/services/dask-gateway"
c.Proxy.gateway_url = f"http://{HOST}:{ports.gateway}"
c.Proxy.externally_managed = True

c.LocalClusterBackend.homes = str(settings.state.homes)
c.LocalClusterBackend.tiers_file = str(settings.tiers_file)
c.LocalClusterBackend.database_url = settings.ledger_url
c.LocalClusterBackend.region = REGION
c.LocalClusterBackend.clusters_directory = str(settings.state.clusters)
c.LocalClusterBackend.db_url = f"sqlite:///{settings.state.private / 'gateway.sqlite'}"
c.LocalClusterBackend.db_encrypt_keys = [settings.secrets.gateway_database]
c.LocalClusterBackend.api_url = f"http://{HOST}:{ports.gateway}/api"
c.LocalClusterBackend.ready_python = str(settings.roman.python)
c.LocalClusterBackend.inherited_environment = ["LANG", "LC_ALL", "TZ"]

# Workers run in the very environment of the notebooks.
dask = str(settings.roman.bin / "dask")
c.LocalClusterBackend.environment = identity(settings.roman)
# Web servers on ports would be open to everybody on the machine: the preload puts a scheduler's on a socket of its
# owner's, where it also makes the dashboard, and ends a worker's.
c.ClusterConfig.scheduler_cmd = [dask, "scheduler", "--no-dashboard", "--preload", "romanhub.client.dashboard"]
c.ClusterConfig.worker_cmd = [dask, "worker", "--no-dashboard"]
c.ClusterConfig.environment = {
    "PATH": f"{settings.roman.bin}:/usr/local/bin:/usr/bin:/bin",
    **storage_environment(settings.state.aws_config, f"{settings.url}/services/broker/"),
    # As in the kernel: AstroPy uses what it has, and asks no address outside.
    "DASK_DISTRIBUTED__WORKER__PRELOAD": '["romanhub.client.offline", "romanhub.client.dashboard"]',
}
