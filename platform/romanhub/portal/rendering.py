"""The portal's templates and the files that they refer to."""

from __future__ import annotations

import hashlib
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined

from romanhub.portal.display import FILTERS
from romanhub.portal.settings import HubSettings

#: The files that pages refer to, with their media types.
STATIC = {"portal.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml"}


class Pages:
    """Renders the portal's templates; every template can use `hub`, the hub's settings, for its links."""

    def __init__(self, settings: HubSettings) -> None:
        folder = files("romanhub.portal") / "static"
        self.static = {name: (folder / name).read_bytes() for name in STATIC}
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
        )

    def render(self, template: str, **context: object) -> str:
        """The page that `template` makes of `context`."""
        return self._environment.get_template(template).render(**context)

    def version(self, name: str) -> str:
        """A word that changes with the content of a static file."""
        return hashlib.sha256(self.static[name]).hexdigest()[:12]

    def _address(self, settings: HubSettings, name: str) -> str:
        # The address changes with the content, so that browsers may keep the file for as long as they like.
        return f"{settings.prefix}static/{self.version(name)}/{name}"
