"""The rows that a query found, with what is known of their columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from romanhub.discovery.obscore import BASE_URL
from romanhub.discovery.tables import Column, Kind


@dataclass(frozen=True)
class Answer:
    """A table, and whether there were more rows than it may hold."""

    table: pa.Table
    columns: tuple[Column, ...]
    overflow: bool = False

    @classmethod
    def of(cls, table: pa.Table, columns: Sequence[Column], *, most: int, base: str) -> Answer:
        """Return rows as an answer of at most so many, with the service's address in the columns of addresses.

        Args:
            table: the rows, one more than `most` where there are more.
            columns: what is known of the columns; their types are those of the table.
            most: how many rows the answer may have.
            base: the address of the service, with a slash at its end.
        """
        kept = table.slice(0, most)
        arrays, described = [], []
        for column, array in zip(columns, kept.columns, strict=True):
            if column.name == "access_url":
                array = pc.replace_substring(array, BASE_URL, base)
            kind = kind_of(array.type)
            if kind is None:
                array, kind = (
                    array.cast(pa.string()) if not pa.types.is_null(array.type) else _texts(array),
                    "text",
                )
            elif pa.types.is_decimal(array.type) or (pa.types.is_integer(array.type) and kind == "double"):
                array = array.cast(pa.float64())
            arrays.append(array)
            described.append(column.model_copy(update={"kind": kind}))
        made = pa.table(arrays, names=[column.name for column in described])
        return cls(made, tuple(described), overflow=table.num_rows > most)


def kind_of(type_: pa.DataType) -> Kind | None:
    """Return the kind of column that a type of Arrow's is; None for one that is written as text."""
    types = pa.types
    if types.is_boolean(type_):
        return "boolean"
    if types.is_int8(type_) or types.is_uint8(type_) or types.is_int16(type_):
        return "short"
    if types.is_int32(type_) or types.is_uint16(type_):
        return "int"
    if types.is_int64(type_) or types.is_uint32(type_):
        return "long"
    if types.is_float32(type_):
        return "float"
    if types.is_float64(type_) or types.is_decimal(type_) or types.is_integer(type_):
        return "double"
    if types.is_timestamp(type_):
        return "timestamp"
    if types.is_list(type_) and types.is_floating(type_.value_type):
        return "list"
    return "text" if types.is_string(type_) or types.is_large_string(type_) else None


def _texts(array: pa.ChunkedArray) -> pa.Array:
    return pa.nulls(len(array), pa.string())
