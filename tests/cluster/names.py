"""The names of Services for pods, as a cluster's DNS would answer for them.

It stands in for CoreDNS, which cannot be had here: addresses (A) of Services alone, over UDP.
"""

from __future__ import annotations

import socket
import struct
import threading

import httpx

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
        threading.Thread(target=self._run, daemon=True).start()

    def close(self) -> None:
        """Answer no more."""
        self._socket.close()

    def _run(self) -> None:
        while True:
            try:
                request, sender = self._socket.recvfrom(512)
            except OSError:
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
