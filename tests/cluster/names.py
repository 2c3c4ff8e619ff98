"""The names of Services for pods, as a cluster's DNS would answer for them.

It stands in for CoreDNS, which cannot be had here: addresses (A) of Services alone, over UDP.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.cluster import given
from tests.cluster.planes import Plane

#: Where they are told to this machine's programs alone, since the pods of a cluster that is given have its own.
OURS = "127.77.0.1"

#: What the names of Services end in, in full.
DOMAIN = "svc.cluster.local"


class Names:
    """Answers for names of Services until it is closed.

    Parameters
    ----------
    api
        An administrator's client of the API server, for this alone.
    address
        Where it listens, at the port of DNS.
    """

    def __init__(self, api: httpx.Client, address: str) -> None:
        self._api = api
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, 53))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answer no more, and leave the port to others."""
        # While somebody waits at a socket, it is not gone, whoever closes it: an empty question ends the wait.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        while True:
            request, sender = self._socket.recvfrom(512)
            if not request:
                return
            self._socket.sendto(self._answer(request), sender)

    def _answer(self, request: bytes) -> bytes:
        labels, at = [], 12
        while request[at]:
            labels.append(request[at + 1 : at + 1 + request[at]].decode())
            at += 1 + request[at]
        kind = struct.unpack("!H", request[at + 1 : at + 3])[0]
        found = self._addresses(".".join(labels).lower().removesuffix(f".{DOMAIN}"))
        addresses = found if found and kind == 1 else []
        code = 0 if found else 3
        head = request[:2] + struct.pack("!HHHHH", 0x8580 | code, 1, len(addresses), 0, 0)
        answers = b"".join(
            b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 5, 4) + socket.inet_aton(address) for address in addresses
        )
        return head + request[12 : at + 5] + answers

    def _addresses(self, name: str) -> list[str]:
        service, dot, namespace = name.partition(".")
        if not dot or "." in namespace:
            return []
        base = f"/api/v1/namespaces/{namespace}"
        try:
            asked = self._api.get(f"{base}/services/{service}")
            if not asked.is_success:
                return []
            address = asked.json()["spec"].get("clusterIP", "None")
            if address != "None":
                return [address]
            # Without an address of its own it stands for its pods'.
            found = self._api.get(f"{base}/endpoints/{service}")
            subsets = found.json().get("subsets") or [] if found.is_success else []
        except httpx.HTTPError:
            return []
        return [one["ip"] for subset in subsets for one in subset.get("addresses") or ()]


@contextmanager
def resolved(api: httpx.Client, plane: Plane, folder: Path) -> Iterator[None]:
    """Have names of Services resolve for this machine's programs, and for the pods of a cluster of its own.

    This process has to be in a mount namespace of its own, and the test is skipped where it is not.
    """
    address = plane.address
    files = {"resolv.conf": f"nameserver {address}\n"}
    if isinstance(plane, given.GivenPlane):
        if os.geteuid() != 0 or Path("/proc/self/ns/mnt").samefile("/proc/1/ns/mnt"):
            pytest.skip("it needs root, so that names of Services resolve here")
        address = OURS
        # Of other names only the API server's is asked for here.
        known = f"{socket.gethostbyname(plane.host)} {plane.host}\n"
        files = {"resolv.conf": f"nameserver {address}\n", "hosts": Path("/etc/hosts").read_text() + known}
    names = Names(api, address)
    mounted = []
    try:
        for name, text in files.items():
            (folder / name).write_text(text)
            subprocess.run(["mount", "--bind", str(folder / name), f"/etc/{name}"], check=True)
            mounted.append(name)
        yield
    finally:
        names.close()
        for name in mounted:
            subprocess.run(["umount", f"/etc/{name}"], check=True)
