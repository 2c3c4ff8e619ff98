"""What Lab's "Share with the community" asks: an extension of each user's own Jupyter server.

The page in the browser asks the server, behind the server's sign-in and its protection against forged requests,
and the server asks the portal with its own token, which may make drafts and no more. So no page of Lab ever holds
a token of the portal, and nothing becomes public that a person has not looked at on the portal.

What it needs is imported when it is first asked, so that a server starts no later for it.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado import web

from romanhub.client.errors import PortalUnavailableError, RomanHubError

#: What an author says the same of every notebook; the last ones are offered again.
_OF_THE_PERSON = ("authors", "licence")

#: What the dialog offers first of all licences.
LICENCES = ("BSD-3-Clause", "MIT", "Apache-2.0", "GPL-3.0-or-later", "CC-BY-4.0", "CC-BY-SA-4.0", "CC0-1.0")

#: What a request's body may have, in bytes.
_LARGEST = 200_000


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "romanhub.client.sharing"}]


def _load_jupyter_server_extension(app: Any) -> None:
    base = url_path_join(app.web_app.settings["base_url"], "romanhub/community")
    app.web_app.add_handlers(
        ".*$",
        [
            (url_path_join(base, "draft"), DraftHandler),
            (url_path_join(base, "newer"), NewerHandler),
        ],
    )


class DraftHandler(APIHandler):  # type: ignore[misc]
    """The draft of a notebook: what the dialog shows at first, and sending it."""

    @web.authenticated
    async def get(self) -> None:
        """Say what is known of a notebook: its sidecar, and what its owner said of the last one."""
        path = self.get_query_argument("path")
        self.finish(json.dumps(await _asked(_known, self._folder(), path, self._person())))

    @web.authenticated
    async def post(self) -> None:
        """Send a notebook as a draft."""
        if len(self.request.body) > _LARGEST:
            raise web.HTTPError(413, "What is said of the notebook is longer than fits. Shorten it.")
        try:
            asked = json.loads(self.request.body)
            path, fields = str(asked["path"]), dict(asked["fields"])
        except (ValueError, KeyError, TypeError):
            raise web.HTTPError(400, "This is no request of Lab's.") from None
        self.finish(json.dumps(await _asked(_send, self._folder(), path, fields)))

    def _folder(self) -> Path:
        return Path(self.contents_manager.root_dir)

    def _person(self) -> str:
        user = self.current_user
        return str(getattr(user, "display_name", "") or getattr(user, "name", "") or "")


class NewerHandler(APIHandler):  # type: ignore[misc]
    """Whether there is a newer version of what a notebook is a copy of."""

    @web.authenticated
    async def get(self) -> None:
        """Ask the catalogue."""
        # Lab asks by itself when a notebook is opened, which is no activity of its owner.
        self._track_activity = False
        said = {name: self.get_query_argument(name) for name in ("entry", "version", "digest")}
        self.finish(json.dumps(await _asked(_newer, said)))


async def _asked(act: Any, *arguments: Any) -> Any:
    """Do something that waits for the portal, in a thread; what goes wrong is shown in Lab as a sentence."""
    try:
        return await asyncio.to_thread(act, *arguments)
    except PortalUnavailableError as error:
        raise web.HTTPError(503, str(error)) from None
    except RomanHubError as error:
        raise web.HTTPError(409, str(error)) from None
    except OSError as error:
        raise web.HTTPError(409, f"The file cannot be read or written: {error.strerror}.") from None


def _known(folder: Path, path: str, person: str) -> dict[str, Any]:
    from romanhub.client.notebookfile import read_notebook_file
    from romanhub.client.sidecars import SidecarError, entry_name

    file = read_notebook_file(folder / path.lstrip("/"), folder)
    fields = {**_last_time(), **file.fields}
    if not fields.get("authors") and person:
        fields["authors"] = [{"name": person}]
    if "name" not in fields:
        try:
            fields["name"] = entry_name(file.path.stem)
        except SidecarError:
            fields["name"] = ""
    if "image" not in fields and (image := os.environ.get("JUPYTER_IMAGE_SPEC", "")):
        fields["image"] = image
    return {"fields": fields, "licences": LICENCES, "source": file.source.model_dump() if file.source else None}


def _send(folder: Path, path: str, fields: dict[str, Any]) -> dict[str, Any]:
    from romanhub.client.community import in_order, send
    from romanhub.client.notebookfile import read_notebook_file

    file = read_notebook_file(folder / path.lstrip("/"), folder)
    # The dialog shows every field: one that is empty there was taken away.
    draft = send(replaced(file, fields), fields)
    _remember(in_order(fields, file.path.name))
    return {"name": draft.name, "number": draft.number, "missing": draft.missing, "address": draft.address}


def replaced(file: Any, fields: dict[str, Any]) -> Any:
    """Return a notebook's file without the fields that somebody was shown and has emptied."""
    from dataclasses import replace

    return replace(file, fields={name: value for name, value in file.fields.items() if name not in fields})


def _newer(said: dict[str, str]) -> dict[str, Any]:
    from romanhub.client.community import newer_than
    from romanhub.models.community import Provenance

    try:
        source = Provenance.model_validate(said)
    except ValueError:
        return {"newer": None}
    found = newer_than(source)
    return {"newer": None if found is None else {"version": found[0], "address": found[1]}}


def _memory() -> Path:
    """Where it is kept what somebody said of themselves the last time."""
    return Path.home() / ".config" / "romanhub" / "community.yaml"


def _last_time() -> dict[str, Any]:
    from romanhub.client.sidecars import SidecarError, parse_sidecar

    try:
        said = parse_sidecar(_memory().read_text(), "What was said the last time")
    except (OSError, SidecarError, UnicodeDecodeError):
        return {}
    return {name: said[name] for name in _OF_THE_PERSON if name in said}


def _remember(fields: dict[str, Any]) -> None:
    from romanhub.client.sidecars import written

    kept = {name: fields[name] for name in _OF_THE_PERSON if fields.get(name)}
    if kept:
        _memory().parent.mkdir(parents=True, exist_ok=True)
        _memory().write_text(written(kept))
