"""Tools: what pip installs, pinned to one version, and where it begins. Nothing of it is run here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from romanhub.community.errors import NoSuchEntryError
from romanhub.community.services.base import Store
from romanhub.community.services.drafting import Drafting
from romanhub.community.services.sidecars import read_sidecar
from romanhub.community.tools import Tool, read_tool
from romanhub.models.community import Kind
from romanhub.models.entries import Draft, Version


class Tools:
    """Keeps drafts of tools, for one catalogue."""

    def __init__(self, store: Store, drafting: Drafting) -> None:
        self._store, self._drafting = store, drafting

    def draft(self, person: str, name: str, sidecar: Mapping[str, Any]) -> Draft:
        """Keep a tool as a version that is not public yet, instead of the one before.

        Parameters
        ----------
        person
            Who sends it.
        name
            What the entry is to be called.
        sidecar
            What the author says of it, with `requirement` and `entry_point`.

        Raises
        ------
        RefusedError
            Where it cannot be taken; WrongSidecarError says it by field.
        NotYoursError
            Where the name is somebody else's.
        ConflictError
            Where the entry is withdrawn or of another kind.
        """
        said, missing = read_sidecar(sidecar, Kind.TOOL)
        tool = read_tool(said)
        if tool is not None:
            said = said | tool.said()
        self._drafting.ensure_free(person, name, Kind.TOOL)
        self._store.inspector.search([("what is said of it", json.dumps(said, ensure_ascii=False, indent=1))])
        content = json.dumps(
            {} if tool is None else tool.model_dump(mode="json"), indent=1, sort_keys=True
        ).encode()
        words = "" if tool is None else f"{tool.requirement} {tool.entry_point}"
        return self._drafting.keep(
            person, name, Kind.TOOL, digest=self._store.bucket.put(content), size=len(content), sidecar=said,
            missing=missing, details={}, words=words,
        )  # fmt: skip

    def tool(self, version: Version) -> Tool | None:
        """Return what a version installs; None for a draft that does not say it yet. Raises NoSuchEntryError."""
        found = read_tool(version.sidecar)
        if found is None and version.published_at is not None:
            raise NoSuchEntryError(f"The entry '{version.entry}' is no tool.")
        return found
