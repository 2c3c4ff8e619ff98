"""The portal's templates and the files that they refer to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from importlib.resources import files
from pathlib import Path

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from romanhub.portal.auth import Visitor
from romanhub.portal.display import FILTERS
from romanhub.portal.forms import new_key
from romanhub.portal.navigation import Item, items_for
from romanhub.portal.settings import HubSettings

#: The files that pages refer to, with their media types.
STATIC = {
    "portal.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "sky.js": "text/javascript; charset=utf-8",
}

#: The viewer of the sky, which is not ours: installed beside the portal, from its lock in images/hub/sky.
VIEWER = "aladin.js"


class Pages:
    """Renders the portal's templates; every template can use `hub`, the hub's settings, for its links."""

    def __init__(
        self,
        settings: HubSettings,
        ticket: Callable[[Request], str],
        viewer: Path | None = None,
        *,
        without: Collection[str] = (),
    ) -> None:
        """Read the files.

        Args:
            settings: the hub's settings.
            ticket: makes what forms carry.
            viewer: the file of the viewer of the sky, where there is one.
            without: what the platform has none of: by what it calls itself in the navigation.
        """
        self._ticket, self._without = ticket, frozenset(without)
        folder = files("romanhub.portal") / "static"
        self.static = {name: (folder / name).read_bytes() for name in STATIC}
        if viewer is not None:
            self.static[VIEWER] = viewer.read_bytes()
        self._versions = {name: hashlib.sha256(data).hexdigest()[:12] for name, data in self.static.items()}
        self._environment = Environment(
            loader=PackageLoader("romanhub.portal"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(FILTERS)
        self._environment.globals.update(
            hub=settings,
            style_sheet=self._address(settings, "portal.css"),
            icon=self._address(settings, "icon.svg"),
            sky_script=self._address(settings, "sky.js"),
            viewer=self._address(settings, VIEWER) if viewer is not None else "",
        )

    def page(
        self, request: Request, template: str, *, here: str, status: int = 200, **context: object
    ) -> HTMLResponse:
        """The answer that shows a page to whoever `request` has let in, with a ticket for its forms."""
        visitor: Visitor = request.state.visitor
        signed_in = "authorization" not in request.headers and request.method == "GET"
        ticket = self._ticket(request) if signed_in else request.scope.get("portal.ticket", "")
        text = self.render(
            template,
            visitor=visitor,
            here=here,
            ticket=ticket,
            once=new_key(),
            items=self.items(request),
            **context,
        )
        return HTMLResponse(text, status)

    def items(self, request: Request) -> list[Item]:
        """The links at the top of a page, for whoever `request` has let in, or for nobody."""
        visitor, unread = getattr(request.state, "visitor", None), getattr(request.state, "unread", 0)
        return [item for item in items_for(visitor, unread) if item.here not in self._without]

    def render(self, template: str, **context: object) -> str:
        """The page that `template` makes of `context`."""
        return self._environment.get_template(template).render(**context)

    def version(self, name: str) -> str:
        """A word that changes with the content of a static file."""
        return self._versions[name]

    def media_type(self, name: str) -> str:
        """The media type of a static file."""
        return STATIC.get(name, STATIC["sky.js"])

    def _address(self, settings: HubSettings, name: str) -> str:
        # The address changes with the content, so that browsers may keep the file for as long as they like.
        return f"{settings.prefix}static/{self.version(name)}/{name}"
