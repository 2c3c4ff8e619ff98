"""What a notebook does, run in the analysis environment: a cluster, and a computation on it.

It connects to the scheduler's own address: the gateway's proxy, which is Traefik's, is not part of these tests.
"""

from __future__ import annotations

import json
import sys

from dask_gateway import BasicAuth, Gateway
from distributed import Client

given = json.loads(sys.argv[1])
gateway = Gateway(given["url"], auth=BasicAuth(given["user"], ""))
cluster = gateway.new_cluster(shutdown_on_close=False, worker_memory=1, environment=given["environment"])
print(cluster.name, flush=True)
cluster.scale(2)
address = sys.stdin.readline().strip()
client = Client(f"tls://{address}:8786", security=cluster.security)
client.wait_for_workers(2)
print(sum(client.gather(client.map(lambda number: number * number, range(100)))), flush=True)
# The cluster runs on until this is ended.
sys.stdin.readline()
