"""Data products of the community, read by name: their files, their columns, and where they come from."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

from astropy.table import Table, vstack
from pydantic import ValidationError

from romanhub.client.credentials import source
from romanhub.client.errors import ArchiveUnavailableError, NotAllowedError, NotInArchiveError
from romanhub.client.storage import ArchiveStorage, StorageAccess
from romanhub.models.products import Column, ColumnTable, Manifest, ProductFile, entry_of, product_name
from romanhub.models.products import Product as Placed


class DeprecatedProductWarning(UserWarning):
    """There is something better than the data product that was opened; the message says what."""


class Product:
    """A version of a data product. It is picklable and carries no keys: a Dask worker fetches its own."""

    def __init__(self, name: str, placed: Placed, manifest: Manifest, endpoint: str | None) -> None:
        #: The name that it was opened by.
        self.name = name
        self._placed, self._manifest, self._endpoint = placed, manifest, endpoint

    @property
    def version(self) -> int:
        """Which version it is."""
        return self._placed.version

    @property
    def pinned(self) -> str:
        """The name of this very version, which means the same for good."""
        entry, _ = entry_of(self.name) or ("", None)
        return product_name(entry, self.version)

    @property
    def title(self) -> str:
        """Its title."""
        return self._placed.title

    @property
    def format(self) -> str:
        """How its tables are kept: parquet, fits, asdf, or hats."""
        return self._manifest.format

    @property
    def files(self) -> tuple[ProductFile, ...]:
        """Its files, each with its path, size and checksum."""
        return self._manifest.files

    @property
    def manifest(self) -> Manifest:
        """All that is known of it: files, columns, and what it was made of."""
        return self._manifest

    @property
    def citation(self) -> str:
        """How to cite it."""
        return self._placed.citation.text

    @property
    def access(self) -> StorageAccess:
        """Where it is."""
        return StorageAccess(endpoint=self._endpoint, bucket=self._placed.bucket, region=self._placed.region)

    @property
    def prefix(self) -> str:
        """What its objects' keys begin with."""
        return self._placed.prefix

    @property
    def columns(self) -> Table:
        """What its tables have: a row for each column with its kind, unit and description."""
        rows = [
            (table.place, one.name, one.dtype, one.unit or "", one.description)
            for table in self._manifest.tables
            for one in table.columns
        ]
        return Table(rows=rows, names=("table", "name", "dtype", "unit", "description"), dtype=[str] * 5)

    def read(self, path: str) -> bytes:
        """Return a file of it as a whole, compared with its checksum.

        :raises NotInArchiveError: it has no such file.
        :raises ArchiveUnavailableError: the storage does not answer, or gave another file.
        """
        found = next((one for one in self.files if one.path == path), None)
        if found is None:
            there = ", ".join(one.path for one in self.files[:20])
            raise NotInArchiveError(f"{self.name} has no file {path!r}. It has {there}.")
        data = self._storage().read(f"{self._placed.prefix}{path}", f"{path} of {self.name}")
        if sha256(data).hexdigest() != found.sha256:
            raise ArchiveUnavailableError(
                f"The file {path} of {self.name} is not the one that was published. Please tell the platform's "
                "operators."
            )
        return data

    def table(self, path: str | None = None, *, columns: Iterable[str] | None = None) -> Table:
        """Read it, or one of its files, as a table with units.

        :param path: one of its files; without it, all of them below each other.
        :param columns: only these; all without it.
        :raises ValueError: its files have different columns, so that one has to be named, or it is in the HATS
            layout, which `archive.catalog` reads by place on the sky.
        """
        if self.format == "hats":
            raise ValueError(f'{self.name} is a catalogue on the sky: archive.catalog("{self.name}") opens it.')
        chosen = [one for one in self.files if one.tables and path in (None, one.path)]
        if not chosen:
            self.read(path or "")
            raise ValueError(f"The file {path} of {self.name} has no table. read({path!r}) returns it.")
        if len({one.tables for one in chosen}) > 1:
            paths = ", ".join(one.path for one in chosen[:20])
            raise ValueError(f"The files of {self.name} have different columns. Name one of them: {paths}.")
        wanted = None if columns is None else [columns] if isinstance(columns, str) else list(columns)
        found = [self._one(one, wanted) for one in chosen]
        table = found[0] if len(found) == 1 else vstack(found, metadata_conflicts="silent")
        table.meta |= {"name": self.name, "version": self.version, "citation": self.citation}
        return table

    def to_dask(self, columns: Iterable[str] | None = None) -> Any:
        """Return its Parquet files as a Dask data frame, whose workers read with keys of their own.

        :raises ValueError: its tables are not kept in Parquet.
        """
        import dask.dataframe as dd

        from romanhub.client.sessions import RenewedSession

        if self.format != "parquet":
            raise ValueError(f"{self.name} is kept as {self.format}, and Dask's data frames are of Parquet.")
        paths = [f"s3://{self._placed.bucket}/{self._placed.prefix}{one.path}" for one in self.files if one.tables]
        options = {
            "session": RenewedSession(source(self.pinned)),
            "client_kwargs": {"endpoint_url": self._endpoint, "region_name": self._placed.region},
            "config_kwargs": {"s3": {"addressing_style": "path" if self._endpoint else "auto"}},
        }
        chosen = None if columns is None else list(columns)
        return dd.read_parquet(paths, columns=chosen, storage_options=options)

    def _one(self, file: ProductFile, wanted: list[str] | None) -> Table:
        about = self._manifest.tables[file.tables[0]]
        names = [one.name for one in about.columns]
        if unknown := [one for one in wanted or () if one not in names]:
            raise ValueError(f"{self.name} has no column {unknown[0]!r}. Its columns are {', '.join(names)}.")
        data = self.read(file.path)
        try:
            table = _parsed(self.format, data, about, wanted)
        except (ValueError, OSError, KeyError) as error:
            raise ArchiveUnavailableError(
                f"The file {file.path} of {self.name} cannot be read as {self.format} here: {error}"
            ) from None
        for one in about.columns:
            _describe(table, one)
        return table if wanted is None else table[wanted]

    def _storage(self) -> ArchiveStorage:
        return ArchiveStorage(self.access, source(self.pinned))

    def __repr__(self) -> str:
        size = sum(one.size for one in self.files)
        columns = [column.name for table in self._manifest.tables for column in table.columns]
        return (
            f"<{self.name}, version {self.version}: {self.title}; {len(self.files)} "
            f"file{'' if len(self.files) == 1 else 's'} in {self.format}, {size / 1e6:.1f} MB; "
            f"{', '.join(dict.fromkeys(columns))}>"
        )


def open_product(name: str) -> Product:
    """Open a data product; see `Archive.product`.

    :param name: its name.
    """
    if entry_of(name) is None:
        raise NotInArchiveError(
            f"{name!r} is no name of a data product. They are called such as community.photo-z; "
            f"archive.products() "
            "lists them."
        )
    keys = source(name)
    # Which version is the newest may have changed since this process asked, and it may have been withdrawn.
    found = keys.again()
    placed = found.products.get(name)
    if placed is None:
        raise NotAllowedError(f"There is no data product {name} in the community's catalogue.")
    if placed.deprecated is not None:
        warnings.warn(
            f"{name} is deprecated: {placed.deprecated.rstrip('.')}.", DeprecatedProductWarning, stacklevel=3
        )
    access = StorageAccess(endpoint=found.endpoint, bucket=placed.bucket, region=placed.region)
    data = ArchiveStorage(access, keys).read(placed.manifest, f"the manifest of {name}")
    if f"{sha256(data).hexdigest()}.json" != placed.manifest.rpartition("/")[2]:
        raise ArchiveUnavailableError(
            f"The manifest of {name} is not the one that was published. Please tell the platform's operators."
        )
    try:
        return Product(name, placed, Manifest.model_validate_json(data), found.endpoint)
    except ValidationError:
        raise ArchiveUnavailableError(
            f"The manifest of {name} cannot be understood by this server's software. Restart your server, which "
            "brings its software up to date."
        ) from None


def _parsed(form: str, data: bytes, about: ColumnTable, wanted: list[str] | None) -> Table:
    """Return the table in a file's bytes."""
    if form == "parquet":
        from romanhub.client.catalog import read_catalog

        return read_catalog(data, columns=wanted)
    if form == "fits":
        place = int(about.place) if about.place.isdigit() else about.place
        return Table.read(io.BytesIO(data), format="fits", hdu=place, character_as_bytes=False)
    import asdf

    with asdf.open(io.BytesIO(data), lazy_load=False, memmap=False) as file:
        node: Any = file.tree
        for part in about.place.split("/") if about.place else ():
            node = node[part]
        if isinstance(node, Table):
            return Table(node, copy=True)
        return Table({one.name: _array(node, one.name) for one in about.columns}, copy=True)


def _array(node: Any, name: str) -> Any:
    """Return a column of what an ASDF file has for a table without astropy's own kind of it."""
    found = node[name]
    return found.get("data", found.get("value")) if isinstance(found, dict) else found


def _describe(table: Table, about: Column) -> None:
    """Give a column the unit and the description that its author said, where its file says none."""
    if about.name not in table.colnames:
        return
    column = table[about.name]
    if column.unit is None and about.unit:
        column.unit = about.unit
    if not column.info.description and about.description:
        column.info.description = about.description
