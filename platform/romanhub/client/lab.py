"""The Dask panel of Lab, and clusters' dashboards: an extension of each user's own Jupyter server.

It answers what the panel of dask-labextension asks in the place of that package's own server extension, which
imports all of Dask at every server's start. Here Dask is imported when a first cluster is made from the panel.

Dashboards are served at `dask/dashboard/CLUSTER/`, behind the server's sign-in through the hub, which lets its
owner in and nobody else. They come from the socket that `romanhub.client.dashboard` makes.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from jupyter_server_proxy.handlers import ProxyHandler
from tornado import web

from romanhub.client.dashboard import SOCKET
from romanhub.client.errors import RomanHubError

#: The variable that the platform sets: the folder of clusters' working folders, which dashboards' sockets are in.
FOLDER_VARIABLE = "ROMANHUB_CLUSTERS"

#: The folder of a cluster that its processes work in.
WORK = "work"

#: A cluster as the gateway calls it, and as the panel does.
_NAME, _PANEL_ID = r"[0-9a-f]{32}", r"\w+-\w+-\w+-\w+-\w+"

#: Dask's part of the panel, imported when the panel first makes a cluster.
_MANAGER = "dask_labextension.manager"

_GONE = "This cluster has no dashboard here: it has ended, or it is another person's."


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "romanhub.client.lab"}]


def _load_jupyter_server_extension(app: Any) -> None:
    base = app.web_app.settings["base_url"]
    app.web_app.add_handlers(
        ".*$",
        [
            (url_path_join(base, f"dask/clusters/(?P<cluster_id>{_PANEL_ID})"), PanelHandler),
            (url_path_join(base, "dask/clusters/?"), PanelHandler),
            (url_path_join(base, "dask/dashboard-check/(?P<url>.+)"), CheckHandler),
            (
                url_path_join(base, f"dask/dashboard/(?P<cluster>{_PANEL_ID}|{_NAME})(?P<path>/.*)?"),
                DashboardHandler,
                # A dashboard that is left open in a tab says nothing of somebody at work.
                {"update_last_activity": False},
            ),
        ],
    )


class PanelHandler(APIHandler):  # type: ignore[misc]
    """The clusters that were made from the panel."""

    @web.authenticated
    async def get(self, cluster_id: str = "") -> None:
        """Show a cluster, or list them all."""
        # The panel asks every few seconds from Lab's start on, which is no activity of its owner.
        self._track_activity = False
        if _MANAGER not in sys.modules:
            if cluster_id:
                raise web.HTTPError(404, _GONE)
            self.finish("[]")
            return
        manager = await _manager()
        found = manager.get_cluster(cluster_id) if cluster_id else manager.list_clusters()
        if found is None:
            raise web.HTTPError(404, _GONE)
        self.finish(
            json.dumps(_with_cost(manager, found) if cluster_id else [_with_cost(manager, one) for one in found])
        )

    @web.authenticated
    async def put(self, cluster_id: str = "") -> None:
        """Make a cluster."""
        manager = await _manager()
        self.finish(json.dumps(await _plainly(manager.start_cluster(cluster_id))))

    @web.authenticated
    async def delete(self, cluster_id: str) -> None:
        """Shut a cluster down."""
        manager = await _manager()
        if await _plainly(manager.close_cluster(cluster_id)) is None:
            raise web.HTTPError(404, _GONE)
        self.set_status(204)
        self.finish()

    @web.authenticated
    async def patch(self, cluster_id: str) -> None:
        """Scale a cluster."""
        manager = await _manager()
        asked = json.loads(self.request.body)
        if manager.get_cluster(cluster_id) is None:
            raise web.HTTPError(404, _GONE)
        if (limits := asked.get("adapt")) is not None:

            async def adapt() -> Any:
                return manager.adapt_cluster(cluster_id, limits["minimum"], limits["maximum"])

            found = await _plainly(adapt())
        else:
            found = await _plainly(manager.scale_cluster(cluster_id, asked["workers"]))
        self.finish(json.dumps(found))


class CheckHandler(APIHandler):  # type: ignore[misc]
    """Whether an address that somebody typed into the panel is a dashboard's."""

    @web.authenticated
    async def get(self, url: str) -> None:
        """Ask the address."""
        await _manager()
        check = import_module("dask_labextension.dashboardhandler").DaskDashboardCheckHandler
        await check.get(self, url)


class DashboardHandler(ProxyHandler):  # type: ignore[misc]
    """Passes requests on to the socket of a scheduler of the server's owner; anybody else's cannot be opened."""

    def _at(self, cluster: str, path: str | None) -> str:
        """Find the cluster's socket; return the path to ask there."""
        if not re.fullmatch(_NAME, cluster):
            cluster = _made_in_the_panel(cluster)
        folder = os.environ.get(FOLDER_VARIABLE, "")
        socket = Path(folder, cluster, WORK, SOCKET)
        try:
            found = bool(folder) and socket.is_socket()
        except PermissionError:
            found = False
        if not found:
            raise web.HTTPError(404, _GONE)
        self.unix_socket = str(socket)
        self.proxy_base = f"dask/dashboard/{cluster}"
        return path or "/"

    async def open(self, cluster: str, path: str | None = None) -> None:
        """Connect a websocket."""
        await self.proxy_open("localhost", 80, self._at(cluster, path))

    async def proxy_on(self, cluster: str, path: str | None = None) -> None:
        """Pass on a request."""
        if not path:
            # Links in the pages are relative.
            self.redirect(f"{self.request.path}/")
            return
        await self.proxy("localhost", 80, self._at(cluster, path))

    http_get = post = put = delete = head = patch = options = proxy_on


async def _manager() -> Any:
    """Dask's part of the panel. It is imported in a thread as far as that goes: it takes a second."""
    await asyncio.to_thread(import_module, "romanhub.client.panel")
    return import_module(_MANAGER).manager


def _with_cost(manager: Any, model: dict[str, Any]) -> dict[str, Any]:
    """What the panel shows of a cluster, with what it costs in the two lines that are text of our choice."""
    cluster = manager._clusters[model["id"]]
    lasts = cluster.lasts()
    memory = f"{model['memory']}, lasts {lasts}" if lasts else model["memory"]
    return model | {"name": cluster.headline(), "memory": memory}


async def _plainly(act: Any) -> Any:
    """Do something with a cluster; what goes wrong is said in the panel as a sentence."""
    try:
        return await act
    except RomanHubError as error:
        raise web.HTTPError(409, str(error)) from None


def _made_in_the_panel(panel_id: str) -> str:
    """The gateway's name of a cluster that was made from the panel; empty where there is none."""
    manager = sys.modules.get(_MANAGER)
    found = None if manager is None else manager.manager.get_cluster(panel_id)
    link = re.search(_NAME, found["dashboard_link"] if found else "")
    return link[0] if link else "none"
