"""Dask Gateway for the tests: our backend as it is, names for a sign-in, and everything as one system user."""

import json
import os
from pathlib import Path

from dask_gateway_server.auth import SimpleAuthenticator
from romanhub.dask.backend import LocalClusterBackend
from romanhub.local.system_users import SystemUsers

c = get_config()  # noqa: F821
given = json.loads(os.environ["GATEWAY_TEST"])


class OneSystemUser(LocalClusterBackend):
    """Runs everything as the system user of the tests: whose processes these are, other tests show."""

    async def do_setup(self) -> None:
        await super().do_setup()
        self._users = SystemUsers(Path(self.homes), separate=False)


c.DaskGateway.address = f"127.0.0.1:{given['port']}"
c.DaskGateway.authenticator_class = SimpleAuthenticator
c.DaskGateway.backend_class = OneSystemUser
# Nobody connects to a cluster from outside here, so there is no proxy.
c.Proxy.externally_managed = True
c.Proxy.address = f"127.0.0.1:{given['web_port']}"
c.OneSystemUser.homes = given["folder"]
c.OneSystemUser.tiers_file = given["tiers"]
c.OneSystemUser.database_url = given["ledger"]
c.OneSystemUser.clusters_directory = given["folder"]
c.OneSystemUser.db_url = f"sqlite:///{given['folder']}/gateway.sqlite"
c.OneSystemUser.db_encrypt_keys = ["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]
c.OneSystemUser.api_url = f"http://127.0.0.1:{given['port']}/api"
c.OneSystemUser.stop_clusters_on_shutdown = given["stop_clusters"]
c.OneSystemUser.cluster_start_timeout = c.OneSystemUser.worker_start_timeout = 180
c.OneSystemUser.cluster_heartbeat_timeout = 180
c.ClusterConfig.scheduler_cmd = [given["dask"], "scheduler", "--no-dashboard"]
c.ClusterConfig.worker_cmd = [given["dask"], "worker", "--no-dashboard", "--no-nanny"]
c.ClusterConfig.environment = {"PATH": os.environ["PATH"], "PYTHONPATH": given["client"]}
