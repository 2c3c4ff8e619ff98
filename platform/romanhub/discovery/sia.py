"""SIA 2.0: images by position, band, time and more."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime

from fastapi import APIRouter, Request
from fastapi.responses import Response

from romanhub.discovery.access import Doorkeeper, Reader
from romanhub.discovery.adql import predicates
from romanhub.discovery.answer import Answer
from romanhub.discovery.formats import format_named
from romanhub.discovery.images import ALIAS, Conditions, numbers, touching
from romanhub.discovery.params import Params, UsageError, read_params
from romanhub.discovery.search import Search
from romanhub.discovery.tables import Entry
from romanhub.discovery.tap import vosi
from romanhub.discovery.tap.requests import rows_asked
from romanhub.discovery.tap.routes import availability_of

STANDARD = "ivo://ivoa.net/std/SIA#query-2.0"

#: Parameters that are intervals, with the columns that say a row's own (SIA 2.0, section 2.1).
_INTERVALS: Mapping[str, tuple[str, str]] = {
    "BAND": ("em_min", "em_max"),
    "TIME": ("t_min", "t_max"),
    "FOV": ("s_fov", "s_fov"),
    "SPATRES": ("s_resolution", "s_resolution"),
    "SPECRP": ("em_res_power", "em_res_power"),
    "EXPTIME": ("t_exptime", "t_exptime"),
    "TIMERES": ("t_resolution", "t_resolution"),
}
#: Parameters whose value a column has to be.
_TEXTS: Mapping[str, str] = {
    "COLLECTION": "obs_collection",
    "FACILITY": "facility_name",
    "INSTRUMENT": "instrument_name",
    "DPTYPE": "dataproduct_type",
    "TARGET": "target_name",
    "FORMAT": "access_format",
    # Not of the standard: the filter, as everybody says it.
    "FILTER": "optical_element",
}


def routes(doorkeeper: Doorkeeper, search: Search, *, url: str, since: datetime) -> APIRouter:
    """Return the routes below `sia2/`; `url` is their address as people reach it, without a slash."""
    router = APIRouter(tags=["SIA"])

    @router.api_route("/query", methods=["GET", "POST"])
    async def query(request: Request) -> Response:
        """Answer with rows of ObsCore."""
        reader = await doorkeeper.reader(request)
        params = await read_params(request, most_bytes=search.limits.upload_bytes)
        form = format_named(params.one("RESPONSEFORMAT"))
        if form is None:
            raise UsageError("RESPONSEFORMAT can be votable, votable/td, csv, parquet or json.")

        def work() -> bytes:
            return form.write(find(search, reader, params))

        return Response(await search.run(reader, work), media_type=form.media_type)

    @router.get("/capabilities")
    async def capabilities() -> Response:
        """What the service can do (VOSI); anybody may know."""
        return Response(vosi.plain_capabilities(STANDARD, url, f"{url}/query"), media_type=vosi.XML)

    @router.get("/availability")
    async def availability() -> Response:
        """Whether the service works (VOSI); anybody may know."""
        return Response(await availability_of(search, since), media_type=vosi.XML)

    return router


def find(search: Search, reader: Reader, params: Params) -> Answer:
    """Return the images that fulfil the parameters. Raises UsageError, ShapeError, and what a query raises."""
    most = rows_asked(params, search.limits)
    entry = search.engine.store().contents.names()["ivoa.obscore"]
    conditions = conditions_of(params, entry)
    conditions.open_to(reader.datasets)
    columns = ", ".join(f'"{ALIAS}"."{column.stored}"' for column in entry.columns)
    sql = f'SELECT {columns} FROM "images" AS "{ALIAS}" WHERE {conditions.where} LIMIT {most + 1}'  # noqa: S608
    return Answer.of(search.rows(reader, sql, conditions.parameters), entry.columns, most=most, base=search.url)


def conditions_of(params: Params, entry: Entry) -> Conditions:
    """Return SIA's parameters as conditions. Raises UsageError and ShapeError."""
    found = Conditions()
    found.any_of([position(text, entry) for text in params.all("POS")])
    for name, (low, high) in _INTERVALS.items():
        found.between(low, high, [interval(text, name) for text in params.all(name)])
    for name, column in _TEXTS.items():
        if values := params.all(name):
            found.among(column, values)
    if values := params.all("ID"):
        found.among("obs_publisher_did", values)
    if values := params.all("CALIB"):
        found.among("calib_level", [int(value) for value in numbers(values, "CALIB")])
    if params.all("POL"):
        # No image says anything of polarization.
        found.among("pol_states", params.all("POL"))
    return found


def position(text: str, entry: Entry) -> str:
    """Return the condition of one POS (SIA 2.0, section 2.1.1). Raises UsageError and ShapeError."""
    shape, *rest = text.split()
    values = numbers(rest, "POS")
    name = shape.upper()
    if name == "CIRCLE" and len(values) == 3:
        return touching(entry, (values[0] % 360, *values[1:]))
    if name == "POLYGON" and len(values) >= 6 and len(values) % 2 == 0:
        return touching(entry, values)
    if name == "RANGE" and len(values) == 4:
        lon1, lon2, lat1, lat2 = values
        if math.isnan(sum(value for value in values if math.isfinite(value))):
            raise UsageError("POS has to be made of numbers.")
        lon1, lon2 = (0.0, 360.0) if math.isinf(lon1) or math.isinf(lon2) else (lon1, lon2)
        return predicates.in_range(ALIAS, entry, (lon1, lon2, max(lat1, -90.0), min(lat2, 90.0)))
    raise UsageError(
        "POS has to be `CIRCLE ra dec radius`, `RANGE ra1 ra2 dec1 dec2` or `POLYGON ra1 dec1 ra2 dec2 ra3 dec3`, "
        f"in degrees; it was {text[:200]!r}."
    )


def interval(text: str, name: str) -> tuple[float, float]:
    """Return an interval: two numbers, of which either may be infinite, or one. Raises UsageError."""
    values = numbers(text.replace("/", " ").split(), name)
    if len(values) not in (1, 2) or any(math.isnan(value) for value in values) or values[0] > values[-1]:
        raise UsageError(f"{name} has to be one number, or two in order; it was {text[:200]!r}.")
    return values[0], values[-1]
