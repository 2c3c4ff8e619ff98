"""The JSON door: images, tables and coverage, for the portal and the Python client."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from romanhub.discovery.access import Doorkeeper, Reader
from romanhub.discovery.adql import predicates
from romanhub.discovery.adql.shapes import Shape
from romanhub.discovery.engine import NotReadyError
from romanhub.discovery.failures import MissingError
from romanhub.discovery.images import ALIAS, Conditions, numbers, touching
from romanhub.discovery.index import coverage_document
from romanhub.discovery.obscore import plain
from romanhub.discovery.params import Params, UsageError, read_params
from romanhub.discovery.search import Search
from romanhub.discovery.store import Place

_DEFAULT, _MOST = 1_000, 100_000

_COLUMNS = (
    *(
        "name",
        "dataset",
        "calib_level",
        "optical_element",
        "detector",
        "start",
        "t_exptime",
        "s_ra",
        "s_dec",
        "_shape",
    ),
    *("s_xel1", "s_xel2", "size_bytes", "sha256", "key"),
)
_NAMES = {"POS", "RADIUS", "POLYGON", "FILTER", "DATASET", "LEVEL", "AFTER", "BEFORE", "NAME", "LIMIT", "ORDER"}


def routes(doorkeeper: Doorkeeper, search: Search, place: Place) -> APIRouter:
    """Return the routes below `api/`."""
    router = APIRouter(tags=["JSON"])

    @router.get("/images")
    async def images(request: Request) -> JSONResponse:
        """The images that fulfil every condition that is given."""
        reader = await doorkeeper.reader(request)
        params = await read_params(request, most_bytes=0)
        if unknown := sorted(params.names() - _NAMES):
            raise UsageError(
                f"There is no parameter {unknown[0].lower()}; there are {', '.join(sorted(_NAMES)).lower()}."
            )
        return JSONResponse(await search.run(reader, lambda: find(search, reader, params)))

    @router.get("/tables")
    async def tables(request: Request) -> JSONResponse:
        """The tables that the sender may read, with their columns."""
        reader = await doorkeeper.reader(request)

        def work() -> dict[str, Any]:
            store = search.engine.store()
            listed = [
                {
                    "name": entry.full,
                    "description": entry.description,
                    "dataset": entry.dataset,
                    "ra": entry.ra,
                    "dec": entry.dec,
                    "rows": entry.rows if entry.dataset is not None else None,
                    "columns": plain(entry.columns),
                }
                for entry in search.tables(reader, store).values()
            ]
            return {"tables": listed, "index_made": store.contents.made}

        return JSONResponse(await search.run(reader, work))

    @router.get("/coverage")
    async def coverage(request: Request) -> JSONResponse:
        """The part of the sky that a data set covers, or one filter of it, as a MOC in JSON."""
        reader = await doorkeeper.reader(request)
        params = await read_params(request, most_bytes=0)
        dataset, element = params.one("DATASET"), params.one("FILTER")
        if dataset is None:
            raise UsageError("dataset is missing: the name of a data set.")
        document = None
        if dataset in reader.datasets:
            document = await search.run(reader, lambda: coverage_document(place, dataset, element))
        if document is None:
            raise MissingError(
                f"There is no coverage of {dataset}{f' in {element}' if element else ''} that you may read."
            )
        return JSONResponse(document)

    @router.get("/health")
    async def health() -> JSONResponse:
        """Whether the service runs, and whether it has an index yet; asks for no token."""
        try:
            made: str | None = search.engine.store().contents.made
        except NotReadyError:
            made = None
        return JSONResponse({"ready": made is not None, "index_made": made})

    return router


def find(search: Search, reader: Reader, params: Params) -> dict[str, Any]:
    """Return the images as JSON has them. Raises UsageError, ShapeError, and what a query raises."""
    store = search.engine.store()
    entry = store.contents.names()["ivoa.obscore"]
    conditions = Conditions()
    pos, radius, covering = _position(params), params.one("RADIUS"), None
    if pos is not None:
        covering = touching(entry, pos)
        conditions.any_of([covering if radius is None else touching(entry, (*pos, *numbers([radius], "radius")))])
    elif radius is not None:
        raise UsageError("A radius needs a position to be around: give pos as well.")
    if (polygon := params.one("POLYGON")) is not None:
        conditions.any_of([touching(entry, numbers(polygon.split(","), "polygon"))])
    for name, column in (("FILTER", "optical_element"), ("DATASET", "dataset"), ("NAME", "name")):
        if values := params.all(name):
            conditions.among(column, values)
    if (level := params.whole("LEVEL")) is not None:
        conditions.among("calib_level", [level])
    for name, comparison in (("AFTER", ">="), ("BEFORE", "<")):
        if (text := params.one(name)) is not None:
            conditions.compare("start", comparison, _moment(text, name.lower()))
    conditions.open_to(reader.datasets)
    limit = min(params.whole("LIMIT", least=1) or _DEFAULT, _MOST)
    order = _order(params, pos)
    listed = ", ".join(f'"{ALIAS}"."{column}"' for column in _COLUMNS)
    sql = (
        f'SELECT {listed}, {covering or "NULL"} AS covers FROM "images" AS "{ALIAS}" '  # noqa: S608
        f"WHERE {conditions.where} ORDER BY {order} LIMIT {limit + 1}"
    )
    rows = search.rows(reader, sql, conditions.parameters)
    return {
        "images": _images(rows.slice(0, limit)),
        "truncated": rows.num_rows > limit,
        "index_made": store.contents.made,
    }


def _position(params: Params) -> tuple[float, ...] | None:
    text = params.one("POS")
    if text is None:
        return None
    pos = numbers(text.split(","), "pos")
    if len(pos) != 2:
        raise UsageError(f"pos has to be `ra,dec` in degrees; it was {text!r}.")
    return pos


def _order(params: Params, pos: tuple[float, ...] | None) -> str:
    order = params.one("ORDER") or "start"
    if order == "start":
        return f'"{ALIAS}"."start", "{ALIAS}"."name"'
    if order == "distance" and pos is not None:
        here = Shape(tuple(repr(number) for number in pos), pos)
        centre = Shape((f'"{ALIAS}"."s_ra"', f'"{ALIAS}"."s_dec"'))
        return f'{predicates.distance(centre, here)}, "{ALIAS}"."name"'
    raise UsageError("order can be start, or with pos distance.")


def _moment(text: str, name: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{name} has to be a time such as 2027-06-01T03:20:00Z; it was {text!r}.") from None
    return found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found


def _images(rows: pa.Table) -> list[dict[str, Any]]:
    return [
        {
            "name": row["name"],
            "dataset": row["dataset"],
            "level": row["calib_level"],
            "optical_element": row["optical_element"],
            "detector": row["detector"],
            "start": row["start"].isoformat() + "Z",
            "exposure_time": row["t_exptime"] if math.isfinite(row["t_exptime"]) else None,
            "ra": row["s_ra"],
            "dec": row["s_dec"],
            "footprint": [row["_shape"][place : place + 2] for place in range(0, len(row["_shape"]), 2)],
            "shape": [row["s_xel2"], row["s_xel1"]],
            "size": row["size_bytes"],
            "sha256": row["sha256"],
            "key": row["key"],
            "covers": row["covers"],
        }
        for row in rows.to_pylist()
    ]
