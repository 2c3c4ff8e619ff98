"""TAP_SCHEMA: what tables and columns there are, as tables (TAP 1.1, section 4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import pyarrow as pa

from romanhub.discovery.tables import SCHEMAS, Column, Entry, Kind

#: A column's type and arraysize in VOTable's words.
VOTABLE_TYPES: dict[Kind, tuple[str, str | None]] = {
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


def _text(name: str, description: str) -> Column:
    return Column(name=name, kind="text", description=description, std=True)


def _int(name: str, description: str) -> Column:
    return Column(name=name, kind="int", description=description, std=True)


_UTYPE = _text("utype", "The place in a data model.")
_INDEX = _int("{}_index", "The order in which to show them.")

_TABLES: dict[str, tuple[str, tuple[Column, ...]]] = {
    "schemas": (
        "The schemas.",
        (
            _text("schema_name", "The schema's name."),
            _UTYPE,
            _text("description", "What it holds."),
            _int("schema_index", "The order in which to show them."),
        ),
    ),
    "tables": (
        "The tables that you may read.",
        (
            _text("schema_name", "The schema's name."),
            _text("table_name", "The table's name, as queries say it."),
            _text("table_type", "Always table."),
            _UTYPE,
            _text("description", "What it holds."),
            _int("table_index", "The order in which to show them."),
        ),
    ),
    "columns": (
        "Their columns.",
        (
            _text("table_name", "The table's name."),
            _text("column_name", "The column's name, as queries say it."),
            _text("datatype", "Its type in VOTable."),
            _text("arraysize", "Its arraysize in VOTable."),
            _text("xtype", "What its value is."),
            _int("size", "Not used; see arraysize."),
            _text("description", "What it says."),
            _UTYPE,
            _text("unit", "Its unit."),
            _text("ucd", "Its UCD."),
            _int("indexed", "1: a search by it is quick."),
            _int("principal", "1: among those to look at first."),
            _int("std", "1: a standard defines it."),
            _int("column_index", "The order in which to show them."),
        ),
    ),
    "keys": (
        "Joins between tables: those of this schema.",
        (
            _text("key_id", "The join."),
            _text("from_table", "The table that it goes from."),
            _text("target_table", "The table that it goes to."),
            _text("description", "What it says."),
            _UTYPE,
        ),
    ),
    "key_columns": (
        "Columns of joins.",
        (
            _text("key_id", "The join."),
            _text("from_column", "The column that it goes from."),
            _text("target_column", "The column that it goes to."),
        ),
    ),
}


class Key(NamedTuple):
    """A join from a column of one table to a column of another."""

    from_table: str
    from_column: str
    target_table: str
    target_column: str

    @property
    def id(self) -> str:
        """What TAP_SCHEMA calls the join."""
        return f"{self.from_table}.{self.from_column}"


#: The joins of TAP_SCHEMA's own tables, which the standard wants declared. Others are not.
KEYS = tuple(
    Key(f"tap_schema.{table}", column, f"tap_schema.{target}", there)
    for table, column, target, there in (
        ("tables", "schema_name", "schemas", "schema_name"),
        ("columns", "table_name", "tables", "table_name"),
        ("keys", "from_table", "tables", "table_name"),
        ("keys", "target_table", "tables", "table_name"),
        ("key_columns", "key_id", "keys", "key_id"),
    )
)

#: The tables of TAP_SCHEMA themselves. They are made for each query that reads them.
ENTRIES: tuple[Entry, ...] = tuple(
    Entry(db="tap_schema", name=name, description=description, stored=f"tap_schema_{name}", columns=columns)
    for name, (description, columns) in _TABLES.items()
)


def quoted(name: str) -> str:
    """Return a name as a query has to write it: some of our own columns' names are words of SQL."""
    return f'"{name}"' if name.upper() in _RESERVED else name


#: Names of columns that ADQL reserves (ADQL 2.1, section 2.1.3), of those that occur here.
_RESERVED = {"SIZE", "COLUMNS", "ROWS", "START", "LEVEL", "TIME", "DATE", "VALUE", "POSITION", "INDEX"}


def rows(entries: Iterable[Entry]) -> Mapping[str, pa.Table]:
    """Return the rows of TAP_SCHEMA for a reader of these tables, by the names that the store knows them by."""
    listed = list(entries)
    schemas = [
        {"schema_name": name, "description": SCHEMAS.get(name, ""), "schema_index": place}
        for place, name in enumerate(dict.fromkeys(entry.db for entry in listed))
    ]
    tables = [
        {
            "schema_name": entry.db,
            "table_name": entry.full,
            "table_type": "table",
            "utype": entry.utype or None,
            "description": entry.description,
            "table_index": place,
        }
        for place, entry in enumerate(listed)
    ]
    columns = [_row(entry, column, place) for entry in listed for place, column in enumerate(entry.columns)]
    return {
        "tap_schema_schemas": _table("schemas", schemas),
        "tap_schema_tables": _table("tables", tables),
        "tap_schema_columns": _table("columns", columns),
        "tap_schema_keys": _table("keys", [{"key_id": key.id, **key._asdict()} for key in KEYS]),
        "tap_schema_key_columns": _table("key_columns", [{"key_id": key.id, **key._asdict()} for key in KEYS]),
    }


def _row(entry: Entry, column: Column, place: int) -> dict[str, Any]:
    datatype, arraysize = VOTABLE_TYPES[column.kind]
    return {
        "table_name": entry.full,
        "column_name": quoted(column.name),
        "datatype": datatype,
        "arraysize": arraysize,
        "xtype": column.xtype or None,
        "description": column.description or None,
        "utype": column.utype or None,
        "unit": column.unit or None,
        "ucd": column.ucd or None,
        "indexed": int(column.indexed),
        "principal": int(column.principal),
        "std": int(column.std),
        "column_index": place,
    }


def _table(name: str, found: list[dict[str, Any]]) -> pa.Table:
    columns = _TABLES[name][1]
    types = {"text": pa.string(), "int": pa.int32()}
    return pa.table({one.name: pa.array([row.get(one.name) for row in found], types[one.kind]) for one in columns})
