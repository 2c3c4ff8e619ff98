"""What an author says of a notebook: in a file beside it, or in the notebook's own metadata.

The file of `survey.ipynb` is `survey.community.yaml`. It has the fields of `romanhub.models.community.Sidecar`,
and `name`, what the entry is called in addresses. Without a file, the notebook's metadata may have the same under
`romanhub`, `sidecar`. It imports none of the scientific libraries, because the Jupyter server imports it at its
start; the platform reads registered repositories with it, too.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import yaml

from romanhub.client.errors import RomanHubError
from romanhub.models.community import NEEDED, Sidecar

#: How the name of the file ends, after the notebook's own without `.ipynb`.
ENDING = ".community.yaml"

#: The file is no larger, in bytes.
LARGEST = 64_000

#: Where a notebook's metadata has it.
METADATA, WITHIN = "romanhub", "sidecar"

#: What there may be in it: the sidecar's fields, and the entry's name.
FIELDS = ("name", *Sidecar.model_fields)


class SidecarError(RomanHubError, ValueError):
    """What an author says of a notebook cannot be read; the message says where and why."""


def sidecar_name(notebook: str) -> str:
    """Return what the sidecar of a notebook's file is called."""
    return PurePath(notebook).stem + ENDING


def parse_sidecar(text: str, where: str) -> dict[str, Any]:
    """Return the fields in a sidecar's text.

    Whether their values are right is for the portal to say. Here it counts that nothing is left unread.

    :param where: the file's name, for messages.
    :raises SidecarError: where it is no list of fields, or has one that there is not.
    """
    found = load(text, where)
    return checked({} if found is None else found, where)


def load(text: str, where: str) -> Any:
    """Return what a small YAML text has; raises SidecarError."""
    if len(text.encode()) > LARGEST:
        raise SidecarError(f"{where} is larger than {LARGEST // 1000} kB, so it is no sidecar.")
    try:
        # An alias would let a small file become a large one.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise SidecarError(f"{where} uses a YAML alias (*). Write the value out.")
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, SidecarError):
            raise
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it is no YAML"
        raise SidecarError(f"{where}{line} cannot be read: {problem}.") from None


def sidecar_of(notebook: Mapping[str, Any], where: str) -> dict[str, Any] | None:
    """Return the fields in a notebook's metadata; None where it has none. Raises SidecarError."""
    metadata = notebook.get("metadata")
    ours = metadata.get(METADATA) if isinstance(metadata, Mapping) else None
    found = ours.get(WITHIN) if isinstance(ours, Mapping) else None
    return None if found is None else checked(found, f"The metadata of {where}")


def checked(found: Any, where: str) -> dict[str, Any]:
    """Return what was read if it is a list of fields that there are; raises SidecarError."""
    if not isinstance(found, dict):
        raise SidecarError(f"{where} has to be a list of fields, such as `title: Depth of the survey`.")
    for field in found:
        if field not in FIELDS:
            raise SidecarError(f"{where} has the field {str(field)[:80]!r}. There are: {', '.join(FIELDS)}.")
    return {name: found[name] for name in FIELDS if found.get(name) not in (None, "", [])}


def written(fields: Mapping[str, Any]) -> str:
    """Return a sidecar's text."""
    known = {name: fields[name] for name in FIELDS if fields.get(name) not in (None, "", [], ())}
    return yaml.safe_dump(known, sort_keys=False, allow_unicode=True, width=100)


def missing(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what has to be said yet before an entry can be public."""
    return tuple(name for name in NEEDED if not fields.get(name))


def entry_name(text: str) -> str:
    """Return what an entry may be called, made from a title or a file's name.

    :raises SidecarError: where nothing of it can be kept.
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    if not (name := re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:80].strip("-")):
        raise SidecarError(
            f"No name can be made of {text[:80]!r}. Say one: `name`, of small letters, digits and -."
        )
    return name
