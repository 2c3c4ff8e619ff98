"""Choose the ports that the parts listen on, and keep them from one run to the next."""

from __future__ import annotations

import errno
import json
import socket
from collections.abc import Collection
from pathlib import Path
from random import Random, SystemRandom

from pydantic import BaseModel, ConfigDict, Field

from romanhub.local.environments import SetupError

#: Everything listens on loopback alone.
HOST = "127.0.0.1"

#: Below what Linux gives to outgoing connections (32768 and up, unless it is set otherwise), so that none of a
#: part's ports is taken while that part starts again.
OUR_RANGE = range(20000, 30000)


class Ports(BaseModel):
    """The port of each part. Users' servers that outlive the hub remember these, so they must not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    public: int = Field(description="Where people sign in: the proxy.")
    proxy_api: int = Field(description="Where the hub tells the proxy its routes.")
    hub: int = Field(description="The hub itself, behind the proxy.")
    portal: int = Field(description="The portal, behind the proxy.")
    broker: int = Field(description="The credential broker, behind the proxy.")
    search: int = Field(description="The archive's search service, behind the proxy.")
    gateway: int = Field(description="Dask Gateway's API.")
    gateway_web: int = Field(description="Dask Gateway's proxy: its API and the clusters' dashboards.")
    gateway_scheduler: int = Field(description="Dask Gateway's proxy for connections to schedulers.")
    archive: int = Field(description="The archive's S3 server.")
    archive_grpc: int = Field(description="The S3 server's own traffic.")
    archive_master: int = Field(description="The archive server's master.")
    archive_master_grpc: int = Field(description="The master's own traffic.")
    archive_volume: int = Field(description="The archive server's volume store.")
    archive_volume_grpc: int = Field(description="The volume store's own traffic.")
    archive_filer: int = Field(description="The archive server's index of names.")
    archive_filer_grpc: int = Field(description="The index's own traffic.")


def is_free(port: int) -> bool:
    """Whether the platform could listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def choose(kept: Path, public: int) -> Ports:
    """The ports of the last run where they are still free, else new ones, kept for the next run.

    Parameters
    ----------
    kept
        The file that remembers them.
    public
        The port that people sign in at.

    Raises
    ------
    SetupError
        Where the public port is taken.
    """
    if not is_free(public):
        raise SetupError(
            f"Port {public} is taken or not allowed. Choose another: ROMANHUB_PORT={public + 1000} make run"
        )
    before = json.loads(kept.read_text()) if kept.exists() else {}
    chosen: dict[str, int] = {"public": public}
    for name in Ports.model_fields:
        if name == "public":
            continue
        port = before.get(name)
        if not isinstance(port, int) or not is_free(port) or port in chosen.values():
            port = unused(chosen.values(), SystemRandom())
        chosen[name] = port
    ports = Ports(**chosen)
    kept.write_text(ports.model_dump_json(indent=2))
    return ports


def unused(avoid: Collection[int], random: Random) -> int:
    """A port that the platform could listen on now, and that no outgoing connection is given meanwhile.

    Parameters
    ----------
    avoid
        Ports that are promised already.
    random
        What chooses.

    Raises
    ------
    SetupError
        Where none is free.
    """
    for port in random.sample(OUR_RANGE, len(OUR_RANGE)):
        if port not in avoid and is_free(port):
            return port
    raise SetupError(
        f"No port from {OUR_RANGE[0]} to {OUR_RANGE[-1]} is free on this machine. End what listens there."
    )
