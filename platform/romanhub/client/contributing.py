"""Sharing data products and tools: what a sidecar of such a kind says, and sending it.

A product's sidecar is a file such as `photo-z.community.yaml`, and names files of one's scratch:

    kind: product
    scratch: work
    folder: photoz/
    title: Photometric redshifts of the first field
    columns: [{name: z, unit: dimensionless}]

A tool's says what pip installs, pinned, and where it begins:

    kind: tool
    requirement: photoz-fit==1.2.0
    entry_point: photoz-fit
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from romanhub.client.credentials import source
from romanhub.client.errors import CommunityRefusedError
from romanhub.client.sidecars import ENDING, LARGEST, SidecarError, checked, entry_name, load

#: How long the platform may take to copy a product's files, in seconds.
COPYING = 930.0

#: How long pip may take to find a tool, in seconds.
_FINDING = 180.0

#: What such a sidecar has besides the fields of every entry.
_OWN = ("kind", "scratch", "folder")

#: What each kind is.
KINDS = ("product", "tool")


@dataclass(frozen=True)
class Contribution:
    """A product or a tool that is to be shared."""

    kind: str
    #: What it is called if nobody says a name.
    called: str
    fields: dict[str, Any]
    #: Of a product: where its files are.
    scratch: str = ""
    folder: str = ""


def is_contribution(path: str) -> bool:
    """Say whether a path means a product or a tool: a sidecar, or a folder of scratch."""
    return path.startswith("s3://") or path.endswith(ENDING)


def read_contribution(path: str) -> Contribution:
    """Return what is to be shared.

    :param path: a sidecar that says its `kind`, or a folder of one's scratch, `s3://…`.
    :raises CommunityRefusedError: it is neither.
    :raises SidecarError: the sidecar cannot be read.
    """
    if path.startswith("s3://"):
        scratch, folder = _within_scratch(path)
        called = folder.rstrip("/").rpartition("/")[2] or scratch.rpartition("/")[2]
        return Contribution("product", called, {}, scratch, folder)
    file = Path(path).expanduser()
    try:
        with file.open("rb") as opened:
            text = opened.read(LARGEST + 1).decode()
    except (OSError, UnicodeDecodeError):
        raise CommunityRefusedError(f"{file.name} cannot be read as text.") from None
    found = load(text, file.name)
    if not isinstance(found, dict) or found.get("kind") not in KINDS:
        raise CommunityRefusedError(
            f"{file.name} does not say `kind: product` or `kind: tool`. The sidecar of a notebook is sent "
            f"with the "
            "notebook: name that one."
        )
    own = {name: str(found.pop(name, "") or "") for name in _OWN}
    fields = checked(found, file.name)
    if own["kind"] == "tool" and (own["scratch"] or own["folder"]):
        raise SidecarError(f"{file.name}: a tool has no files in scratch. Leave `scratch` and `folder` out.")
    if own["folder"].startswith("s3://"):
        own["scratch"], own["folder"] = _within_scratch(own["folder"])
    return Contribution(
        own["kind"], file.name.removesuffix(ENDING), fields, own["scratch"] or "work", own["folder"]
    )


def body_of(
    given: Contribution, said: Mapping[str, Any], *, check: bool = True
) -> tuple[str, dict[str, Any], float]:
    """Return what the portal is asked, with what, and how long it may take.

    :param given: what is to be shared.
    :param said: what its author says of it, without its name.
    :param check: whether pip is asked for a tool first, which also finds its file's hash.
    :raises CommunityRefusedError: pip does not find the tool.
    """
    if given.kind == "tool":
        fields = dict(said)
        if check and fields.get("requirement"):
            fields = fields | _found_by_pip(str(fields["requirement"]), fields)
        return "tool", {"sidecar": fields}, 150.0
    return "product", {"scratch": given.scratch, "folder": given.folder, "sidecar": dict(said)}, COPYING


def name_for(given: Contribution, said: Mapping[str, Any]) -> str:
    """Return what the entry is called: its own name, or one made of the file's. Raises SidecarError."""
    return str(said.get("name", "") or entry_name(given.called))


def _within_scratch(path: str) -> tuple[str, str]:
    """Return the scratch space and the folder that a path names. Raises CommunityRefusedError."""
    parts = urlsplit(path)
    key = parts.path.lstrip("/")
    key = key if key.endswith("/") or not key else f"{key}/"
    for name, place in source().current().scratch.items():
        if place.bucket == parts.netloc and key.startswith(place.prefix):
            return name, key.removeprefix(place.prefix)
    raise CommunityRefusedError(
        f"{path} is no folder of a scratch space of yours that is open. romanhub.scratch().path says where "
        f"yours is."
    )


def _found_by_pip(requirement: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Have pip find a tool without installing it; return its hash where it has one and none was said.

    Where this environment has no pip, nobody is asked.
    """
    if importlib.util.find_spec("pip") is None:
        return {}
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-deps", "--ignore-installed", "--quiet"]
    command += ["--disable-pip-version-check", "--report", "-", requirement]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=_FINDING, check=False)
    except (OSError, subprocess.TimeoutExpired):
        raise CommunityRefusedError(
            "pip took too long to find the tool. Try again, or send it unchecked."
        ) from None
    if found.returncode:
        errors = [line for line in found.stderr.splitlines() if line.startswith("ERROR")] or ["it says nothing"]
        raise CommunityRefusedError(
            f"pip cannot install {requirement!r} here: {errors[-1].removeprefix('ERROR: ').rstrip('.')}. "
            f"Correct the "
            "requirement; `--no-check` sends it as it is."
        )
    try:
        info = json.loads(found.stdout)["install"][0]["download_info"]
        digest = info.get("archive_info", {}).get("hashes", {}).get("sha256")
    except (ValueError, KeyError, IndexError, TypeError):
        digest = None
    if not digest or fields.get("hashes") or "==" not in requirement or "@" in requirement:
        return {}
    return {"hashes": [digest]}
