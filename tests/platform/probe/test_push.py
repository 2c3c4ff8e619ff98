"""A report reaches a Pushgateway. The server here is a stand-in for one: it takes what it is sent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from romanhub.local.environments import SetupError
from romanhub.probe.command import push_metrics


@pytest.fixture
def gateway() -> Iterator[tuple[str, dict[str, str]]]:
    taken: dict[str, str] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            taken[self.path] = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self.send_response(200 if self.path.startswith("/metrics/job/") else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", taken
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_report_is_put_in_place_of_the_one_before(gateway: tuple[str, dict[str, str]]) -> None:
    url, taken = gateway
    push_metrics(f"{url}/", "romanhub_probe_success 1\n")
    assert taken == {"/metrics/job/romanhub_probe": "romanhub_probe_success 1\n"}


def test_a_gateway_that_does_not_take_it_is_said(gateway: tuple[str, dict[str, str]]) -> None:
    url, _ = gateway
    with pytest.raises(SetupError, match="did not take the metrics"):
        push_metrics(f"{url}/wrong", "")
