"""VOSI 1.1: what the service is, which tables it has, and whether it works."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from lxml import etree  # type: ignore[import-untyped]
from pydantic import AnyUrl
from vo_models.tapregext import models as tr
from vo_models.vodataservice import models as vs
from vo_models.voresource.models import AccessURL, Capability, SecurityMethod
from vo_models.vosi.availability.models import Availability
from vo_models.vosi.capabilities.models import VOSICapabilities
from vo_models.vosi.tables.models import VOSITable, VOSITableSet

from romanhub.discovery.adql.expressions import FUNCTIONS, GEOMETRY
from romanhub.discovery.formats import FORMATS
from romanhub.discovery.schema import KEYS, VOTABLE_TYPES, quoted
from romanhub.discovery.settings import QuerySettings
from romanhub.discovery.tables import SCHEMAS, Column, Entry

XML = "application/xml"

_VOSI = "ivo://ivoa.net/std/VOSI#"
_GEOMETRY_FEATURES = "ivo://ivoa.net/std/TAPRegExt#features-adqlgeo"
_EXAMPLES = "ivo://ivoa.net/std/DALI#examples"
_DAY = 86_400


def _interface(url: str, use: str) -> Any:
    return vs.ParamHTTP(
        access_url=[AccessURL.model_validate({"value": url, "use": use})],
        security_method=[
            SecurityMethod(standard_id=AnyUrl("ivo://ivoa.net/sso#BasicAA")),
            SecurityMethod(standard_id=AnyUrl("ivo://ivoa.net/sso#OAuth")),
        ],
        role="std",
        version="1.1",
    )


def _plain(standard: str, url: str, use: str = "full") -> Capability:
    return Capability(standard_id=AnyUrl(standard), interface=[_interface(url, use)])


def tap_capabilities(url: str, limits: QuerySettings) -> bytes:
    """Return the capabilities of TAP at an address that ends in `/tap`."""
    geometry = [tr.LanguageFeature(form=name) for name in GEOMETRY if name != "REGION"]
    features = [
        tr.LanguageFeatureList(type=_GEOMETRY_FEATURES, feature=geometry),
        tr.LanguageFeatureList(
            type="ivo://ivoa.net/std/TAPRegExt#features-adql-string",
            feature=[tr.LanguageFeature(form=name) for name in ("LOWER", "UPPER", "ILIKE")],
        ),
        tr.LanguageFeatureList(
            type="ivo://ivoa.net/std/TAPRegExt#features-adql-sets",
            feature=[tr.LanguageFeature(form=name) for name in ("UNION", "EXCEPT", "INTERSECT")],
        ),
        tr.LanguageFeatureList(
            type="ivo://ivoa.net/std/TAPRegExt#features-adql-common-table",
            feature=[tr.LanguageFeature(form="WITH")],
        ),
        tr.LanguageFeatureList(
            type="ivo://ivoa.net/std/TAPRegExt#features-adql-offset", feature=[tr.LanguageFeature(form="OFFSET")]
        ),
    ]
    access = tr.TableAccess(
        interface=[_interface(url, "base")],
        data_model=[tr.DataModelType(value="Obscore-1.1", ivo_id="ivo://ivoa.net/std/ObsCore#core-1.1")],
        language=[
            tr.Language(
                name="ADQL",
                version=[
                    tr.Version(value="2.0", ivo_id="ivo://ivoa.net/std/ADQL#v2.0"),
                    tr.Version(value="2.1", ivo_id="ivo://ivoa.net/std/ADQL#v2.1"),
                ],
                description=f"With the functions {', '.join(FUNCTIONS)}.",
                language_features=features,
            )
        ],
        output_format=[
            tr.OutputFormat(
                mime=one.media_type,
                alias=[name for name in names if "/" not in name or name.startswith("votable/")],
            )
            for names, one in FORMATS
        ],
        upload_method=[tr.UploadMethod(ivo_id="ivo://ivoa.net/std/TAPRegExt#upload-inline")],
        retention_period=tr.TimeLimits(default=limits.job_days * _DAY, hard=limits.job_days * _DAY),
        execution_duration=tr.TimeLimits(default=limits.async_seconds, hard=limits.async_seconds),
        output_limit=tr.DataLimits(
            default=tr.DataLimit(value=limits.default_rows, unit="row"),
            hard=tr.DataLimit(value=limits.most_rows, unit="row"),
        ),
        upload_limit=tr.DataLimits(hard=tr.DataLimit(value=limits.upload_rows, unit="row")),
    )
    return _xml(
        VOSICapabilities(
            capability=[
                access,
                _plain(f"{_VOSI}capabilities", f"{url}/capabilities"),
                _plain(f"{_VOSI}availability", f"{url}/availability"),
                _plain(f"{_VOSI}tables-1.1", f"{url}/tables"),
                _plain(_EXAMPLES, f"{url}/examples"),
            ]
        )
    )


def plain_capabilities(standard: str, url: str, query: str) -> bytes:
    """Return the capabilities of another door: its standard's identifier, its address, and that of its queries."""
    return _xml(
        VOSICapabilities(
            capability=[
                _plain(standard, query),
                _plain(f"{_VOSI}capabilities", f"{url}/capabilities"),
                _plain(f"{_VOSI}availability", f"{url}/availability"),
            ]
        )
    )


def availability(*, available: bool, since: datetime | None, note: str) -> bytes:
    """Return whether the service works."""
    said: dict[str, Any] = {"available": available, "note": [note]}
    if since is not None:
        said["up_since"] = since.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return _xml(Availability(**said))


def table_set(entries: Iterable[Entry]) -> bytes:
    """Return the tables of a reader, with their columns."""
    schemas: dict[str, list[vs.Table]] = {}
    for entry in entries:
        schemas.setdefault(entry.db, []).append(_table(vs.Table, entry))
    return _xml_of_tables(
        VOSITableSet(
            tableset_schema=[
                vs.TableSchema(schema_name=name, description=SCHEMAS.get(name, ""), table=tables)
                for name, tables in schemas.items()
            ]
        )
    )


def one_table(entry: Entry) -> bytes:
    """Return one table with its columns."""
    return _xml_of_tables(_table(VOSITable, entry))


def _table(kind: Any, entry: Entry) -> Any:
    return kind(
        table_type="table",
        table_name=entry.full,
        description=entry.description,
        utype=entry.utype or None,
        # Of a table of which each reader sees another part, the whole number is nobody's business.
        nrows=entry.rows if entry.dataset is not None else None,
        column=[_column(column) for column in entry.columns],
        foreign_key=[
            vs.ForeignKey(
                target_table=key.target_table, from_column=key.from_column, target_column=key.target_column
            )
            for key in KEYS
            if key.from_table == entry.full
        ],
    )


def _column(column: Column) -> vs.TableParam:
    datatype, arraysize = VOTABLE_TYPES[column.kind]
    flags = [flag for flag in ("principal", "indexed", "std") if getattr(column, flag)]
    return vs.TableParam(
        column_name=quoted(column.name),
        description=column.description or None,
        unit=column.unit or None,
        ucd=column.ucd or None,
        utype=column.utype or None,
        xtype=column.xtype or None,
        datatype=vs.DataType(value=datatype, arraysize=arraysize),
        flag=flags,
    )


def _xml(model: Any) -> bytes:
    found: str | bytes = model.to_xml(skip_empty=True)
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + (found.encode() if isinstance(found, str) else found)


def _xml_of_tables(model: Any) -> bytes:
    """Return a description of tables as VODataService's schema has it: a column's xtype is within its type."""
    tree = model.to_xml_tree(skip_empty=True)
    for column in tree.iter("column"):
        said = column.find("xtype")
        if said is not None:
            column.remove(said)
            column.find("dataType").set("extendedType", said.text)
    found: bytes = etree.tostring(tree, encoding="UTF-8", xml_declaration=True)
    return found
