"""An extension of the Jupyter server: a search of the portal's page becomes a notebook in its user's home.

The page of the archive links to `/hub/user-redirect/romanhub/notebook?…`, which the hub leads to the server of
whoever follows the link. This extension writes a notebook with the search as its cells, under a name that is not
taken, and opens it. The address carries the conditions and nothing else; each is checked, and none is run before
the user runs the cell.

It imports none of the scientific libraries, so that a server starts no later for it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

#: The notebooks' name, before a number where it is taken.
NAME = "archive-search"

#: So many of them at most: whoever has them all is asked to tidy up.
MOST = 1000


class Conditions(BaseModel):
    """The conditions of a search, as the portal's link names them: angles in degrees, moments in UTC."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ra: float | None = Field(default=None, ge=0, le=360, allow_inf_nan=False, description="Right ascension.")
    dec: float | None = Field(default=None, ge=-90, le=90, allow_inf_nan=False, description="Declination.")
    radius: float | None = Field(default=None, ge=0, le=180, allow_inf_nan=False, description="Of the cone.")
    filter: str | None = Field(default=None, pattern=r"^F\d{3}$", description="The filter.")
    level: Literal["2", "3"] | None = Field(default=None, description="Exposures or mosaics.")
    after: datetime | None = Field(default=None, description="From when.")
    before: datetime | None = Field(default=None, description="Until before when.")

    @model_validator(mode="after")
    def _position_is_whole(self) -> Conditions:
        if (self.ra is None) != (self.dec is None) or (self.radius is not None and self.ra is None):
            raise ValueError("a position has a right ascension and a declination")
        return self

    def call(self) -> str:
        """Return the arguments of `archive.images` in Python."""
        given: dict[str, Any] = {}
        if self.ra is not None:
            given["position"] = (self.ra, self.dec)
        given |= {"radius": self.radius, "filter": self.filter}
        given["after"] = self.after.replace(tzinfo=None).isoformat() if self.after else None
        given["before"] = self.before.replace(tzinfo=None).isoformat() if self.before else None
        given["level"] = int(self.level) if self.level else None
        return ", ".join(f"{name}={value!r}" for name, value in given.items() if value is not None)


def notebook_of(conditions: Conditions) -> dict[str, Any]:
    """Return a notebook with a search and a cutout of what it finds, in nbformat 4.5."""
    call = conditions.call()
    position = 'position = images[0]["ra"], images[0]["dec"]'
    if conditions.ra is not None:
        position = f"position = ({conditions.ra!r}, {conditions.dec!r})"
    cells = [
        ("markdown", "# A search of the archive\n\nChange the conditions as you like, and run the cells again."),
        ("code", f"from romanhub import archive\n\nimages = archive.images({call})\nimages"),
        ("markdown", "A piece of the first image:"),
        (
            "code",
            "import astropy.units as u\nimport matplotlib.pyplot as plt\n"
            "from astropy.visualization import simple_norm\n\n"
            f"{position}\n"
            'cutout = archive.cutout(images[0]["name"], position, size=10 * u.arcsec)\n'
            'plt.imshow(cutout.data, origin="lower", cmap="gray_r", norm=simple_norm(cutout.data, "asinh", '
            "percent=99.5))\n"
            "plt.title(cutout.name);",
        ),
        ("markdown", "All detections within two arcseconds, in the order of time:"),
        ("code", "archive.light_curve(position, radius=2 * u.arcsec)"),
    ]
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": {"name": "roman", "display_name": "Roman", "language": "python"}},
        "cells": [
            {"id": f"search-{place}", "cell_type": kind, "metadata": {}, "source": source}
            | ({"outputs": [], "execution_count": None} if kind == "code" else {})
            for place, (kind, source) in enumerate(cells)
        ],
    }


def write_notebook(folder: Path, conditions: Conditions) -> str:
    """Write a notebook into a folder under a name that is not taken, and return the name.

    Raises FileExistsError where all names are taken, and OSError where the folder cannot be written.
    """
    text = json.dumps(notebook_of(conditions), indent=1) + "\n"
    for number in range(1, MOST + 1):
        name = f"{NAME}{'' if number == 1 else f'-{number}'}.ipynb"
        try:
            # "x" makes the file or fails: nothing is ever written over, not even by two at once.
            with (folder / name).open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            continue
        return name
    raise FileExistsError(f"There are {MOST} notebooks named {NAME}.")


def conditions_of(arguments: Mapping[str, list[bytes]]) -> Conditions:
    """Return the conditions in an address's query. Raises ValueError for what is none."""
    if any(len(values) != 1 for values in arguments.values()):
        raise ValueError("a condition is given twice")
    try:
        return Conditions.model_validate({name: values[0].decode() for name, values in arguments.items()})
    except ValidationError as error:
        raise ValueError(str(error)) from None


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "romanhub.client.notebook_maker"}]


def _load_jupyter_server_extension(server: Any) -> None:
    from jupyter_server.base.handlers import JupyterHandler
    from jupyter_server.utils import url_path_join
    from tornado import web

    class MakeNotebook(JupyterHandler):  # type: ignore[misc]  # jupyter_server's own is untyped here
        @web.authenticated
        async def get(self) -> None:
            """Write the notebook and open it."""
            try:
                conditions = conditions_of(self.request.query_arguments)
            except ValueError:
                raise web.HTTPError(
                    400, "These are not the conditions of a search. Open the search from the portal's page again."
                ) from None
            try:
                name = write_notebook(Path(self.contents_manager.root_dir), conditions)
            except FileExistsError:
                raise web.HTTPError(
                    409, f"There are {MOST} notebooks of searches in your home. Remove some of them and try again."
                ) from None
            except OSError:
                raise web.HTTPError(
                    507, "Your home cannot be written. It may be full: remove something and try again."
                ) from None
            self.redirect(url_path_join(self.base_url, "lab/tree", name))

    path = url_path_join(server.web_app.settings["base_url"], "romanhub/notebook")
    server.web_app.add_handlers(".*$", [(path, MakeNotebook)])
