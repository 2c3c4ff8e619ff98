"""Tables that come along with a query (TAP 1.1, section 2.5): VOTables in the request itself."""

from __future__ import annotations

import io
import re
import secrets
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from astropy.io.votable import parse_single_table

from romanhub.discovery.answer import kind_of
from romanhub.discovery.params import Params, UsageError
from romanhub.discovery.tables import Column, Entry

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


def read(params: Params, *, most_rows: int) -> dict[str, tuple[Entry, pa.Table]]:
    """Return the tables that came along, by their full names in lower case. Raises UsageError."""
    found = {}
    for text in params.all("UPLOAD"):
        for pair in text.split(";"):
            name, _, address = pair.strip().partition(",")
            if not pair.strip():
                continue
            if not _NAME.fullmatch(name.strip()):
                raise UsageError(f"{name!r} cannot be the name of a table: letters, digits and underscores can.")
            scheme, _, part = address.strip().partition(":")
            if scheme.lower() != "param":
                raise UsageError(
                    "A table has to come along in the request itself (UPLOAD=name,param:part): this service "
                    "fetches nothing from elsewhere."
                )
            if part not in params.files:
                raise UsageError(f"The request has no file in a part named {part!r}.")
            entry, table = _table(name.strip().lower(), params.files[part], most_rows)
            found[entry.full] = (entry, table)
    return found


def _table(name: str, content: bytes, most_rows: int) -> tuple[Entry, pa.Table]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parsed = parse_single_table(io.BytesIO(content))
            rows = parsed.to_table(use_names_over_ids=True)
    except Exception as error:  # noqa: BLE001, RUF100  -- whatever the parser trips over, the file is to blame
        raise UsageError(f"The table {name} is no VOTable that can be read: {error}") from None
    if len(rows) > most_rows:
        raise UsageError(f"The table {name} has {len(rows):,} rows; no more than {most_rows:,} may come along.")
    columns, arrays = [], []
    described: Mapping[str, object] = {one.name: one for one in parsed.fields}
    for column in rows.colnames:
        array = _array(rows[column])
        kind = kind_of(array.type)
        if not _NAME.fullmatch(column) or kind is None:
            raise UsageError(
                f"The column {column!r} of the table {name} cannot be used: its name has to be letters, digits "
                "and underscores, and its type a number or a text."
            )
        said = described.get(column)
        columns.append(
            Column(
                name=column,
                kind=kind,
                unit=str(getattr(said, "unit", None) or ""),
                ucd=str(getattr(said, "ucd", None) or ""),
                xtype=str(getattr(said, "xtype", None) or ""),
            )
        )
        arrays.append(array)
    names = [one.name.lower() for one in columns]
    if len(set(names)) < len(names):
        raise UsageError(f"The table {name} has two columns of the same name.")
    stored = f"upload_{secrets.token_hex(8)}"
    entry = Entry(
        db="tap_upload",
        name=name,
        description="Came along.",
        stored=stored,
        columns=tuple(columns),
        rows=len(rows),
    )
    return entry, pa.table(arrays, names=[one.name for one in columns])


def _array(column: object) -> pa.Array:
    values: Any = np.ma.asarray(column)
    mask = np.broadcast_to(np.ma.getmaskarray(values), values.shape)
    if values.dtype.kind in "OSU":
        texts = [
            None if gone else value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
            for value, gone in zip(values.data, mask, strict=True)
        ]
        return pa.array(texts, pa.string())
    data = np.ascontiguousarray(values.data)
    return pa.array(data.astype(data.dtype.newbyteorder("=")), mask=np.ascontiguousarray(mask))
