"""What the Dask panel of Lab makes clusters with: `dask-labextension` finds it by its configuration."""

from __future__ import annotations

from typing import Any

from romanhub.client.environment import identity
from romanhub.client.gateway import ClosingGateway
from romanhub.client.running import RomanHubCluster


class DaskCluster(RomanHubCluster):
    """A cluster of the panel's, without workers until it is scaled. The panel lists it by this class' name."""

    async def _start_async(self) -> None:
        # Whether it is of the server's environment is asked before the gateway is.
        identity()
        await super()._start_async()


def security_for(info: dict[str, Any]) -> Any:
    """Return what a client needs to connect to a cluster of the user's by its address alone.

    The panel's code for a notebook names nothing but the address. Dask calls this for it
    (`distributed.client.security-loader`).
    """
    address = str(info.get("address", ""))
    if not address.startswith("gateway://"):
        return None
    with ClosingGateway() as gateway:
        return gateway.get_cluster(address.rpartition("/")[2]).security
