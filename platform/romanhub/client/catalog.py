"""A source catalogue in Parquet, as an astropy table with its units and descriptions.

astropy's own reader of this format needs pandas, which the analysis environment does without.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.table import Column, MaskedColumn, Table
from astropy.table.meta import get_header_from_yaml

#: Where astropy and the Roman data models keep a table's units and descriptions in a Parquet file.
_YAML = b"table_meta_yaml"

#: What libraries keep in a Parquet file for themselves.
_OF_LIBRARIES = (b"pandas", b"ARROW:schema")


def read_catalog(data: bytes, columns: list[str] | None = None) -> Table:
    """Return the table in a Parquet file's bytes; the file's own notes become the table's `meta`.

    Units and descriptions are those that astropy or the Roman data models wrote, or else the fields'
    own metadata `unit` and `description`. Missing values are masked.

    :param columns: only these; all without it.
    :raises ValueError: for bytes that are no Parquet file (pyarrow's ArrowInvalid is a ValueError).
    """
    stored = pq.read_table(io.BytesIO(data), columns=columns)
    kept = dict(stored.schema.metadata or {})
    yaml = kept.pop(_YAML, None)
    header: dict[str, Any] = get_header_from_yaml(yaml.decode().splitlines()) if yaml else {}
    meta = {key.decode(): value.decode() for key, value in kept.items() if key not in _OF_LIBRARIES}
    facts = {column["name"]: column for column in header.get("datatype", [])}
    found = [_column(stored, field, facts.get(field.name, {})) for field in stored.schema]
    return Table(found, meta=meta | (header.get("meta") or {}))


def _column(stored: pa.Table, field: pa.Field, facts: dict[str, Any]) -> Column:
    """Return one column with the facts that are known about it."""
    kept = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
    unit = facts.get("unit", kept.get("unit"))
    about = {
        "name": field.name,
        "unit": None if unit in ("None", "", None) else unit,
        "description": facts.get("description", kept.get("description")),
    }
    chunks = stored.column(field.name)
    if not chunks.null_count:
        return Column(_plain(chunks, field), **about)
    mask = chunks.is_null().to_numpy()
    filler = "" if _is_text(field) else False if pa.types.is_boolean(field.type) else 0
    return MaskedColumn(_plain(chunks.fill_null(filler), field), mask=mask, **about)


def _plain(chunks: pa.ChunkedArray, field: pa.Field) -> np.ndarray[Any, Any]:
    """Return the values of a column without missing ones; text as fixed-width strings."""
    values: np.ndarray[Any, Any] = chunks.to_numpy()
    return values.astype(str) if _is_text(field) else values


def _is_text(field: pa.Field) -> bool:
    return bool(pa.types.is_string(field.type) or pa.types.is_large_string(field.type))
