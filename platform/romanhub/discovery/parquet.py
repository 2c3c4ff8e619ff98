"""The columns of catalogues of sources in Parquet files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa

from romanhub.discovery.tables import Column, Kind

#: The column of HATS catalogues with each row's cell of order 29.
HATS_CELL = "_healpix_29"

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
#: Names of position columns where nothing else says them, the likelier ones first.
_POSITIONS = (("ra", "dec"), ("RA", "DEC"), ("ra_deg", "dec_deg"), ("s_ra", "s_dec"))


def position_columns(names: Iterable[str], ra: str | None, dec: str | None) -> tuple[str | None, str | None]:
    """Return the columns of positions: those named, else the usual ones, else none."""
    there = set(names)
    if ra in there and dec in there:
        return ra, dec
    return next((pair for pair in _POSITIONS if there.issuperset(pair)), (None, None))


def columns(schema: pa.Schema, ra: str | None, dec: str | None) -> tuple[Column, ...]:
    """Return the columns that a query may name: those with a plain name and a type that VOTable has.

    Units, descriptions and UCDs are those of the fields' metadata, as the sample's files have them.
    """
    found = []
    for field in schema:
        kind = _kind(field.type)
        if kind is None or not _NAME.fullmatch(field.name):
            continue
        said: Mapping[bytes, bytes] = field.metadata or {}
        ucd = said.get(b"ucd", b"").decode("utf-8", "replace")
        main = {ra: "pos.eq.ra;meta.main", dec: "pos.eq.dec;meta.main"}.get(field.name, "")
        unit = said.get(b"unit", b"").decode("utf-8", "replace") or ("deg" if main else "")
        found.append(
            Column(
                name=field.name,
                kind=kind,
                unit=unit,
                ucd=ucd or main,
                description=said.get(b"description", b"").decode("utf-8", "replace"),
                xtype="timestamp" if kind == "timestamp" else "",
                indexed=bool(main),
            )
        )
    return tuple(found)


def _kind(type_: pa.DataType) -> Kind | None:
    if pa.types.is_dictionary(type_):
        type_ = type_.value_type
    tests: Sequence[tuple[Kind, bool]] = (
        ("boolean", pa.types.is_boolean(type_)),
        ("short", pa.types.is_int16(type_) or pa.types.is_int8(type_) or pa.types.is_uint8(type_)),
        ("int", pa.types.is_int32(type_) or pa.types.is_uint16(type_)),
        ("long", pa.types.is_int64(type_) or pa.types.is_uint32(type_)),
        ("float", pa.types.is_float32(type_) or pa.types.is_float16(type_)),
        ("double", pa.types.is_float64(type_)),
        ("text", pa.types.is_string(type_) or pa.types.is_large_string(type_)),
        ("timestamp", pa.types.is_timestamp(type_)),
    )
    return next((kind for kind, holds in tests if holds), None)
