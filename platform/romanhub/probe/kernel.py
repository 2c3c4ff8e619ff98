"""A kernel behind the hub, spoken to over its websocket as Lab does."""

from __future__ import annotations

import json
import re
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

#: A traceback is coloured for a terminal.
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class CellResult:
    """What one cell did: its text, its displays by media type, and its traceback where it failed."""

    text: str = ""
    mime: list[dict[str, str]] = field(default_factory=list)
    error: str | None = None


class Kernel:
    """A kernel that runs in a user's server.

    Parameters
    ----------
    base
        The server's address, without a trailing slash.
    kernel_id
        The kernel's number in that server.
    token
        A token that may use the server.
    socket
        The open websocket.
    """

    def __init__(self, base: str, kernel_id: str, token: str, socket: Any) -> None:
        self.base = base
        self.id = kernel_id
        self._token = token
        self._socket = socket

    @classmethod
    async def start(cls, base: str, token: str, *, name: str = "roman") -> Kernel:
        """Start a kernel in a server and connect to it.

        Raises
        ------
        httpx.HTTPError
            Where the server does not start one.
        """
        async with httpx.AsyncClient(headers=_header(token), timeout=60, trust_env=False) as client:
            answer = await client.post(f"{base}/api/kernels", json={"name": name})
            answer.raise_for_status()
        return await cls.connect(base, answer.json()["id"], token)

    @classmethod
    async def connect(cls, base: str, kernel_id: str, token: str) -> Kernel:
        """Open the websocket of a kernel that runs."""
        address = f"{base.replace('http', 'ws', 1)}/api/kernels/{kernel_id}/channels"
        request = HTTPRequest(address, headers=_header(token), connect_timeout=60)
        socket = await websocket_connect(request, max_message_size=2**28)
        return cls(base, kernel_id, token, socket)

    async def run(self, code: str) -> CellResult:
        """Run one cell to its end.

        Raises
        ------
        ConnectionError
            Where the kernel goes away before the end.
        """
        message = uuid.uuid4().hex
        content = {
            "code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False,
            "stop_on_error": True,
        }  # fmt: skip
        header = {
            "msg_id": message,
            "msg_type": "execute_request",
            "version": "5.3",
            "session": message,
            "username": "",
        }
        request = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
        await self._socket.write_message(json.dumps(request))
        result = CellResult()
        while True:
            answer = await self._socket.read_message()
            if answer is None:
                raise ConnectionError("The kernel's connection was closed.")
            reply = json.loads(answer)
            if reply.get("parent_header", {}).get("msg_id") != message:
                continue
            content = reply["content"]
            match reply["header"]["msg_type"]:
                case "stream":
                    result.text += content["text"]
                case "execute_result" | "display_data":
                    result.mime.append(content["data"])
                    result.text += content["data"].get("text/plain", "")
                case "error":
                    result.error = _COLOUR.sub("", "\n".join(content["traceback"]))
                case "status" if content["execution_state"] == "idle":
                    return result

    async def end(self) -> None:
        """Leave the kernel and end it."""
        self.close()
        # Where the server is gone, its kernels are too.
        with suppress(httpx.HTTPError):
            async with httpx.AsyncClient(headers=_header(self._token), timeout=60, trust_env=False) as client:
                await client.delete(f"{self.base}/api/kernels/{self.id}")

    def close(self) -> None:
        """Leave the kernel; it goes on."""
        self._socket.close()


def _header(token: str) -> dict[str, str]:
    return {"Authorization": f"token {token}"}
