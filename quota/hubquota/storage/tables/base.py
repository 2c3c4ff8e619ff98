"""What the tables are made of. Amounts are whole units; times are whole seconds since 1970 in UTC."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Index, Integer, MetaData

#: Where the migrations note how far they have come.
VERSION_TABLE = "hubquota_version"

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)

#: The number of a row. SQLite numbers rows by itself only in a column that is exactly INTEGER.
Number = BigInteger().with_variant(Integer, "sqlite")


def partial_index(name: str, *columns: ColumnElement[Any], where: Any, unique: bool = False) -> Index:
    """Return an index of those rows only that fit a condition."""
    return Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)
