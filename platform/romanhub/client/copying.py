"""An extension of the Jupyter server: a link of the community's pages becomes a copy in its user's home.

An entry's page, a paper or a mail lead to `/hub/user-redirect/romanhub/copy?entry=…&version=…`, by way of the
portal. The hub leads on to the server of whoever follows the link, after its spawn form where none runs. What is
copied is a public entry, under a name that is not taken. Nothing of it runs before the user runs it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from romanhub.models.community import ENTRY_NAME


def asked(arguments: Mapping[str, list[bytes]]) -> tuple[str, int]:
    """Return the entry and the version that an address's query names. Raises ValueError for what is none."""
    entry, version = (
        b"".join(arguments.get(name, [])).decode("ascii", "replace") for name in ("entry", "version")
    )
    if len(entry) > 100 or not re.fullmatch(ENTRY_NAME, entry):
        raise ValueError("no entry of the community is called that")
    if not re.fullmatch(r"[1-9]\d{0,8}", version):
        raise ValueError("that is no version's number")
    return entry, int(version)


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "romanhub.client.copying"}]


def _load_jupyter_server_extension(server: Any) -> None:
    from jupyter_server.base.handlers import JupyterHandler
    from jupyter_server.utils import url_path_join
    from tornado import web

    class MakeCopy(JupyterHandler):  # type: ignore[misc]  # jupyter_server's own is untyped here
        @web.authenticated
        async def get(self) -> None:
            """Write the copy and open it."""
            from romanhub.client import community
            from romanhub.client.errors import PortalUnavailableError, RomanHubError

            try:
                entry, version = asked(self.request.query_arguments)
            except ValueError:
                raise web.HTTPError(
                    400, "This address names no entry of the community. Open the copy from the entry's page."
                ) from None
            folder = Path(self.contents_manager.root_dir)
            try:
                written = await asyncio.to_thread(community.copy, entry, folder, version)
            except PortalUnavailableError as error:
                raise web.HTTPError(503, str(error)) from None
            except RomanHubError as error:
                raise web.HTTPError(409, str(error)) from None
            except OSError:
                raise web.HTTPError(
                    507, "Your home cannot be written. It may be full: remove something and try again."
                ) from None
            self.redirect(url_path_join(self.base_url, "lab/tree", written.name))

    path = url_path_join(server.web_app.settings["base_url"], "romanhub/copy")
    server.web_app.add_handlers(".*$", [(path, MakeCopy)])
