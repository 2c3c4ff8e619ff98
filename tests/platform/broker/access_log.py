"""The S3 server's own log of who asked for what, received as a Fluentd receives it."""

from __future__ import annotations

import codecs
import json
import socketserver
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from romanhub.local.settings import HOST


class AccessLog:
    """What the server sent so far: a line for each request, with `requester_arn`, `operation`, `key` and more."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._lines: list[dict[str, Any]] = []
        log = self

        class Receiver(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                log._receive(self.request.recv)

        self._server = socketserver.ThreadingTCPServer((HOST, 0), Receiver)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def configure(self, path: Path) -> Path:
        """Write the file that tells the server where its log goes; return its path."""
        host, port = self._server.server_address[:2]
        told = {"fluent_host": host, "fluent_port": port, "marshal_as_json": True, "async": True}
        path.write_text(json.dumps(told))
        return path

    def wait_for(self, wanted: Callable[[dict[str, Any]], bool], *, seconds: float = 30) -> dict[str, Any]:
        """Return the first line that is wanted, once it is there."""
        with self._changed:
            there = self._changed.wait_for(lambda: any(map(wanted, self._lines)), seconds)
            assert there, "the server's log does not say so"
            return next(filter(wanted, self._lines))

    def close(self) -> None:
        """Receive no more."""
        self._server.shutdown()
        self._server.server_close()

    def _receive(self, receive: Callable[[int], bytes]) -> None:
        # The protocol's form in JSON: lists of tag, time, line and options, one after the other.
        text, read, decode = "", json.JSONDecoder().raw_decode, codecs.getincrementaldecoder("utf-8")().decode
        while part := receive(2**16):
            text += decode(part)
            while text:
                try:
                    (_, _, line, _), end = read(text)
                except json.JSONDecodeError:
                    break
                text = text[end:].lstrip()
                with self._changed:
                    self._lines.append(line)
                    self._changed.notify_all()
