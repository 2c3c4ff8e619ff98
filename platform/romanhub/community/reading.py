"""Reading the file of a notebook that somebody sent: it is hostile until it has been looked at."""

from __future__ import annotations

import json
from typing import Any

import nbformat
from nbformat.v4.rwbase import rejoin_lines

from romanhub.community.errors import RefusedError
from romanhub.models.community import LARGEST_NOTEBOOK

#: A notebook has no more cells, and nothing in it is nested deeper.
MOST_CELLS, DEEPEST = 2000, 64

_NO_NOTEBOOK = "This file is not a notebook: {}. Open it in JupyterLab, save it again, and send that."


def read_notebook(file: bytes) -> nbformat.NotebookNode:
    """Return the notebook in a file, in format 4.

    Raises
    ------
    RefusedError
        Where it is too large, no notebook, or one that no browser could show.
    """
    if len(file) > LARGEST_NOTEBOOK:
        raise RefusedError(
            f"The notebook has {len(file) / 1e6:.1f} MB, and {LARGEST_NOTEBOOK / 1e6:.0f} MB is the most. "
            "Clear the outputs that are large (in Lab: Edit, Clear Outputs of All Cells), or show fewer rows and "
            "smaller figures."
        )
    try:
        found = json.loads(file.decode("utf-8"))
    except UnicodeDecodeError:
        raise RefusedError(_NO_NOTEBOOK.format("it is not text in UTF-8")) from None
    except ValueError as error:
        raise RefusedError(_NO_NOTEBOOK.format(f"its JSON is broken ({error})")) from None
    except RecursionError:
        raise RefusedError(_NO_NOTEBOOK.format("its JSON is nested too deeply")) from None
    if not isinstance(found, dict) or "cells" not in found or "nbformat" not in found:
        raise RefusedError(_NO_NOTEBOOK.format("it has no cells"))
    if found["nbformat"] != 4:
        raise RefusedError(_NO_NOTEBOOK.format("it is in another format than 4, which JupyterLab writes"))
    _ensure_shallow(found)
    notebook: nbformat.NotebookNode = nbformat.from_dict(found)  # type: ignore[no-untyped-call]
    try:
        nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        raise RefusedError(_NO_NOTEBOOK.format(str(error).splitlines()[0][:200].rstrip("."))) from None
    except (AttributeError, KeyError, TypeError):
        # Before it validates, it mends what other programs leave out, and expects a cell to be one.
        raise RefusedError(_NO_NOTEBOOK.format("its cells are none")) from None
    # Lab writes text as a list of its lines; from here on it is text.
    rejoin_lines(notebook)  # type: ignore[no-untyped-call]
    if len(notebook.cells) > MOST_CELLS:
        raise RefusedError(f"The notebook has {len(notebook.cells)} cells, and {MOST_CELLS} is the most.")
    if not any(str(cell.source).strip() for cell in notebook.cells):
        raise RefusedError("The notebook is empty: no cell has anything in it.")
    return notebook


def _ensure_shallow(found: Any) -> None:
    """Refuse what is nested deeply. It goes level by level, so that no depth can exhaust the stack here."""
    level = [found]
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise RefusedError(_NO_NOTEBOOK.format("its JSON is nested too deeply"))


def text_of(value: Any) -> str:
    """Return text that a notebook may have as one string or as lines; anything else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "".join(value)
    return json.dumps(value)


def texts(notebook: nbformat.NotebookNode) -> list[tuple[str, str]]:
    """Return every text of a notebook with where it is, in words; pictures are left out.

    Keys hide in metadata too: a tool may keep what it was called with there.
    """
    found = [("the notebook's metadata", json.dumps(notebook.metadata))]
    for number, cell in enumerate(notebook.cells, start=1):
        found.append((f"cell {number}", cell.source))
        if cell.metadata:
            found.append((f"the metadata of cell {number}", json.dumps(cell.metadata)))
        for output in cell.get("outputs", []):
            where = f"the output of cell {number}"
            if output.get("metadata"):
                found.append((where, json.dumps(output.metadata)))
            if output.output_type == "stream":
                found.append((where, text_of(output.text)))
            elif output.output_type == "error":
                found.append((where, "\n".join([output.ename, output.evalue, *output.traceback])))
            for kind, data in output.get("data", {}).items():
                if not kind.startswith("image/") or kind == "image/svg+xml":
                    found.append((where, text_of(data)))
        for pictures in cell.get("attachments", {}).values():
            found += [
                (f"an attachment of cell {number}", text_of(data))
                for kind, data in pictures.items()
                if not kind.startswith("image/") or kind == "image/svg+xml"
            ]
    return [(where, text) for where, text in found if text.strip()]
