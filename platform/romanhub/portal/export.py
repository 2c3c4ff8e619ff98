"""Rows as CSV and as JSON, part by part."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

#: How many rows go out at once.
_ROWS = 200
#: A spreadsheet takes text that begins with one of these for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_csv(rows: Iterable[Mapping[str, object]]) -> Iterator[str]:
    """Yield rows as CSV with a line of headings; of no rows, nothing.

    A text that a spreadsheet would take for a formula gets an apostrophe before it; amounts stay numbers.
    """
    kept = io.StringIO()
    writer = csv.writer(kept)
    for number, row in enumerate(rows):
        if not number:
            writer.writerow(row)
        writer.writerow([_cell(name, value) for name, value in row.items()])
        if number % _ROWS == _ROWS - 1:
            yield _take(kept)
    yield _take(kept)


def as_json(rows: Iterable[Mapping[str, object]]) -> Iterator[str]:
    """Yield rows as a JSON array of objects, a row on a line."""
    part, begun = ["["], False
    for number, row in enumerate(rows):
        said = {name: _time(value) if isinstance(value, datetime) else value for name, value in row.items()}
        part.append(f"{',' if begun else ''}\n{json.dumps(said)}")
        begun = True
        if number % _ROWS == _ROWS - 1:
            yield "".join(part)
            part = []
    yield "".join([*part, "\n]\n"])


def _cell(name: str, value: object) -> object:
    if isinstance(value, datetime):
        return _time(value)
    if isinstance(value, str) and value.startswith(_FORMULA) and not name.endswith("_credits"):
        return f"'{value}"
    return value


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _take(kept: io.StringIO) -> str:
    text = kept.getvalue()
    kept.seek(0)
    kept.truncate()
    return text
