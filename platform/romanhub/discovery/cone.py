"""Simple Cone Search 1.03: the rows of a table near a position."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter, Request
from fastapi.responses import Response

from romanhub.discovery import geometry
from romanhub.discovery.access import Doorkeeper, Reader
from romanhub.discovery.adql import predicates
from romanhub.discovery.adql.shapes import Shape
from romanhub.discovery.answer import Answer
from romanhub.discovery.failures import MissingError
from romanhub.discovery.formats import BINARY2, format_named
from romanhub.discovery.images import Conditions, numbers
from romanhub.discovery.params import Params, UsageError, read_params
from romanhub.discovery.search import Search
from romanhub.discovery.tables import Entry
from romanhub.discovery.tap import vosi
from romanhub.discovery.tap.requests import rows_asked
from romanhub.discovery.tap.routes import availability_of

STANDARD = "ivo://ivoa.net/std/ConeSearch"
_ALIAS = "images"


def routes(doorkeeper: Doorkeeper, search: Search, *, url: str, since: datetime) -> APIRouter:
    """Return the routes below `cone/`; `url` is their address as people reach it, without a slash."""
    router = APIRouter(tags=["Cone search"])

    @router.api_route("/{table}", methods=["GET", "POST"])
    async def query(request: Request, table: str) -> Response:
        """Answer with the table's rows within SR degrees of RA and DEC."""
        reader = await doorkeeper.reader(request)
        params = await read_params(request, most_bytes=search.limits.upload_bytes)
        form = format_named(params.one("RESPONSEFORMAT")) or BINARY2

        def work() -> bytes:
            return form.write(find(search, reader, table, params))

        return Response(await search.run(reader, work), media_type=form.media_type)

    @router.get("/{table}/capabilities")
    async def capabilities(table: str) -> Response:
        """What the service can do (VOSI); anybody may know."""
        name = table if all(mark.isalnum() or mark in "_." for mark in table) else "table"
        here = f"{url}/{name}"
        return Response(vosi.plain_capabilities(STANDARD, here, here), media_type=vosi.XML)

    @router.get("/{table}/availability")
    async def availability(table: str) -> Response:
        """Whether the service works (VOSI); anybody may know."""
        return Response(await availability_of(search, since), media_type=vosi.XML)

    return router


def find(search: Search, reader: Reader, table: str, params: Params) -> Answer:
    """Return the rows near a position, the nearest first.

    Raises MissingError, UsageError, ShapeError, and what a query raises.
    """
    store = search.engine.store()
    entry = search.tables(reader, store).get(table.lower())
    if entry is None or entry.ra is None or entry.dec is None:
        raise MissingError(
            f"There is no table {table} with positions that you may read; tap/tables lists the tables."
        )
    ra, dec, radius = _number(params, "RA") % 360, _number(params, "DEC"), _number(params, "SR")
    geometry.check((ra, dec, radius))
    most = rows_asked(params, search.limits)
    verbosity = params.whole("VERB", least=1) or 2
    columns = [column for column in entry.columns if verbosity > 1 or column.principal]
    here = Shape((repr(ra), repr(dec)), (ra, dec))
    sql_columns = tuple(f'"{_ALIAS}"."{_stored(entry, name)}"' for name in (entry.ra, entry.dec))
    rows = Shape(sql_columns, entry=entry, alias=_ALIAS)
    conditions = Conditions()
    conditions.any_of([predicates.near(rows, here, repr(radius), radius)])
    if entry.dataset is None:
        conditions.open_to(reader.datasets)
    listed = ", ".join(f'"{_ALIAS}"."{column.stored}"' for column in columns)
    # SR=0 asks what the table is like (section 2.3); MAXREC=0 does as well.
    sql = (
        f'SELECT {listed} FROM "{entry.stored}" AS "{_ALIAS}" WHERE {conditions.where} '  # noqa: S608
        f"ORDER BY {predicates.distance(rows, here)} LIMIT {0 if radius == 0 else most + 1}"
    )
    found = search.rows(reader, sql, conditions.parameters)
    return Answer.of(found, _described(columns, entry), most=most, base=search.url)


def _described(columns: list, entry: Entry) -> list:  # type: ignore[type-arg]
    """Return the columns with the UCDs that the standard wants of the main ones (section 2.2)."""
    identifier = next((one.name for one in columns if one.ucd.startswith("meta.id")), columns[0].name)
    ucds = {entry.ra: "POS_EQ_RA_MAIN", entry.dec: "POS_EQ_DEC_MAIN", identifier: "ID_MAIN"}
    return [one.model_copy(update={"ucd": ucds[one.name]}) if one.name in ucds else one for one in columns]


def _stored(entry: Entry, name: str) -> str:
    column = entry.column(name)
    return column.stored if column else name


def _number(params: Params, name: str) -> float:
    text = params.one(name)
    if text is None:
        raise UsageError(f"{name} is missing: a number of degrees.")
    [value] = numbers([text], name)
    return value
