"""TAP's routes for queries at once, and for what the service says of itself."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, RedirectResponse, Response

from romanhub.discovery.access import Doorkeeper
from romanhub.discovery.engine import NotReadyError
from romanhub.discovery.failures import MissingError
from romanhub.discovery.params import read_params
from romanhub.discovery.search import Search
from romanhub.discovery.tap import vosi
from romanhub.discovery.tap.requests import understand


def routes(doorkeeper: Doorkeeper, search: Search, *, url: str, since: datetime) -> APIRouter:
    """Return the routes below `tap/`; `url` is their address as people reach it, without a slash."""
    router = APIRouter(tags=["TAP"])

    @router.api_route("/sync", methods=["GET", "POST"])
    async def sync(request: Request) -> Response:
        """Answer a query at once."""
        reader = await doorkeeper.reader(request)
        params = await read_params(request, most_bytes=search.limits.upload_bytes)
        if (params.one("REQUEST") or "").lower() == "getcapabilities":
            return Response(vosi.tap_capabilities(url, search.limits), media_type=vosi.XML)

        def work() -> tuple[bytes, str]:
            asked = understand(params, search.limits, seconds=search.limits.sync_seconds)
            return asked.form.write(search.answer(reader, asked.query)), asked.form.media_type

        content, media_type = await search.run(reader, work)
        return Response(content, media_type=media_type)

    @router.get("/capabilities")
    async def capabilities() -> Response:
        """What the service can do (VOSI); anybody may know."""
        return Response(vosi.tap_capabilities(url, search.limits), media_type=vosi.XML)

    @router.get("/availability")
    async def availability() -> Response:
        """Whether the service works (VOSI); anybody may know."""
        return Response(await availability_of(search, since), media_type=vosi.XML)

    @router.get("/tables")
    async def tables(request: Request) -> Response:
        """The tables that the sender may read (VOSI)."""
        reader = await doorkeeper.reader(request)
        found = await search.run(reader, lambda: search.tables(reader, search.engine.store()))
        # With their columns even for detail=min: pyvo asks so, and then for each table without its token.
        return Response(vosi.table_set(found.values()), media_type=vosi.XML)

    @router.get("/tables/{name}")
    async def table(request: Request, name: str) -> Response:
        """One table with its columns (VOSI)."""
        reader = await doorkeeper.reader(request)
        found = await search.run(reader, lambda: search.tables(reader, search.engine.store()))
        entry = found.get(name.lower())
        if entry is None:
            raise MissingError(f"There is no table {name} that you may read.")
        return Response(vosi.one_table(entry), media_type=vosi.XML)

    @router.get("")
    async def door() -> RedirectResponse:
        """Lead to the capabilities."""
        return RedirectResponse(f"{url}/capabilities", status_code=303)

    @router.get("/examples")
    async def examples() -> PlainTextResponse:
        """Queries to begin with (DALI's examples are RDFa; here they are a page in plain HTML with it)."""
        return PlainTextResponse(_EXAMPLES, media_type="text/html")

    return router


async def availability_of(search: Search, since: datetime) -> bytes:
    """Return whether the service can answer, as VOSI's document."""
    try:
        store = search.engine.store()
    except NotReadyError as error:
        return vosi.availability(available=False, since=None, note=str(error))
    return vosi.availability(available=True, since=since, note=f"The index was made at {store.contents.made}.")


_EXAMPLES = """<!DOCTYPE html>
<html xmlns="http://www.w3.org/1999/xhtml" lang="en"><head><title>Queries to begin with</title></head>
<body vocab="http://www.ivoa.net/rdf/examples#">
<div id="covering" resource="#covering" typeof="example"><h2 property="name">Images that cover a position</h2>
<pre property="query">SELECT name, optical_element, start FROM roman.images
WHERE 1 = CONTAINS(POINT('ICRS', 270.0, 66.0), s_region) ORDER BY t_start</pre></div>
<div id="overlapping" resource="#overlapping" typeof="example">
<h2 property="name">Images that touch a circle, in a filter</h2>
<pre property="query">SELECT * FROM ivoa.obscore
WHERE 1 = INTERSECTS(CIRCLE('ICRS', 270.0, 66.0, 0.05), s_region) AND optical_element = 'F158'</pre></div>
</body></html>
"""
