"""A plain Dask Gateway beside a platform: upstream's backend for processes of one machine.

The hub that knows the people, the commands, the processes' environment and a worker's size are the platform's.
"""

import os

from dask_gateway_server.auth import JupyterHubAuthenticator
from dask_gateway_server.backends.local import UnsafeLocalBackend
from romanhub.local.ports import HOST
from romanhub.local.settings import Settings

c = get_config()  # noqa: F821
settings = Settings.load()
load_subconfig(os.environ["BENCH_PLATFORM_GATEWAY"])  # noqa: F821

c.DaskGateway.address = f"{HOST}:{os.environ['BENCH_GATEWAY_PORT']}"
c.DaskGateway.authenticator_class = JupyterHubAuthenticator
c.DaskGateway.backend_class = UnsafeLocalBackend
c.Proxy.address = f"{HOST}:{os.environ['BENCH_GATEWAY_WEB_PORT']}"
c.Proxy.tcp_address = f"{HOST}:{os.environ['BENCH_GATEWAY_SCHEDULER_PORT']}"
c.Proxy.gateway_url = f"http://{HOST}:{os.environ['BENCH_GATEWAY_PORT']}"
c.UnsafeLocalBackend.clusters_directory = os.environ["BENCH_GATEWAY_FOLDER"]
c.UnsafeLocalBackend.api_url = f"http://{HOST}:{os.environ['BENCH_GATEWAY_PORT']}/api"
c.UnsafeLocalBackend.inherited_environment = ["LANG", "LC_ALL", "TZ"]
c.ClusterConfig.worker_cores = int(os.environ["BENCH_WORKER_CORES"])
c.ClusterConfig.worker_memory = f"{os.environ['BENCH_WORKER_GIB']} G"
