"""Ports for the servers that tests start."""

from __future__ import annotations

import socket
from random import SystemRandom

#: Those that this run was given already: a server may take a while until it listens.
_given: set[int] = set()


def free_port() -> int:
    """A port that nothing listens on now, that no outgoing connection is given, and that is returned only once."""
    while True:
        port = SystemRandom().randrange(12000, 20000)
        if port not in _given and _is_free(port):
            _given.add(port)
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
