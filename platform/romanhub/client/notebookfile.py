"""A notebook that is to be shared, and its sidecar: both read within their folder."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from romanhub.client.errors import CommunityRefusedError
from romanhub.client.sidecars import LARGEST, METADATA, parse_sidecar, sidecar_name, sidecar_of, written
from romanhub.models.community import LARGEST_NOTEBOOK, Provenance


@dataclass(frozen=True)
class NotebookFile:
    """A notebook as it is on the disk."""

    path: Path
    content: bytes
    #: What its sidecar says, or its metadata.
    fields: dict[str, Any]
    #: Of which entry it is a copy; None where it is none.
    source: Provenance | None


def read_notebook_file(path: str | os.PathLike[str], within: Path | None = None) -> NotebookFile:
    """Return a notebook's file with what is said of it.

    :param path: the notebook.
    :param within: a folder that it has to be in; anywhere without one.
    :raises CommunityRefusedError: it is no notebook, too large, or outside the folder.
    :raises SidecarError: its sidecar cannot be read.
    """
    given = Path(path).expanduser()
    if given.suffix != ".ipynb":
        raise CommunityRefusedError(f"{given.name} is not a notebook: its name has to end in .ipynb.")
    notebook = inside(given, within)
    content = _read(notebook, LARGEST_NOTEBOOK)
    if len(content) > LARGEST_NOTEBOOK:
        raise CommunityRefusedError(
            f"{given.name} is larger than {LARGEST_NOTEBOOK // 1_000_000} MB. Clear the outputs that are large "
            "(in Lab: Edit, Clear Outputs of All Cells)."
        )
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise CommunityRefusedError(
            f"{given.name} is not a notebook: it is not JSON. Save it again in Lab."
        ) from None
    if not isinstance(found, dict) or "cells" not in found:
        raise CommunityRefusedError(f"{given.name} is not a notebook: it has no cells.")
    beside = notebook.with_name(sidecar_name(notebook.name))
    fields: dict[str, Any] = {}
    if beside.exists() or beside.is_symlink():
        fields = parse_sidecar(_read(inside(beside, within), LARGEST).decode("utf-8", "replace"), beside.name)
    elif (said := sidecar_of(found, notebook.name)) is not None:
        fields = said
    return NotebookFile(notebook, content, fields, provenance_of(found))


def inside(path: Path, within: Path | None = None) -> Path:
    """Return a file's own path if no link leads out of the folder that it is in.

    A link would share what is elsewhere: what somebody else has written, or what is not meant for others.

    :raises CommunityRefusedError: it is not there, or is outside.
    """
    folder = path.parent.resolve()
    target = path.resolve()
    if not target.is_file():
        raise CommunityRefusedError(f"There is no file {path}.")
    outside = target.parent != folder or (within is not None and not target.is_relative_to(within.resolve()))
    if outside:
        raise CommunityRefusedError(
            f"{path.name} is outside its folder: a link leads to {target}. Copy the file to where the link is, "
            "and share that."
        )
    return target


def _read(path: Path, largest: int) -> bytes:
    """The file, or as much of one that is too large as tells that it is."""
    with path.open("rb") as file:
        return file.read(largest + 1)


def provenance_of(notebook: Mapping[str, Any]) -> Provenance | None:
    """Return of which entry a notebook is a copy; None where it is none."""
    metadata = notebook.get("metadata")
    said = metadata.get(METADATA) if isinstance(metadata, Mapping) else None
    try:
        return Provenance.model_validate(said)
    except ValueError:
        return None


def write_sidecar(notebook: Path, fields: Mapping[str, Any]) -> Path:
    """Write what is said of a notebook into the file beside it, and return that.

    :raises CommunityRefusedError: a link is in its place.
    """
    beside = notebook.with_name(sidecar_name(notebook.name))
    if beside.is_symlink():
        inside(beside)
    with tempfile.NamedTemporaryFile("w", dir=beside.parent, prefix=".sidecar-", delete=False) as file:
        file.write(written(fields))
    fresh = Path(file.name)
    # As any file that its owner makes here.
    mask = os.umask(0)
    os.umask(mask)
    fresh.chmod(0o666 & ~mask)
    return fresh.replace(beside)


def write_copy(folder: Path, name: str, content: bytes, source: Provenance) -> Path:
    """Return a copy of an entry's notebook, which remembers where it comes from.

    It is written under a name that is not taken. Where the same version was copied before and nothing was changed
    in that copy, it is that one.

    :raises CommunityRefusedError: what the portal gave is no notebook, or there are a thousand copies.
    """
    try:
        notebook = json.loads(content)
        notebook.setdefault("metadata", {})[METADATA] = source.model_dump()
    except (ValueError, TypeError, AttributeError):
        raise CommunityRefusedError(f"The entry {source.entry} has no notebook to copy.") from None
    text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    for number in range(1, 1001):
        target = folder / f"{name}{'' if number == 1 else f'-{number}'}.ipynb"
        try:
            # "x" makes the file or fails: nothing is ever written over.
            with target.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            if _holds(target, notebook):
                return target
            continue
        return target
    raise CommunityRefusedError(
        f"There are a thousand files named {name} in {folder}. Remove some, and try again."
    )


def _holds(path: Path, notebook: Mapping[str, Any]) -> bool:
    """Whether a file has this notebook's cells and is a copy of the same; a link, or what cannot be read, is not.

    Of the rest, Lab writes which kernel it was opened with.
    """
    try:
        there = {} if path.is_symlink() else json.loads(path.read_bytes())
        same = there.get("cells") == notebook.get("cells")
        return same and there["metadata"].get(METADATA) == notebook["metadata"][METADATA]
    except (OSError, ValueError, RecursionError, AttributeError, KeyError, TypeError):
        return False
