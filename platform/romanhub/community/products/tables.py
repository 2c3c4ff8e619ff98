"""What tables a file has: their columns with kinds and units, as the file itself says it. Values are not read.

It runs in the process with limits that looks into what people send (`romanhub.community.worker`).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import IO, Any

import asdf
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.table.meta import get_header_from_yaml
from astropy.units import Unit

from romanhub.community.errors import RefusedError

#: A file has no more tables, and a table no more columns, than these.
MOST_TABLES, MOST_COLUMNS = 20, 5000

#: Where astropy and the Roman data models keep a table's units in a Parquet file.
_YAML = b"table_meta_yaml"

#: FITS's own letters for kinds of values (FITS 4.0, table 18).
_FITS_KINDS = {
    "L": "bool", "X": "bits", "B": "uint8", "I": "int16", "J": "int32", "K": "int64", "A": "text", "E": "float32",
    "D": "float64", "C": "complex64", "M": "complex128", "P": "array", "Q": "array",
}  # fmt: skip


def tables_of(file: IO[bytes], kind: str) -> list[dict[str, Any]]:
    """Return a file's tables, each as `place`, `rows` and `columns`.

    Parameters
    ----------
    file
        The file, from its beginning.
    kind
        `parquet`, `fits` or `asdf`.

    Raises
    ------
    RefusedError
        Where it is no such file, or has no table. The message goes on after the file's name and a colon.
    """
    read = {"parquet": _parquet, "fits": _fits, "asdf": _asdf}[kind]
    try:
        with warnings.catch_warnings():
            # Of extensions that are not here, which nothing that is read needs.
            warnings.simplefilter("ignore")
            found = list(read(file))
    except RefusedError:
        raise
    except Exception as error:  # whatever a library makes of a file that is none
        raise RefusedError(f"it cannot be read as {kind.upper()} ({type(error).__name__}).") from None
    if not found:
        raise RefusedError(f"there is no table in this {kind.upper()} file.")
    if len(found) > MOST_TABLES:
        raise RefusedError(f"it has {len(found)} tables, and {MOST_TABLES} is the most.")
    for table in found:
        if not 0 < len(table["columns"]) <= MOST_COLUMNS:
            raise RefusedError(
                f"a table has {len(table['columns'])} columns; from 1 to {MOST_COLUMNS} it may have."
            )
    return found


def usual_unit(text: str) -> str:
    """Return a unit in its usual writing, empty for `dimensionless`. Raises ValueError for what is none."""
    if text.strip().lower() in ("", "1", "dimensionless", "none", "-"):
        return ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = Unit(text.strip(), parse_strict="raise")
        return str(found.to_string())


def _parquet(file: IO[bytes]) -> Iterator[dict[str, Any]]:
    stored = pq.ParquetFile(file)
    schema = stored.schema_arrow
    yaml = (schema.metadata or {}).get(_YAML)
    header: Mapping[str, Any] = get_header_from_yaml(yaml.decode().splitlines()) if yaml else {}
    facts = {column["name"]: column for column in header.get("datatype", [])}
    columns = []
    for field in schema:
        own = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
        said = facts.get(field.name, {})
        dtype = {"double": "float64", "float": "float32", "halffloat": "float16", "string": "text"}
        columns.append(
            _column(
                field.name,
                dtype.get(str(field.type), str(field.type)),
                said.get("unit", own.get("unit")),
                said.get("description", own.get("description")),
            )
        )
    yield {"place": "", "rows": stored.metadata.num_rows, "columns": columns}


def _fits(file: IO[bytes]) -> Iterator[dict[str, Any]]:
    with fits.open(file, memmap=False, lazy_load_hdus=True) as found:
        for number, part in enumerate(found):
            if not isinstance(part, fits.BinTableHDU | fits.TableHDU):
                continue
            columns = []
            for index, column in enumerate(part.columns, start=1):
                letters = [one for one in str(column.format) if one.isalpha()]
                kind = _FITS_KINDS.get(letters[0] if letters else "", "other")
                if isinstance(part, fits.TableHDU):
                    kind = {"A": "text", "I": "int64"}.get(letters[0] if letters else "", "float64")
                comment = str(part.header.comments[f"TTYPE{index}"])
                columns.append(_column(column.name, kind, column.unit, comment))
            yield {"place": part.name or str(number), "rows": int(part.header["NAXIS2"]), "columns": columns}


def _asdf(file: IO[bytes]) -> Iterator[dict[str, Any]]:
    with asdf.open(file, lazy_load=True, memmap=False) as found:
        yield from _tables_in(found.tree, "", 0)


def _tables_in(node: Any, place: str, depth: int) -> Iterator[dict[str, Any]]:
    """Return the tables in a tree: astropy's, and mappings of arrays of one length."""
    if not isinstance(node, Mapping) or depth > 10:
        return
    listed = node.get("columns")
    if isinstance(listed, list) and listed and all(isinstance(one, Mapping) and "name" in one for one in listed):
        columns = [_asdf_column(str(one["name"]), one) for one in listed]
        if columns and all(columns):
            rows = next((len(_values(one)) for one in listed if _values(one) is not None), 0)
            yield {"place": place, "rows": rows, "columns": columns}
            return
    arrays = {str(name): one for name, one in node.items() if _values(one) is not None}
    if arrays and len({len(_values(one)) for one in arrays.values()}) == 1:
        columns = [_asdf_column(name, one) for name, one in arrays.items()]
        yield {"place": place, "rows": len(_values(next(iter(arrays.values())))), "columns": columns}
    for name, one in node.items():
        if name not in ("asdf_library", "history") and name not in arrays:
            yield from _tables_in(one, f"{place}/{name}".strip("/"), depth + 1)


def _values(node: Any) -> Any:
    """Return the array of a column, whichever way it is written down; None for what is none."""
    if isinstance(node, Mapping):
        inner = node.get("data", node.get("value"))
        return None if inner is None else _values(inner)
    shape = getattr(node, "shape", None)
    return node if isinstance(shape, tuple) and len(shape) >= 1 and hasattr(node, "dtype") else None


def _asdf_column(name: str, node: Any) -> dict[str, Any]:
    values = _values(node)
    unit = node.get("unit") if isinstance(node, Mapping) else None
    inner = node.get("data") if isinstance(node, Mapping) else None
    if unit is None and isinstance(inner, Mapping):
        unit = inner.get("unit")
    description = node.get("description") if isinstance(node, Mapping) else None
    kind = str(values.dtype) if values is not None else "other"
    kind = "text" if kind.startswith(("<U", ">U", "|S", "<S")) else kind.lstrip("<>=|")
    return _column(name, kind, None if unit is None else str(getattr(unit, "data", unit)), description)


def _column(name: str, dtype: str, unit: object, description: object) -> dict[str, Any]:
    """Return a column as its file says it. A unit that nobody could compute with is kept as it was written."""
    said = None if unit is None or not str(unit).strip() or str(unit) == "None" else str(unit)[:80]
    if said is not None:
        try:
            said = usual_unit(said)
        except ValueError:
            said = said.strip()
    return {
        "name": str(name)[:200],
        "dtype": dtype[:80],
        "unit": said,
        "description": "" if description in (None, "None") else str(description)[:500],
    }
