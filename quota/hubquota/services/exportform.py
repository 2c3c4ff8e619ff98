"""Exports as text, part by part: CSV with a line of heads, or a JSON list with an object a line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Literal

from hubquota.models.export import Columns, Value, record

Form = Literal["csv", "json"]

#: How many rows go out at once.
_ROWS = 200
#: A spreadsheet takes text that begins so for a formula, and some of this text comes from users.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
#: Columns of text that users have a say in.
_THEIRS = frozenset({"account", "person", "key", "label", "actor", "reason", "granted_by", "what"})


def written(form: Form, columns: Columns, rows: Iterable[object]) -> Iterator[str]:
    """Yield rows as text. At most some hundreds of them are kept."""
    yield from _csv(columns, rows) if form == "csv" else _json(columns, rows)


def _csv(columns: Columns, rows: Iterable[object]) -> Iterator[str]:
    kept = io.StringIO()
    writer = csv.writer(kept, lineterminator="\n")
    writer.writerow(columns)
    for number, row in enumerate(rows, start=1):
        writer.writerow([_cell(name, value) for name, value in record(columns, row).items()])
        if number % _ROWS == 0:
            yield kept.getvalue()
            kept.seek(0)
            kept.truncate()
    yield kept.getvalue()


def _json(columns: Columns, rows: Iterable[object]) -> Iterator[str]:
    part: list[str] = []
    begin = "[\n"
    for number, row in enumerate(rows, start=1):
        part.append(begin + json.dumps(record(columns, row), ensure_ascii=False))
        begin = ",\n"
        if number % _ROWS == 0:
            yield "".join(part)
            part = []
    yield "".join([*part, "[]\n" if begin == "[\n" else "\n]\n"])


def _cell(name: str, value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return f"'{text}" if name in _THEIRS and text.startswith(_FORMULA) else text
