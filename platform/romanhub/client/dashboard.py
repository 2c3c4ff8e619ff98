"""A scheduler's dashboard for its owner alone, and no web server of workers.

Dask's own web server listens on a port, which on one machine everybody could open; with tasks' arguments, logs
and code on it. So it is moved to a socket in a folder that only the cluster's owner may enter, where the owner's
own Jupyter server finds it (`romanhub.client.lab`). The plots, whose library takes a second to import, are made
when somebody first looks.

The gateway starts schedulers and workers with this module as a preload of Dask's.
"""

from __future__ import annotations

from typing import Any

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPMessageDelegate, HTTPServerConnectionDelegate
from tornado.netutil import bind_unix_socket

#: The socket's name, in the folder that the scheduler works in.
SOCKET = "dashboard"


class _OnceLookedAt(HTTPServerConnectionDelegate):
    """Passes requests to the scheduler's own application, with the plots added before the first one."""

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler
        self._connected = False

    def start_request(self, server_conn: object, request_conn: Any) -> HTTPMessageDelegate:
        """Answer a request: tornado calls this."""
        application = self._scheduler.http_application
        if not self._connected:
            from distributed.dashboard.scheduler import connect

            connect(application, self._scheduler.http_server, self._scheduler)
            self._connected = True
        found: HTTPMessageDelegate = application.start_request(server_conn, request_conn)
        return found


def dask_setup(server: Any) -> None:
    """Close the web server's port; of a scheduler, open the socket instead. Dask calls this."""
    server.http_server.stop()
    if hasattr(server, "add_plugin") and hasattr(server, "workers"):
        # Relative to the folder: a socket's path may have about a hundred letters only.
        HTTPServer(_OnceLookedAt(server)).add_socket(bind_unix_socket(SOCKET, mode=0o600))
