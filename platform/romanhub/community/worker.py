"""What looks into what people share: a process of its own for each, with limits, that ends when it is done.

Run by `romanhub.community.inspector` as `python -m romanhub.community.worker`. It reads one request from its
standard input - a line of JSON, then the files - and writes one answer in JSON. As root it becomes nobody before
it reads.
"""

from __future__ import annotations

import base64
import json
import os
import resource
import sys
from typing import Any

import nbformat
from pydantic import ValidationError

from romanhub.community.comparing import changes
from romanhub.community.errors import CommunityError, RefusedError
from romanhub.community.keys import find_keys
from romanhub.community.reading import read_notebook, text_of, texts
from romanhub.community.rendering import page_of, picture_of
from romanhub.models.community import Provenance

#: How much memory and processor time one look may take, in bytes and seconds; and how large a file it may write.
MEMORY, SECONDS, LARGEST_FILE = 4 << 30, 60, 256 << 20

#: How much of a notebook's text is searched, in letters.
WORDS = 100_000

#: So many keys are named, and no more.
_NAMED = 10


def main() -> None:
    """Answer one request."""
    confine()
    request = json.loads(sys.stdin.buffer.readline(100_000))
    given = [sys.stdin.buffer.read(size) for size in request["sizes"]]
    answer: dict[str, Any]
    try:
        if request["task"] == "compare":
            older, newer = (read_notebook(one) for one in given)
            answer = {"changes": [one.model_dump() for one in changes(older, newer)]}
        elif request["task"] == "texts":
            answer = _searched(json.loads(given[0]))
        elif request["task"] == "tables":
            answer = {"tables": [_tables(**one) for one in request["files"]]}
        else:
            answer = _inspected(given[0], request["title"])
    except RefusedError as refusal:
        answer = {"refused": str(refusal)}
    except CommunityError as error:
        answer = {"failed": str(error)}
    except (RecursionError, MemoryError):
        answer = {"refused": "It is nested too deeply, or too large, to be looked into. Make it simpler."}
    json.dump(answer, sys.stdout)


def confine() -> None:
    """Set the limits, and become nobody where this runs as root."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)


def _inspected(file: bytes, title: str) -> dict[str, Any]:
    notebook = read_notebook(file)
    if keys := find_keys(texts(notebook)):
        more = f", and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
        raise RefusedError(
            "There are keys or tokens in the notebook, which everybody could use: "
            f"{'; '.join(keys[:_NAMED])}{more}. Take them out, clear the outputs that show them, and replace the "
            "keys, since they have been in a file."
        )
    words = "\n".join(text_of(cell.source) for cell in notebook.cells)[:WORDS]
    return {
        "page": page_of(notebook, title),
        "words": words,
        "picture": base64.b64encode(picture_of(notebook)).decode(),
        "cells": len(notebook.cells),
        "source": _source(notebook),
    }


def _searched(texts: list[tuple[str, str]]) -> dict[str, Any]:
    """Turn down texts with keys in them, each of which says where it is."""
    if keys := find_keys([(where, text) for where, text in texts]):
        raise RefusedError(
            f"There are keys or tokens in what was sent, which everybody could use: {'; '.join(keys[:_NAMED])}. "
            "Take them out, and replace the keys, since they have been in a text."
        )
    return {}


def _tables(descriptor: int, kind: str, path: str) -> list[dict[str, Any]]:
    """Look at the tables of a file that was handed over open."""
    # What notebooks need not wait for is imported here.
    from romanhub.community.products.tables import tables_of

    with os.fdopen(descriptor, "rb") as file:
        try:
            return tables_of(file, kind)
        except RefusedError as refusal:
            raise RefusedError(f"{path}: {refusal}") from None


def _source(notebook: nbformat.NotebookNode) -> dict[str, Any] | None:
    """Return what a copy remembers of where it comes from; None for one that is no copy, or remembers nonsense."""
    try:
        return Provenance.model_validate(dict(notebook.metadata.get("romanhub", {}))).model_dump()
    except (ValidationError, TypeError, ValueError):
        return None


if __name__ == "__main__":
    main()
