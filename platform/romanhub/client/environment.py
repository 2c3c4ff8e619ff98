"""Which software environment this is, so that a notebook and its Dask workers are of the same one.

An environment's identity is a word that changes with its content. On one machine it is a digest of the lock that
the environment was made from and of the platform's own library in it; on Kubernetes, the image's digest. The
platform hands it to every server at its start, in `ROMANHUB_ENVIRONMENT`, and writes it into the environment
itself. The gateway compares what a client sends with that of the workers that it would start.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from romanhub.client.errors import ClusterRefusedError

#: The variable that the platform sets in every server.
VARIABLE = "ROMANHUB_ENVIRONMENT"

#: The file in an environment's folder that tells it from other ones. It holds its identity.
FILE = ".romanhub-environment"

#: The gateway's option that carries the identity.
OPTION = "environment"

RESTART = "Restart your server (File, Hub Control Panel, Stop My Server, then Start My Server)"


def identity(environment: Mapping[str, str] | None = None, prefix: str | None = None) -> str:
    """Return the identity of the environment that this code runs in; empty where the platform set none.

    What the server was told at its start counts, not what is written in the environment now: an environment that
    was replaced while the server ran is another one than the one that the server's processes have loaded.

    :param environment: the process' environment variables; its own without it.
    :param prefix: the folder of the environment of the running interpreter; its own without it.
    :raises ClusterRefusedError: where the interpreter is not that of the platform's environment.
    """
    told = (os.environ if environment is None else environment).get(VARIABLE, "")
    if told and not (Path(sys.prefix if prefix is None else prefix) / FILE).is_file():
        raise ClusterRefusedError(
            "This code does not run in the platform's own software environment, so Dask workers would not have "
            "the same packages, and no cluster was started. Use the kernel Roman."
        )
    return told
