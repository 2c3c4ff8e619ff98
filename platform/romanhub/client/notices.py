"""What Lab tells its owner while they work, such as that the server will be stopped: an extension of their server.

The page in the browser asks the server, which asks the portal with its own token. That one may read its owner's
notices and not mark them as seen: this is done on the portal's page, which each word in Lab leads to.

What it needs is imported when it is first asked, so that a server starts no later for it.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado import web

from romanhub.client.errors import RomanHubError

#: What is about to take away what somebody works with: it stays on the screen until they have read it.
URGENT = frozenset({"server-stop", "budget-left"})

#: So many are told at once; the portal's page has all.
_MOST = 10


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "romanhub.client.notices"}]


def _load_jupyter_server_extension(app: Any) -> None:
    address = url_path_join(app.web_app.settings["base_url"], "romanhub/notices")
    app.web_app.add_handlers(".*$", [(address, NoticesHandler, {"since": datetime.now(UTC)})])


class NoticesHandler(APIHandler):  # type: ignore[misc]
    """What the server's owner was told since it started, and has not seen on the portal."""

    def initialize(self, since: datetime) -> None:
        """Take the time from which on notices are told here: older ones waited on the hub's page already."""
        self._since = since

    @web.authenticated
    async def get(self) -> None:
        """Ask the portal."""
        # Lab asks by itself once a minute, which is no activity of its owner.
        self._track_activity = False
        try:
            found = await asyncio.to_thread(_unseen, self._since)
        except RomanHubError as error:
            raise web.HTTPError(503, str(error)) from None
        self.finish(json.dumps(found))


def _unseen(since: datetime) -> dict[str, Any]:
    from pydantic import AwareDatetime, BaseModel

    from romanhub.client.community import address_of
    from romanhub.client.connection import Portal

    class Notice(BaseModel):
        id: int
        kind: str
        subject: str
        text: str
        made_at: AwareDatetime

    class Answer(BaseModel):
        notices: tuple[Notice, ...]

    portal = Portal.from_environment()
    answer = portal.get(f"api/notices?unread_only=true&limit={_MOST}", Answer)
    return {
        "notices": [
            {"id": one.id, "subject": one.subject, "text": one.text, "urgent": one.kind in URGENT}
            for one in answer.notices
            if one.made_at >= since
        ],
        "address": address_of(portal, "notices"),
    }
