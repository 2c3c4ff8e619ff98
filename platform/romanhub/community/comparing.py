"""What changed between two versions of a notebook, cell by cell.

nbdime does this with more care for outputs, and brings a Jupyter server of its own into the environment that it is
in; readers here ask what the author changed, which is the cells' sources.
"""

from __future__ import annotations

import difflib
from typing import Any

import nbformat
from pydantic import BaseModel, ConfigDict, Field

#: A cell with more lines is only said to have changed: comparing takes time that grows with their square.
MOST_LINES = 2000


class CellChange(BaseModel):
    """One cell that is not the same in both."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    what: str = Field(description="added, removed or changed.")
    kind: str = Field(description="The kind of cell: code, markdown or raw.")
    before: int | None = Field(description="Its place in the older version, from 1.")
    after: int | None = Field(description="Its place in the newer version, from 1.")
    lines: tuple[tuple[str, str], ...] = Field(description="Lines, each with its sign: '+', '-' or ' '.")


def changes(older: nbformat.NotebookNode, newer: nbformat.NotebookNode) -> tuple[CellChange, ...]:
    """Return the cells whose sources differ, in the order of the newer notebook."""
    pairs = _pairs(older.cells, newer.cells)
    found = []
    for before, after in pairs:
        old: Any = older.cells[before] if before is not None else None
        new: Any = newer.cells[after] if after is not None else None
        if old is not None and new is not None and (old.source, old.cell_type) == (new.source, new.cell_type):
            continue
        found.append(
            CellChange(
                what="added" if old is None else "removed" if new is None else "changed",
                kind=(new or old).cell_type,
                before=None if before is None else before + 1,
                after=None if after is None else after + 1,
                lines=_lines("" if old is None else old.source, "" if new is None else new.source),
            )
        )
    return tuple(found)


def _pairs(older: list[Any], newer: list[Any]) -> list[tuple[int | None, int | None]]:
    """Return which cell became which: by their sources first, and between those by their place."""
    matcher = difflib.SequenceMatcher(
        None, [(c.cell_type, c.source) for c in older], [(c.cell_type, c.source) for c in newer], autojunk=False
    )
    found: list[tuple[int | None, int | None]] = []
    for tag, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        if tag == "equal":
            found += zip(range(old_from, old_to), range(new_from, new_to), strict=True)
            continue
        both = min(old_to - old_from, new_to - new_from)
        found += zip(range(old_from, old_from + both), range(new_from, new_from + both), strict=True)
        found += [(place, None) for place in range(old_from + both, old_to)]
        found += [(None, place) for place in range(new_from + both, new_to)]
    return found


def _lines(older: str, newer: str) -> tuple[tuple[str, str], ...]:
    old, new = older.splitlines(), newer.splitlines()
    if len(old) + len(new) > MOST_LINES:
        return (("-", f"{len(old)} lines"), ("+", f"{len(new)} lines"))
    compared = difflib.unified_diff(old, new, lineterm="", n=2)
    return tuple((line[0], line[1:]) for line in list(compared)[2:] if line[0] in "+- ")
