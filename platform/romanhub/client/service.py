"""The archive's search service as a notebook asks it: TAP, with the server's own token."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
from astropy.table import Column, QTable
from astropy.time import Time

from romanhub.client.connection import TOKEN_VARIABLE
from romanhub.client.errors import ArchiveUnavailableError, NotAllowedError, OutsidePlatformError
from romanhub.client.regions import Region, as_region
from romanhub.client.search import TimeLike, as_filters, as_moment, check_asked
from romanhub.client.sky import Footprint, as_angle, as_position

if TYPE_CHECKING:
    from pyvo.dal import TAPService

#: The variable that the platform sets in every server: the search service's address.
SEARCH_VARIABLE = "ROMANHUB_SEARCH_URL"

#: A search answers with so many images at most.
MOST = 100_000

#: The table of images, and how its columns are called here.
_TABLE = "roman.images"
_NAMES = {"optical_element": "filter"}
_FIRST = ("name", "level", "optical_element", "detector")

#: What comes last, because it is long, and what a scientist has no use for.
_LAST, _LEFT_OUT = "s_region", ("sha256",)


def connect(environment: Mapping[str, str] | None = None) -> TAPService:
    """Return the platform's TAP service, which is asked with the server's token.

    :raises OutsidePlatformError: where the environment is not that of a server of the platform.
    """
    import requests
    from pyvo.dal import TAPService

    environment = os.environ if environment is None else environment
    url, token = environment.get(SEARCH_VARIABLE), environment.get(TOKEN_VARIABLE)
    if not url or not token:
        raise OutsidePlatformError(
            "This code does not run in a server of the platform, so there is no archive to search. Start a "
            "server on the platform and run it in a notebook there."
        )
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {token}"
    session.hooks["response"].append(_ensure_let_in)
    return TAPService(f"{url.rstrip('/')}/tap", session=session)


def _ensure_let_in(answer: Any, *_args: Any, **_options: Any) -> None:
    """Raise NotAllowedError for an answer that refuses the token: pyvo would take it for one to the question."""
    if answer.status_code in (401, 403):
        raise NotAllowedError(
            "The archive's search refused this server's token. Restart your server (File, Hub Control Panel, Stop "
            "My Server, then Start My Server) and run the cell again."
        )


def find_images(
    service: TAPService,
    *,
    position: Any = None,
    radius: Any = None,
    region: Any = None,
    filter: str | Iterable[str] | None = None,  # noqa: A002  -- the word that astronomers use
    after: TimeLike | None = None,
    before: TimeLike | None = None,
    level: int | None = None,
) -> QTable:
    """Return the images that fulfil every condition; see `Archive.images`."""
    area = None if region is None else as_region(region)
    query = image_query(
        position=position, radius=radius, region=area, filter=filter, after=after, before=before, level=level
    )
    found = _ask(service, query)
    if area is not None and area.corners is None and len(found):
        found = found[_touching(area, found["s_region"])]
    return _presented(found)


def image_query(
    *,
    position: Any = None,
    radius: Any = None,
    region: Region | None = None,
    filter: str | Iterable[str] | None = None,  # noqa: A002  -- the word that astronomers use
    after: TimeLike | None = None,
    before: TimeLike | None = None,
    level: int | None = None,
) -> str:
    """Return the ADQL of a search for images.

    :raises ValueError: for a condition that cannot be understood.
    """
    check_asked(level, position, radius)
    conditions = []
    if position is not None:
        place = as_position(position)
        point = f"{place.ra.deg:.12f}, {place.dec.deg:.12f}"
        if radius is None:
            conditions.append(f"1 = CONTAINS(POINT({point}), s_region)")
        else:
            reach = as_angle(radius, "radius").deg
            conditions.append(f"1 = INTERSECTS(CIRCLE({point}, {reach:.12f}), s_region)")
    if region is not None:
        conditions.append(f"1 = INTERSECTS({_shape(region)}, s_region)")
    if filter is not None:
        names = ", ".join(f"'{name}'" for name in sorted(as_filters(filter)))
        conditions.append(f"optical_element IN ({names})")
    if after is not None:
        conditions.append(f"t_start >= {_mjd(after, 'after')}")
    if before is not None:
        conditions.append(f"t_start < {_mjd(before, 'before')}")
    if level is not None:
        conditions.append(f"level = {level}")
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT TOP {MOST} * FROM {_TABLE}{where} ORDER BY t_start, name"  # noqa: S608  -- all parts are ours


def _shape(region: Region) -> str:
    """Return a region in ADQL: a polygon, or the smallest known circle around a MOC."""
    if region.corners is not None:
        return f"POLYGON({', '.join(f'{ra:.12f}, {dec:.12f}' for ra, dec in region.corners)})"
    middle = region.moc.barycenter()
    # Cells are sampled at their middles; one more cell's width reaches their corners.
    reach = region.moc.largest_distance_from_coo_to_vertices(middle).to_value(u.deg)
    return f"CIRCLE({middle.ra.deg:.12f}, {middle.dec.deg:.12f}, {min(reach * 1.001 + 1e-6, 180):.12f})"


def _mjd(moment: TimeLike, what: str) -> str:
    return f"{float(Time(as_moment(moment, what)).utc.mjd):.9f}"


def _ask(service: TAPService, query: str) -> Any:
    """Return the table that answers a query, and say what went wrong in sentences."""
    from pyvo.dal import DALFormatError, DALQueryError, DALServiceError
    from requests import RequestException

    try:
        return service.run_sync(query, maxrec=MOST).to_table()
    except DALQueryError as error:
        raise ArchiveUnavailableError(
            f"The archive's search did not understand the question: {str(error).rstrip('.')}. Please tell the "
            "platform's operators."
        ) from None
    except (DALServiceError, DALFormatError, RequestException) as error:
        if isinstance(refused := getattr(error, "cause", None), NotAllowedError):
            raise NotAllowedError(str(refused)) from None
        raise ArchiveUnavailableError(
            "The archive's search does not answer. Wait a minute and run the cell again; if it happens again, "
            "please tell the platform's operators."
        ) from None


def footprint_of(text: str) -> Footprint:
    """Return the polygon in an STC-S text such as `POLYGON ICRS 1 2 3 4 5 6`."""
    numbers = [float(word) for word in str(text).split() if word.lstrip("+-")[:1].isdigit() or word[:1] == "."]
    return Footprint(list(zip(numbers[::2], numbers[1::2], strict=True)))


def _touching(area: Region, footprints: Iterable[str]) -> Any:
    """Say of each image whether its footprint and a MOC have a cell in common, to the MOC's own fineness."""
    order = int(area.moc.max_order)
    answers = []
    for text in footprints:
        footprint = footprint_of(text)
        ra, dec = (
            np.degrees(np.arctan2(footprint.vertices[:, 1], footprint.vertices[:, 0])),
            np.degrees(np.arcsin(footprint.vertices[:, 2])),
        )
        own = type(area.moc).from_polygon(ra * u.deg, dec * u.deg, max_depth=min(order + 2, 29))
        answers.append(not area.moc.intersection(own).empty())
    return np.array(answers, bool)


def _presented(found: Any) -> QTable:
    """Return the service's table with the words and the types of this library."""
    data = QTable()
    others = [name for name in found.colnames if name not in (*_FIRST, _LAST, *_LEFT_OUT)]
    for name in (*_FIRST, *others, _LAST):
        if name not in found.colnames:
            continue
        column = found[name]
        text = column.dtype.kind in "OSU"
        if text:
            # A mosaic has no detector; a table has no better word for nothing.
            column = np.array(
                [str(value) if value is not None and value is not np.ma.masked else "" for value in column], str
            )
        elif not np.any(getattr(column, "mask", False)):
            # The service's tables come with a mask for every column, which is a burden where nothing is missing.
            column = Column(np.asarray(column), unit=column.unit, description=column.description)
        data[_NAMES.get(name, name)] = column
    if "t_start" in data.colnames:
        moments = np.asarray(found["t_start"], float)
        data.remove_columns([name for name in ("t_start", "start") if name in data.colnames])
        start = Time(moments, format="mjd", scale="utc")
        start.format = "isot"
        data.add_column(start, name="start", index=min(4, len(data.colnames)))
    for name, unit in (("exposure_time", u.s), ("ra", u.deg), ("dec", u.deg)):
        if name in data.colnames and getattr(data[name], "unit", None) is None:
            data[name] = u.Quantity(np.asarray(found[name], float), unit)
    return data
