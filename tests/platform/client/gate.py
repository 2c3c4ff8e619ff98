"""A gate before a real S3 server, which passes requests on as they are, and can drop, refuse or delay them."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

EXPIRED = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"


@dataclass
class Gate:
    """What the gate does. `drop` says after how many bytes of a body the connection breaks off; None for not."""

    url: str = ""
    drop: Callable[[str], int | None] = lambda _: None
    refuse: Callable[[str], bool] = lambda _: False
    busy: Callable[[str], bool] = lambda _: False
    passed: list[tuple[str, str]] = field(default_factory=list)


@contextmanager
def gate_before(endpoint: str) -> Iterator[Gate]:
    """Open a gate before the server at `endpoint`."""
    gate = Gate()
    server = urlsplit(endpoint).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            gate.passed.append((self.command, self.headers.get("Range", "")))
            if gate.busy(self.path):
                return self._say(503, b"")
            if gate.refuse(self.path):
                return self._say(403, EXPIRED)
            upstream = http.client.HTTPConnection(server, timeout=60)
            upstream.request(self.command, self.path, headers=dict(self.headers))
            reply = upstream.getresponse()
            body = reply.read()
            upstream.close()
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                if name.lower() not in ("connection", "transfer-encoding", "date", "server"):
                    self.send_header(name, value)
            self.end_headers()
            stop = gate.drop(self.path) if reply.status in (200, 206) else None
            self.wfile.write(body[:stop])
            self.close_connection = stop is not None
            return None

        do_HEAD = do_GET  # noqa: N815  -- the name that http.server looks for

        def _say(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    gate.url = f"http://127.0.0.1:{listening.server_address[1]}"
    try:
        yield gate
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()
