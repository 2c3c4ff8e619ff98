"""An extension of the Jupyter server: a kernel that computes counts as activity, also while it prints nothing.

A Jupyter server notes activity of a kernel when it sends something. One that computes in silence looks idle,
and with nobody's browser open, so does the whole server. This extension says that it is not: every minute in
which a kernel is busy is noted under a name that ends in ``_last_activity``, which the Jupyter server counts
(`jupyter_server.serverapp.ServerWebApplication.last_activity`) and tells the hub with its own token. So
nobody needs the right to look into users' servers for this.

It runs in the users' environment and needs nothing of the rest of hubquota:

    c.ServerApp.jpserver_extensions = {"hubquota.activity": True}

How long a server may run in all is limited by the tier's longest session, busy or not.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any

#: Milliseconds between two looks at the kernels; the server tells the hub every few minutes.
PERIOD = 60_000
#: Where the Jupyter server finds it.
SETTING = "hubquota_busy_kernel_last_activity"


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "hubquota.activity"}]


def _load_jupyter_server_extension(server: Any) -> None:
    from tornado.ioloop import PeriodicCallback

    def look() -> None:
        note_busy(server.web_app.settings, server.kernel_manager)

    callback = PeriodicCallback(look, PERIOD)
    callback.start()


def note_busy(
    settings: MutableMapping[str, Any], kernels: Any, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> bool:
    """Note the time as one of activity if a kernel computes. Return whether one does.

    Args:
        settings: the Jupyter server's settings.
        kernels: its kernel manager.
        now: returns the time.
    """
    numbers = kernels.list_kernel_ids()
    busy = any(getattr(kernels.get_kernel(number), "execution_state", "") == "busy" for number in numbers)
    if busy:
        settings[SETTING] = now()
    return busy
