"""Answers as files: VOTable in both of its forms, CSV, Parquet, JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import quoteattr

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from romanhub.discovery import votable
from romanhub.discovery.answer import Answer

VOTABLE = "application/x-votable+xml"


@dataclass(frozen=True)
class Format:
    """One way to write an answer."""

    media_type: str
    ending: str
    write: Callable[[Answer], bytes]


def _csv(answer: Answer) -> bytes:
    """CSV with a header line, as DALI 1.1 has it; times as ISO 8601, shapes as numbers with spaces between."""
    texts = [_plain(array) for array in answer.table.columns]
    out = io.BytesIO()
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed")
    header = ",".join(_quoted(name) for name in answer.table.column_names)
    out.write(f"{header}\n".encode())
    # Names of columns may be the same in a query, and Arrow's writer wants others.
    plain = pa.table(texts, names=[str(number) for number in range(len(texts))])
    pyarrow.csv.write_csv(plain, out, options)
    return out.getvalue()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if any(mark in name for mark in ',"\n') else name


def _plain(array: pa.ChunkedArray) -> Any:
    if pa.types.is_timestamp(array.type):
        return pc.strftime(array.cast(pa.timestamp("us")), format="%Y-%m-%dT%H:%M:%S")
    if pa.types.is_list(array.type):
        return pa.array(
            [None if row is None else " ".join(map(repr, row)) for row in array.to_pylist()], pa.string()
        )
    if pa.types.is_float64(array.type) or pa.types.is_float32(array.type):
        return array
    return array


def _parquet(answer: Answer) -> bytes:
    """Parquet, with each column's unit, UCD and description in its field's metadata."""
    fields = []
    for column, field in zip(answer.columns, answer.table.schema, strict=True):
        said = {"unit": column.unit, "ucd": column.ucd, "description": column.description}
        fields.append(field.with_metadata({key: value for key, value in said.items() if value}))
    table = pa.table(answer.table.columns, schema=pa.schema(fields, {"overflow": str(answer.overflow).lower()}))
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()


def _json(answer: Answer) -> bytes:
    described = [
        {"name": one.name, "datatype": one.kind, "unit": one.unit, "ucd": one.ucd, "description": one.description}
        for one in answer.columns
    ]
    columns = [array.to_pylist() for array in answer.table.columns]
    rows = [list(row) for row in zip(*columns, strict=True)]
    document = {"columns": described, "data": rows, "overflow": answer.overflow}
    return json.dumps(document, default=lambda value: value.isoformat(), allow_nan=True).encode()


BINARY2 = Format(VOTABLE, "vot", lambda answer: votable.write(answer, "binary2"))
FORMATS: tuple[tuple[tuple[str, ...], Format], ...] = (
    (
        ("votable", "votable/b2", VOTABLE, f"{VOTABLE};serialization=binary2", "text/xml", "application/xml"),
        BINARY2,
    ),
    (
        ("votable/td", f"{VOTABLE};serialization=tabledata"),
        Format(f"{VOTABLE};serialization=tabledata", "vot", lambda answer: votable.write(answer, "tabledata")),
    ),
    (("csv", "text/csv", "text/csv;header=present"), Format("text/csv;header=present", "csv", _csv)),
    (("parquet", "application/vnd.apache.parquet"), Format("application/vnd.apache.parquet", "parquet", _parquet)),
    (("json", "application/json"), Format("application/json", "json", _json)),
)
_BY_NAME: Mapping[str, Format] = {name: one for names, one in FORMATS for name in names}


def format_named(name: str | None) -> Format | None:
    """Return the format that RESPONSEFORMAT asks for, VOTable where it asks for none; None if it is not known."""
    if not name:
        return BINARY2
    return _BY_NAME.get(name.lower().replace(" ", ""))


def error_document(message: str, *, status: str = "ERROR") -> bytes:
    """Return a VOTable that says what went wrong (DALI 1.1, section 4.4)."""
    return votable.error(message, status)


def attribute(text: str) -> str:
    """Return a text as an attribute of XML, with its quotation marks."""
    return quoteattr(text)
