"""Answers as VOTables, by astropy's writer."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from astropy.io.votable.tree import Field, Info, Resource, TableElement, VOTableFile

from romanhub.discovery.answer import Answer
from romanhub.discovery.tables import Column, Kind

#: The types of VOTable 1.4 of each kind of column, with its arraysize.
_TYPES: dict[Kind, tuple[str, str | None]] = {
    "boolean": ("boolean", None),
    "short": ("short", None),
    "int": ("int", None),
    "long": ("long", None),
    "float": ("float", None),
    "double": ("double", None),
    "text": ("char", "*"),
    "list": ("double", "*"),
    "timestamp": ("char", "*"),
}

_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


def write(answer: Answer, form: Literal["binary2", "tabledata"]) -> bytes:
    """Return an answer as a VOTable."""
    return document([answer], form, infos=[("QUERY_STATUS", "OK", "")])


def document(
    answers: Sequence[Answer],
    form: Literal["binary2", "tabledata"],
    *,
    infos: Sequence[tuple[str, str, str]],
    resource_type: str = "results",
) -> bytes:
    """Return a VOTable of one answer; `infos` are its INFO elements: name, value, content."""
    file = VOTableFile(version="1.4")
    resource = Resource(type=resource_type)
    file.resources.append(resource)
    for name, value, content in infos:
        resource.infos.append(_info(file, name, value, content))
    for answer in answers:
        table = TableElement(file, name="results")
        resource.tables.append(table)
        arrays = [
            _values(array, column) for column, array in zip(answer.columns, answer.table.columns, strict=True)
        ]
        for number, (column, (_, _, datatype)) in enumerate(zip(answer.columns, arrays, strict=True)):
            # By their names, which are those of columns for astropy's readers, where XML allows it.
            identifier = column.name if _ID.fullmatch(column.name) else f"col_{number}"
            table.fields.append(_field(file, column, datatype, identifier))
        table.create_arrays(answer.table.num_rows)
        for field, (values, missing, _) in zip(table.fields, arrays, strict=True):
            if len(values):
                table.array[field.ID] = values
                table.array.mask[field.ID] = missing
        table.format = form
    out = io.BytesIO()
    file.to_xml(out)
    written = out.getvalue()
    if any(answer.overflow for answer in answers):
        # After the table (DALI 1.1, section 4.4.1), where astropy's writer never puts one.
        before, end, after = written.rpartition(b"</RESOURCE>")
        written = before + b'<INFO name="QUERY_STATUS" value="OVERFLOW"/>\n ' + end + after
    return written


def error(message: str, status: str) -> bytes:
    """Return a VOTable without a table that says what went wrong."""
    return document([], "tabledata", infos=[("QUERY_STATUS", status, message)])


def _info(file: VOTableFile, name: str, value: str, content: str) -> Any:
    info = Info(name=name, value=value)
    info.ID = None
    if content:
        info.content = content
    return info


def _field(file: VOTableFile, column: Column, datatype: str, identifier: str) -> Any:
    options: dict[str, Any] = {
        "name": column.name,
        "ID": identifier,
        "datatype": datatype,
        "arraysize": _TYPES[column.kind][1],
    }
    if column.unit:
        options["unit"] = column.unit
    if column.ucd:
        options["ucd"] = column.ucd
    if column.utype:
        options["utype"] = column.utype
    xtype = column.xtype or ("timestamp" if column.kind == "timestamp" else "")
    if xtype:
        options["xtype"] = xtype
    field = Field(file, **options)
    if column.description:
        field.description = column.description
    return field


def _values(array: pa.ChunkedArray, column: Column) -> tuple[Any, Any, str]:
    """Return a column's values, which of them are missing, and its datatype."""
    missing = array.is_null().to_numpy()
    datatype = _TYPES[column.kind][0]
    if column.kind == "timestamp":
        array = pc.strftime(array.cast(pa.timestamp("us")), format="%Y-%m-%dT%H:%M:%S")
    if column.kind in ("text", "timestamp"):
        texts = [text or "" for text in array.to_pylist()]
        if not all(text.isascii() for text in texts):
            datatype = "unicodeChar"
        return _objects(texts), missing, datatype
    if column.kind == "list":
        return (
            _objects(
                [np.ma.array(row or [], mask=[False] * len(row or []), dtype=float) for row in array.to_pylist()]
            ),
            missing,
            datatype,
        )
    filled = array.fill_null(False if column.kind == "boolean" else 0) if missing.any() else array
    return filled.to_numpy(), missing, datatype


def _objects(values: Sequence[Any]) -> Any:
    found = np.empty(len(values), object)
    for place, value in enumerate(values):
        found[place] = value
    return found
