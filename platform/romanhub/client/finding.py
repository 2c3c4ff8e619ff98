"""What the archive holds at a place and a time: images by the search service, catalogues by LSDB."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import astropy.units as u
import numpy as np
from astropy.table import QTable, Table

from romanhub.client.epochs import Path, in_time_order
from romanhub.client.regions import RegionLike
from romanhub.client.search import TimeLike, as_filters, not_in_archive
from romanhub.client.service import connect, find_images
from romanhub.client.sky import (
    AngleLike,
    PositionLike,
    as_angle,
    as_position,
    radians,
    separation,
    unit_vectors,
    vector_of,
)
from romanhub.client.skycatalog import BoxLike, Catalog, ConeLike, is_there, open_catalog, place_of
from romanhub.client.storage import StorageAccess
from romanhub.models.products import COMMUNITY
from romanhub.models.products import Product as CommunityProduct

if TYPE_CHECKING:
    from astropy.timeseries import TimeSeries
    from distributed import Client
    from pyvo.dal import TAPService

#: The catalogue of all detections in single exposures.
DETECTIONS = "roman-detections"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a catalogue is: what its objects' keys begin with, in a bucket."""

    access: StorageAccess
    key: str
    #: Whether an index says that it is there. A data set may have a place before anything has been put there.
    listed: bool
    #: The data product of the community that it is; empty for a catalogue of the archive's.
    product: str = ""

    @property
    def path(self) -> Any:
        """The same as LSDB takes it."""
        return place_of(self.access, self.key, self.product)

    def is_there(self, name: str) -> bool:
        """Return whether there is such a catalogue; raises ArchiveUnavailableError."""
        return self.listed or is_there(self.path, name)


class Finding(ABC):
    """The searches of an archive."""

    @abstractmethod
    def _catalog_places(self) -> dict[str, Place]:
        """Return where each catalogue is to be, by name. Some may not have been put there yet."""

    def _product_place(self, name: str) -> Place | None:
        """Return where a catalogue is that is a data product of the community; None where it is none."""
        return None

    def _products(self) -> dict[str, CommunityProduct]:
        """Return the community's data products by name."""
        return {}

    def images(
        self,
        position: PositionLike | None = None,
        radius: AngleLike | None = None,
        *,
        region: RegionLike | None = None,
        filter: str | Iterable[str] | None = None,  # noqa: A002  -- the word that astronomers use
        after: TimeLike | None = None,
        before: TimeLike | None = None,
        level: Literal[2, 3] | None = None,
    ) -> QTable:
        """Find images by the platform's search service, of however many; each condition narrows the search.

        `exposures` finds the same as objects that open and cut; `open` and `cutout` take a name of this table.

        :param region: finds the images that touch it: the corners of a polygon in order, or a mocpy MOC.
        :param level: 2 for exposures of one detector, 3 for mosaics; both without it.
        :return: a row for each image, the earliest first: name, level, filter, detector, start, exposure time,
            centre, footprint (`s_region`) and more. The other conditions are those of `exposures`.
        :raises ValueError: for a condition that cannot be understood.
        :raises ArchiveUnavailableError: when the search service does not answer.
        :raises OutsidePlatformError: where this is no server of the platform.
        """
        return find_images(
            self.tap(),
            position=position,
            radius=radius,
            region=region,
            filter=filter,
            after=after,
            before=before,
            level=level,
        )

    def tap(self) -> TAPService:
        """Return the archive's TAP service as pyvo knows it, with this server's token, for your own ADQL."""
        return connect()

    def catalogs(self) -> list[str]:
        """Return the names of the archive's catalogues on the sky, and of the community's."""
        own = [name for name, place in self._catalog_places().items() if place.is_there(name)]
        return sorted([*own, *(name for name, one in self._products().items() if one.format == "hats")])

    def products(self) -> Table:
        """Return the community's data products: a row for each with its name, version, format and title.

        What is deprecated is left out. `product` opens one, and `table` reads one.
        """
        found = self._products()
        columns = {
            "name": list(found),
            "version": [one.version for one in found.values()],
            "format": [str(one.format) for one in found.values()],
            "title": [one.title for one in found.values()],
        }
        return Table(columns, dtype=[str, int, str, str])

    def catalog(
        self,
        name: str,
        *,
        cone: ConeLike | None = None,
        box: BoxLike | None = None,
        region: RegionLike | None = None,
        columns: Iterable[str] | None = None,
        where: str | None = None,
        client: Client | None = None,
    ) -> Catalog:
        """Open a catalogue on the sky, or a part of it; only what is needed is read, and when it is asked for.

        :param name: the catalogue's name, such as "roman-sources" or "gaia", or of a product of the community in
            the HATS layout, such as "community.photo-z".
        :param cone: only what is in it: a position and a radius.
        :param box: only what is in it: from and to in right ascension, from and to in declination, in degrees.
        :param region: only what is in it: the corners of a polygon in order, or a mocpy MOC.
        :param columns: only these, and `ra` and `dec`; all without it.
        :param where: only the rows for which it is true: a condition on columns, such as "fwhm < 0.3".
        :param client: a Dask client on whose cluster it is read; without it, on the notebook's current one if it
            has any, or in the notebook itself.
        :return: the catalogue; its `to_table()` reads it.
        :raises NotInArchiveError: for an unknown name.
        :raises ValueError: for a condition that cannot be understood.
        """
        place = self._product_place(name) if name.startswith(COMMUNITY) else self._catalog_places().get(name)
        if place is None or not place.is_there(name):
            raise not_in_archive(name, self.catalogs(), "catalogue")
        return open_catalog(
            place.path, name, cone=cone, box=box, region=region, columns=columns, where=where, client=client
        )

    def crossmatch(
        self,
        left: str | Catalog,
        right: str | Catalog,
        radius: AngleLike = 1 * u.arcsec,
        *,
        neighbours: int = 1,
    ) -> Catalog:
        """Match two catalogues on the sky, by name or as `catalog` opened them; see `Catalog.crossmatch`."""
        first, second = (self.catalog(one) if isinstance(one, str) else one for one in (left, right))
        return first.crossmatch(second, radius, neighbours=neighbours)

    def light_curve(
        self,
        position: PositionLike,
        radius: AngleLike = 0.5 * u.arcsec,
        *,
        filter: str | Iterable[str] | None = None,  # noqa: A002  -- the word that astronomers use
        catalog: str = DETECTIONS,
        client: Client | None = None,
    ) -> TimeSeries:
        """Return all detections around a position in the order of time, over all epochs and filters.

        :param radius: how far from the position a detection may be.
        :param filter: only these filters.
        :param catalog: the catalogue of detections.
        :return: a time series with the middle of each exposure, its filter, flux, flux_err and the detection's
            separation from the position.
        """
        middle = as_position(position)
        found = self.catalog(catalog, cone=(middle, radius), client=client).to_table()
        if filter is not None:
            found = found[np.isin(found["optical_element"], list(as_filters(filter)))]
        away = separation(unit_vectors(found["ra"], found["dec"]), vector_of(middle))
        return in_time_order(found, np.degrees(away) * 3600)

    def detections(
        self,
        path: Any,
        radius: AngleLike = 0.5 * u.arcsec,
        *,
        catalog: str = DETECTIONS,
        client: Client | None = None,
    ) -> TimeSeries:
        """Return the detections along the path of something that moves, in the order of time.

        :param path: where it is and when: a table with `time` (astropy times, or modified Julian dates in UTC) and
            `ra` and `dec` in degrees. Between its rows it moves evenly along a great circle.
        :param radius: how far from where it then is a detection may be.
        :return: as `light_curve`; nothing before the path's first time or after its last.
        :raises ValueError: for a table that is no path.
        """
        way, reach = Path(path), radians(as_angle(radius, "radius"))
        when = f"mjd >= {way.moments[0]!r} and mjd <= {way.moments[-1]!r}".replace("np.float64", "")
        found = self.catalog(catalog, region=way.region(reach), where=when, client=client).to_table()
        away = separation(unit_vectors(found["ra"], found["dec"]), way.at(found["mjd"]))
        near = away <= reach
        return in_time_order(found[near], np.degrees(away[near]) * 3600)
