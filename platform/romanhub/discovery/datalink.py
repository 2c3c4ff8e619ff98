"""DataLink 1.1: what there is of an image. Files have no public addresses; the links say how to open them."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from romanhub.discovery.access import Doorkeeper, Reader
from romanhub.discovery.answer import Answer
from romanhub.discovery.failures import MissingError
from romanhub.discovery.images import ALIAS, Conditions
from romanhub.discovery.obscore import DATALINK_FORMAT, PUBLISHER_ID
from romanhub.discovery.params import UsageError, read_params
from romanhub.discovery.search import Search
from romanhub.discovery.tables import Column
from romanhub.discovery.tap import vosi
from romanhub.discovery.votable import document

STANDARD = "ivo://ivoa.net/std/DataLink#links-1.1"
#: No request asks for more images.
_MOST = 1_000

_COLUMNS = (
    Column(name="ID", kind="text", ucd="meta.id;meta.main", description="The image's identifier."),
    Column(name="access_url", kind="text", ucd="meta.ref.url", description="Where to read it."),
    Column(name="service_def", kind="text", ucd="meta.ref", description="Not used."),
    Column(name="error_message", kind="text", ucd="meta.code.error", description="Why there is no address."),
    Column(name="description", kind="text", ucd="meta.note", description="What it is."),
    Column(name="semantics", kind="text", ucd="meta.code", description="What it is to the image."),
    Column(name="content_type", kind="text", ucd="meta.code.mime", description="What the address answers with."),
    Column(name="content_length", kind="long", unit="byte", ucd="phys.size;meta.file", description="Its size."),
)


def routes(doorkeeper: Doorkeeper, search: Search, *, url: str) -> APIRouter:
    """Return the routes below `datalink/`; `url` is their address as people reach it, without a slash."""
    router = APIRouter(tags=["DataLink"])

    @router.api_route("/links", methods=["GET", "POST"])
    async def links(request: Request) -> Response:
        """What there is of the images whose identifiers are sent as ID."""
        reader = await doorkeeper.reader(request)
        params = await read_params(request, most_bytes=search.limits.upload_bytes)
        asked = params.all("ID")
        if len(asked) > _MOST:
            raise UsageError(f"No more than {_MOST:,} images can be asked for at once.")

        def work() -> bytes:
            infos = [("QUERY_STATUS", "OK", ""), ("standardID", STANDARD, "")]
            return document([_links(search, reader, asked, url)], "tabledata", infos=infos)

        return Response(await search.run(reader, work), media_type=DATALINK_FORMAT)

    @router.get("/open/{name}")
    async def how(request: Request, name: str) -> PlainTextResponse:
        """How to open an image."""
        reader = await doorkeeper.reader(request)
        if not await search.run(reader, lambda: _sizes(search, reader, [PUBLISHER_ID + name])):
            raise MissingError(f"There is no image {name} that you may read.")
        return PlainTextResponse(how_to_open(name))

    @router.get("/capabilities")
    async def capabilities() -> Response:
        """What the service can do (VOSI); anybody may know."""
        return Response(vosi.plain_capabilities(STANDARD, url, f"{url}/links"), media_type=vosi.XML)

    return router


def how_to_open(name: str) -> str:
    """Return the lines of Python that open an image on the platform."""
    return (
        "# The archive's files are read on the platform, where they are near. In a notebook:\n"
        "from romanhub import archive\n\n"
        f'image = archive.open("{name}")\n'
    )


def _sizes(search: Search, reader: Reader, identifiers: Sequence[str]) -> dict[str, int]:
    """Return the sizes in bytes of those of the images that the reader may read."""
    conditions = Conditions()
    conditions.among("obs_publisher_did", list(identifiers))
    conditions.open_to(reader.datasets)
    sql = f'SELECT obs_publisher_did, size_bytes FROM "images" AS "{ALIAS}" WHERE {conditions.where}'  # noqa: S608
    rows = search.rows(reader, sql, conditions.parameters)
    return dict(zip(*(column.to_pylist() for column in rows.columns), strict=True))


def _links(search: Search, reader: Reader, identifiers: Sequence[str], url: str) -> Answer:
    sizes = _sizes(search, reader, identifiers)
    rows: list[tuple[object, ...]] = []
    for one in identifiers:
        if one not in sizes:
            rows.append(
                (
                    one,
                    None,
                    None,
                    "NotFoundFault: there is no such image that you may read",
                    None,
                    "#this",
                    None,
                    None,
                )
            )
            continue
        name = one.removeprefix(PUBLISHER_ID)
        said = f'The image. On the platform: romanhub.archive.open("{name}")'
        why = "DefaultFault: files have no addresses here; the documentation's link says how to open this one"
        rows.append((one, None, None, why, said, "#this", None, sizes[one]))
        rows.append(
            (one, f"{url}/open/{name}", None, None, "How to open it.", "#documentation", "text/plain", None)
        )
    types = {"text": pa.string(), "long": pa.int64()}
    columns = [pa.array([row[place] for row in rows], types[column.kind]) for place, column in enumerate(_COLUMNS)]
    return Answer(pa.table(columns, names=[column.name for column in _COLUMNS]), _COLUMNS)
