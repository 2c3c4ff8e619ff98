"""The archive as a notebook sees it: searches, images, cutouts and catalogues."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from astropy.table import Table
from pydantic import ValidationError

from romanhub.asdf_blocks import LazyArray, NotAsdfError, load, to_dask
from romanhub.asdf_blocks.dask_arrays import CHUNK_BYTES
from romanhub.client.catalog import read_catalog
from romanhub.client.credentials import source
from romanhub.client.cutout import Cutout, SizeLike, cut
from romanhub.client.errors import ArchiveUnavailableError, NotAllowedError, NotInArchiveError
from romanhub.client.exposures import Exposure, ExposureList
from romanhub.client.finding import Finding, Place
from romanhub.client.imagesky import ImageSky
from romanhub.client.listing import Listing, listing
from romanhub.client.product import Product, open_product
from romanhub.client.search import Conditions, Records, TimeLike, not_in_archive
from romanhub.client.sky import AngleLike, PositionLike, as_position
from romanhub.client.stack import Stack, make_stack
from romanhub.client.storage import ArchiveStorage, InWords, StorageAccess
from romanhub.models.archive import INDEX_KEY, ArchiveIndex, CatalogRecord, ExposureRecord
from romanhub.models.datasets import Dataset
from romanhub.models.products import Product as CommunityProduct
from romanhub.models.products import entry_of

if TYPE_CHECKING:
    from roman_datamodels.datamodels import DataModel


T = TypeVar("T")

#: So many images' descriptions are kept at hand for further cutouts; each takes some hundred kilobytes.
AT_HAND = 32


def _access_from_broker() -> StorageAccess:
    """Ask the broker where the data set is whose index lists the archive's images."""
    keys = source().current()
    for one in keys.datasets.values():
        if _is_listed(one):
            return StorageAccess(endpoint=keys.endpoint, bucket=one.bucket, region=one.region)
    raise NotAllowedError("There are no Roman images on this platform that you may read.")


def _is_listed(dataset: Dataset) -> bool:
    """Say whether the archive's index lists a data set's images."""
    return dataset.level is not None and dataset.index == INDEX_KEY


class Archive(Finding):
    """The platform's archive of Roman images and catalogues.

    Nothing is read before the first question. An archive is picklable and carries no keys: a Dask worker
    fetches its own.

    :param access: the access to the storage; None asks the broker for it when it is first needed.
    """

    def __init__(
        self, access: StorageAccess | None = None, *, ask: Callable[[], StorageAccess] = _access_from_broker
    ) -> None:
        self._given = access
        self._ask = ask
        self._storage: ArchiveStorage | None = None
        self._index: ArchiveIndex | None = None
        self._records: Records | None = None
        self._listing: Listing | None = None
        self._named: dict[str, ExposureRecord] = {}
        self._models: dict[str, tuple[DataModel, ImageSky]] = {}

    def __reduce__(self) -> tuple[type[Archive], tuple[StorageAccess | None]]:
        return type(self), (self._given,)

    def __repr__(self) -> str:
        return "<the platform's archive of Roman images: archive.exposures(position=…) searches it>"

    def exposures(
        self,
        position: PositionLike | None = None,
        radius: AngleLike | None = None,
        *,
        filter: str | Iterable[str] | None = None,  # noqa: A002  -- the word that astronomers use
        after: TimeLike | None = None,
        before: TimeLike | None = None,
        level: Literal[2, 3] | None = 2,
    ) -> ExposureList:
        """Find images; each condition that is given narrows the search.

        In a server of the platform the search service is asked; where there is none, or it does not answer, the
        archive's whole index is read.

        :param position: a SkyCoord, a pair (right ascension, declination) in degrees, or a text with the
            two. Finds the images whose footprint covers it.
        :param radius: an angle, or a number of degrees. Finds the images that have any point within it
            of the position.
        :param filter: a filter such as "F158", or several.
        :param after: finds the exposures that started at this moment (UTC) or later.
        :param before: finds the exposures that started before this moment (UTC).
        :param level: 2 for exposures of one detector, 3 for mosaics, None for both.
        :return: the images, the earliest first.
        :raises ValueError: for a condition that cannot be understood.
        """
        wanted = Conditions.of(
            position=position, radius=radius, filter=filter, after=after, before=before, level=level
        )
        found = self._asked(lambda listed: listed.find(wanted))
        if found is None:
            found = self._searchable().find(wanted)
        return ExposureList(Exposure(record, self) for record in found)

    def open(self, name: str | Exposure, *, verify: bool = True, whole: bool = False) -> DataModel:
        """Open an image as a Roman data model, reading from the storage only what is used.

        Opening reads the description, less than a tenth of a megabyte. `model.data[100:300, 200:400]` reads
        what these rows need, or of a compressed array the parts that they lie in; anything that needs a whole
        array, such as `np.median(model.data)`, reads it once and keeps it. Arrays stay usable when the model is
        closed.

        :param name: an image's name, or an exposure that a search found.
        :param verify: whether an array that is read as a whole is compared with the checksum in its file. A part
            of an array cannot be.
        :param whole: whether all arrays are read at once, now: faster than one after the other where all are used.
        :return: an ImageModel for an exposure, a MosaicModel for a mosaic.
        :raises NotInArchiveError: for an unknown name.
        :raises ArchiveUnavailableError: when the storage does not answer or the file cannot be understood.
        """
        model = self._open(self._record(name), verify=verify)
        if whole:
            load([array for key in model if isinstance(array := model.get(key), LazyArray)])
        return model

    def _open(self, record: ExposureRecord, *, verify: bool = True) -> DataModel:
        # roman_datamodels takes a second to import, which a search need not wait for.
        from roman_datamodels import datamodels

        file = self._connected().open(record.key, record.name, record.size, verify=verify)
        try:
            model: DataModel = datamodels.open(file.open())
        except (ValueError, TypeError, OSError):
            raise InWords(record.name)(NotAsdfError()) from None
        return model

    def cutout(self, name: str | Exposure, position: PositionLike, size: SizeLike) -> Cutout:
        """Cut a piece out of an image around a position.

        :param name: an image's name, or an exposure that a search found.
        :param position: the centre, in any form that `exposures` takes.
        :param size: the number of pixels or an astropy angle along both sides, or a pair (rows, columns).
        :return: the pixels and their world coordinates, and their uncertainties and data quality, which are read
            when they are first used. Beyond the image's edge the pixels are NaN.
        :raises NotCoveredError: where the image does not cover the position.
        :raises NotInArchiveError: for an unknown name.
        """
        center = as_position(position)
        record = self._record(name)
        try:
            model, sky = self._at_hand(record)
            return cut(model, record, center, size, sky=sky)
        except ArchiveUnavailableError:
            # It may be another file by now; the next cutout looks anew.
            self._models.pop(record.name, None)
            raise

    def to_dask(self, name: str | Exposure, array: str = "data", *, chunk_bytes: int = CHUNK_BYTES) -> Any:
        """Return an array of an image as a Dask array, whose chunks the workers of a cluster read by themselves.

        Nothing is read but the image's description. Slices of the result read no more than they need.

        :param name: an image's name, or an exposure that a search found.
        :param array: which array: "data", "err", "dq" or another one of the data model.
        :param chunk_bytes: how much memory a chunk takes, about. Chunks are whole rows.
        :raises NotInArchiveError: for an unknown name, and where the image has no such array.
        """
        with self.open(name) as model:
            found = model.get(array)
            if not isinstance(found, LazyArray):
                arrays = sorted(key for key in model if isinstance(model.get(key), LazyArray))
                raise NotInArchiveError(
                    f"The image {self._record(name).name} has no array {array!r}. It has {', '.join(arrays)}."
                )
        return to_dask(found, chunk_bytes=chunk_bytes)

    def stack(self, exposures: Iterable[str | Exposure], position: PositionLike, size: SizeLike) -> Stack:
        """Bring cutouts of many images around a position onto one grid, as a Dask array with a layer for each.

        Nothing is read before it is computed; on a cluster the workers read, one image each at a time.

        :param exposures: names, or what a search found. Images that do not cover the position are left empty.
        :param position: the centre, in any form that `exposures` takes.
        :param size: the number of pixels of 0.11 arcseconds, or an astropy angle, along both sides, or a pair
            (rows, columns).
        :return: the stack; `stack.data` has the shape (images, rows, columns), in MJy/sr.
        :raises ValueError: for no images, or a size that cannot be understood.
        :raises NotInArchiveError: for an unknown name.
        """
        chosen = [Exposure(self._record(each), self) for each in exposures]
        return make_stack(chosen, as_position(position), size)

    def sources(self, image: str | Exposure) -> Table:
        """Read the sources that were found in one image, as a whole.

        :param image: the image, its name, or the name of its table of sources.
        :return: a table with one row for a source.
        :raises NotInArchiveError: for an unknown name, or an image without such a table.
        """
        record = self._source_record(image)
        data = self._connected().read(record.key, record.name)
        try:
            return read_catalog(data)
        except ValueError:
            raise ArchiveUnavailableError(
                f"The archive's file of {record.name} cannot be understood as a catalogue. "
                "Please tell the platform's operators."
            ) from None

    def product(self, name: str) -> Product:
        """Open a data product of the community; nothing of its tables is read yet.

        :param name: its name, such as "community.photo-z"; with a version, "community.photo-z.v2", it is the same
            for good.
        :raises NotAllowedError: there is none of that name, or it was withdrawn; the message says why.
        :raises ArchiveUnavailableError: the platform does not answer.
        """
        return open_product(name)

    def table(self, name: str, *, columns: Iterable[str] | None = None) -> Table:
        """Read a data product of the community as a table, with the units of its columns.

        :param name: its name, such as "community.photo-z".
        :param columns: only these; all without it.
        :raises NotAllowedError: there is none of that name, or it was withdrawn.
        :raises ValueError: its files have different columns, or it is a catalogue on the sky: see `catalog`.
        """
        return self.product(name).table(columns=columns)

    def reconnect(self) -> None:
        """Forget the access to the storage and the archive's index; the next question asks anew."""
        self._storage = self._index = self._records = self._listing = None
        self._named.clear()
        self.forget()

    def forget(self) -> None:
        """Forget the descriptions of the images that were cut from, which are kept for further cutouts."""
        self._models.clear()

    def _at_hand(self, record: ExposureRecord) -> tuple[DataModel, ImageSky]:
        """Return an image's description and coordinates, from those that were used last where it is among them."""
        found = self._models.pop(record.name, None)
        if found is None:
            model = self._open(record)
            found = model, ImageSky(model.meta.wcs, model.data.shape)
        self._models[record.name] = found
        while len(self._models) > AT_HAND:
            self._models.pop(next(iter(self._models)), None)
        return found

    def _connected(self) -> ArchiveStorage:
        if self._storage is None:
            self._storage = ArchiveStorage(self._given or self._ask())
        return self._storage

    def _product_place(self, name: str) -> Place | None:
        if entry_of(name) is None:
            return None
        found = open_product(name)
        if found.format != "hats":
            raise NotInArchiveError(f'{name} is no catalogue on the sky. archive.table("{name}") reads it.')
        return Place(found.access, found.prefix, listed=True, product=found.pinned)

    def _products(self) -> dict[str, CommunityProduct]:
        return {} if self._given is not None else source().products()

    def _catalog_places(self) -> dict[str, Place]:
        if self._given is not None:
            return {record.name: Place(self._given, record.key, listed=True) for record in self._listed().hats}
        # The broker says where each data set is, so nobody needs the index, which lists every image.
        keys = source().current()
        found: dict[str, Place] = {}
        for name, one in keys.datasets.items():
            if one.format == "hats":
                access = StorageAccess(endpoint=keys.endpoint, bucket=one.bucket, region=one.region)
                found[name] = Place(access, one.prefix, listed=False)
        return found

    def _listed(self) -> ArchiveIndex:
        if self._index is None:
            data = self._connected().read(INDEX_KEY, "the archive's index")
            try:
                self._index = ArchiveIndex.model_validate_json(data)
            except ValidationError:
                raise ArchiveUnavailableError(
                    "The archive's index cannot be understood by this server's software. Restart your "
                    "server, which brings its software up to date; if it happens again, please tell the "
                    "platform's operators."
                ) from None
        return self._index

    def _searchable(self) -> Records:
        if self._records is None:
            self._records = Records(self._listed().exposures)
        return self._records

    def _record(self, name: str | Exposure) -> ExposureRecord:
        if isinstance(name, Exposure):
            return name.record
        if name not in self._named:
            # Who misspelt it is told the nearest names, for which all are needed.
            self._named[name] = self._asked(lambda listed: listed.named(name)) or self._searchable().named(name)
        return self._named[name]

    def _asked(self, ask: Callable[[Listing], T | None]) -> T | None:
        """Return what the search service says; None where there is none to ask, or the index is at hand."""
        if self._given is not None or self._records is not None:
            return None
        if self._listing is None:
            keys = source().current()
            self._listing = listing([name for name, one in keys.datasets.items() if _is_listed(one)])
        if self._listing is None:
            return None
        try:
            return ask(self._listing)
        except ArchiveUnavailableError:
            return None

    def _source_record(self, name: str | Exposure) -> CatalogRecord:
        wanted = name.name if isinstance(name, Exposure) else name
        for record in self._listed().catalogs:
            if wanted in (record.name, record.image):
                return record
        raise not_in_archive(wanted, [record.name for record in self._listed().catalogs], "table of sources")


#: The archive of the platform that this server belongs to.
archive = Archive()
