"""The kinds of leases: what can run, as the ledger calls it."""

from __future__ import annotations

from typing import Final

#: A server.
SERVER: Final = "server"
#: A Dask worker; caps on workers count these.
WORKER: Final = "dask-worker"
#: A Dask cluster. Its lease is free: what costs are its workers.
CLUSTER: Final = "dask-cluster"
#: Scratch space: so many GiB in a bucket, until a date.
SCRATCH: Final = "scratch"
