"""Catalogues on the sky in the HATS layout: read when they are asked, and only what is needed, by LSDB."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, TypeAlias

import astropy.units as u
import numpy as np
from astropy.table import Column, MaskedColumn, Table
from upath import UPath

from romanhub.client.errors import ArchiveUnavailableError, RomanHubError
from romanhub.client.regions import RegionLike, as_region
from romanhub.client.sky import AngleLike, PositionLike, as_angle, as_position
from romanhub.client.storage import StorageAccess

if TYPE_CHECKING:
    import lsdb
    from distributed import Client

#: A cone on the sky: its middle and its radius.
ConeLike: TypeAlias = "tuple[PositionLike, AngleLike]"

#: A box on the sky: from and to in right ascension, from and to in declination, in degrees.
BoxLike: TypeAlias = "tuple[tuple[float, float], tuple[float, float]]"

#: The column in which LSDB puts the distance of a match, arcseconds, and its name here.
_DISTANCE, SEPARATION = "_dist_arcsec", "separation"


class Catalog:
    """A catalogue on the sky, or a part of one. Nothing is read before `to_table`.

    `lsdb` is the LSDB catalogue underneath, with all that LSDB can do. `about` has the unit and the description of
    each column that has any.
    """

    def __init__(
        self,
        name: str,
        catalog: lsdb.Catalog,
        about: Mapping[str, tuple[str | None, str | None]],
        *,
        client: Client | None = None,
    ) -> None:
        self.name = name
        self.lsdb = catalog
        self.about = dict(about)
        self._client = client

    @property
    def columns(self) -> list[str]:
        """The names of its columns."""
        return [SEPARATION if name == _DISTANCE else str(name) for name in self.lsdb.columns]

    @property
    def partitions(self) -> int:
        """How many parts of the sky, each a file, it is read in."""
        return int(self.lsdb.npartitions)

    def to_table(self) -> Table:
        """Read it, in parallel, and return an astropy table with its units.

        :raises ArchiveUnavailableError: where the storage does not answer.
        """
        with _spoken(self.name), self._client.as_current() if self._client else nullcontext():
            frame = self.lsdb.compute(progress_bar=False)
        columns = []
        for name in frame.columns:
            unit, description = (
                ("arcsec", "Angle between the two.") if name == _DISTANCE else (self.about.get(name, (None, None)))
            )
            shown = SEPARATION if name == _DISTANCE else name
            columns.append(_column(shown, frame[name], unit, description))
        return Table(columns, meta={"name": self.name})

    def crossmatch(self, other: Catalog, radius: AngleLike = 1 * u.arcsec, *, neighbours: int = 1) -> Catalog:
        """Find the rows of another catalogue near each of this one's.

        :param other: the other catalogue. Its margin cache must reach as far as the radius.
        :param radius: how far apart matches may be: an angle, or a number of degrees.
        :param neighbours: how many of the nearest to give for each row.
        :return: a row for each match: this one's columns, the other's (with its name behind those that both
            have), and their `separation`.
        :raises ValueError: for a radius of zero, or one beyond the other catalogue's margin.
        """
        reach = as_angle(radius, "radius").arcsec
        margin = other.lsdb.margin
        widest = margin.hc_structure.catalog_info.margin_threshold if margin is not None else None
        if not reach > 0:
            raise ValueError("The radius of a cross-match is larger than zero, such as 0.5 * u.arcsec.")
        if widest is not None and reach > widest:
            raise ValueError(
                f"The catalogue {other.name} can be matched within {widest:g} arcseconds: farther neighbours "
                "beyond the edge of one of its files would be missed. Give a smaller radius."
            )
        suffix = f"_{other.name}"
        with warnings.catch_warnings():
            # A catalogue of one part has no margin and needs none.
            warnings.simplefilter("ignore")
            matched = self.lsdb.crossmatch(
                other.lsdb,
                n_neighbors=neighbours,
                radius_arcsec=float(reach),
                suffixes=("", suffix),
                suffix_method="overlapping_columns",
                log_changes=False,
            )
        both = set(self.lsdb.columns)
        about = self.about | {
            (f"{name}{suffix}" if name in both else name): facts for name, facts in other.about.items()
        }
        return Catalog(f"{self.name} and {other.name}", matched, about, client=self._client or other._client)

    def __repr__(self) -> str:
        parts = f"{self.partitions} part{'' if self.partitions == 1 else 's'}"
        return f"<Catalogue {self.name}, {parts}, read when asked: {', '.join(self.columns)}>"


def place_of(access: StorageAccess, key: str, product: str = "") -> UPath:
    """Return the path of a catalogue, with what it takes to read it; pickled, it has no keys of the broker's.

    :param product: the data product that it is, where it is one: its keys open nothing else.
    """
    # aiobotocore takes a while to import, which whoever asks for no catalogue need not wait for.
    from romanhub.client.credentials import source
    from romanhub.client.sessions import RenewedSession

    given = access.access_key is not None and access.secret_key is not None
    return UPath(
        f"s3://{access.bucket}/{key.rstrip('/')}",
        key=access.access_key.get_secret_value() if access.access_key else None,
        secret=access.secret_key.get_secret_value() if access.secret_key else None,
        session=None if given else RenewedSession(source(product) if product else source()),
        client_kwargs={"endpoint_url": access.endpoint, "region_name": access.region},
        config_kwargs={
            "s3": {"addressing_style": "path" if access.endpoint else "auto"},
            "connect_timeout": 5,  # seconds
            "read_timeout": 30,
        },
    )


def is_there(place: Any, name: str) -> bool:
    """Return whether a catalogue has been put where it is to be; raises ArchiveUnavailableError."""
    with _spoken(name):
        return bool(place.exists())


def open_catalog(
    place: Any,
    name: str,
    *,
    cone: ConeLike | None = None,
    box: BoxLike | None = None,
    region: RegionLike | None = None,
    columns: Iterable[str] | None = None,
    where: str | None = None,
    client: Client | None = None,
) -> Catalog:
    """Open the catalogue at a path; see `Archive.catalog` for the conditions.

    :param place: a path of universal_pathlib, with the storage's options.
    :raises ArchiveUnavailableError: where there is none, or the storage does not answer.
    :raises ValueError: for a condition that cannot be understood.
    """
    import lsdb

    search, exact = _search(cone=cone, box=box, region=region)
    with _spoken(name):
        schema = lsdb.open_catalog(place).original_schema
    known = [field.name for field in schema if not field.name.startswith("_")]
    wanted = known if columns is None else _known(columns, known, name)
    words = set(re.findall(r"[A-Za-z_]\w*", where)) if where else set()
    needed = [column for column in known if column in {*wanted, *words, "ra", "dec"}]
    if where:
        _ensure_condition(where, schema, known, name)
    with _spoken(name):
        catalog = lsdb.open_catalog(place, columns=needed, search_filter=search, error_empty_filter=False)
    if exact is not None:
        catalog = catalog.map_partitions(_keep, exact)
    if where:
        catalog = catalog.query(where)
    shown = [column for column in needed if column in {*wanted, "ra", "dec"}]
    if shown != needed:
        catalog = catalog[shown]
    about = {field.name: _facts(field.metadata) for field in schema if field.metadata}
    return Catalog(name, catalog, about, client=client)


def _search(
    *, cone: ConeLike | None, box: BoxLike | None, region: RegionLike | None
) -> tuple[Any, Callable[[Any, Any], Any] | None]:
    """Return what LSDB searches by, and what is then asked of each row, for a polygon."""
    from lsdb import BoxSearch, ConeSearch, MOCSearch

    given = [one for one in (cone, box, region) if one is not None]
    if len(given) > 1:
        raise ValueError("A search has one of `cone`, `box` and `region`, not several.")
    if cone is not None:
        try:
            position, radius = cone
        except (TypeError, ValueError):
            raise ValueError("`cone` is a pair of a position and a radius, such as ((270, 66), 0.01).") from None
        middle, reach = as_position(position), as_angle(radius, "radius")
        return ConeSearch(float(middle.ra.deg), float(middle.dec.deg), float(reach.arcsec)), None
    if box is not None:
        try:
            (west, east), (south, north) = ((float(low), float(high)) for low, high in box)
            return BoxSearch((west, east), (south, north)), None
        except (TypeError, ValueError) as error:
            raise ValueError(
                "`box` is two pairs in degrees, from and to: ((ra, ra), (dec, dec)), such as ((269.9, 270.1), "
                f"(65.9, 66.1)). {str(error).rstrip('.')}."
            ) from None
    if region is not None:
        area = as_region(region)
        # A MOC is exact as it is; the cells around a polygon reach a little beyond it.
        return MOCSearch(area.moc), area.contains if area.corners is not None else None
    return None, None


def _keep(frame: Any, contains: Callable[[Any, Any], Any]) -> Any:
    """Return the rows of one part whose positions a region contains."""
    return frame[contains(frame["ra"].to_numpy(float), frame["dec"].to_numpy(float))]


def _ensure_condition(where: str, schema: Any, known: list[str], name: str) -> None:
    """Try a condition on no rows, so that a mistake is told now and not when the rows are read."""
    try:
        schema.empty_table().to_pandas().query(where)
    except Exception as error:
        raise ValueError(
            f"{where!r} cannot be a condition on the columns of {name} ({str(error).rstrip('.')}). Write one such "
            f"as '{known[-1]} == 0'; the columns are {', '.join(known)}."
        ) from None


def _known(columns: Iterable[str], known: list[str], name: str) -> list[str]:
    wanted = [columns] if isinstance(columns, str) else list(columns)
    for column in wanted:
        if column not in known:
            raise ValueError(f"{name} has no column {column!r}. Its columns are {', '.join(known)}.")
    return wanted


def _facts(metadata: Mapping[bytes, bytes]) -> tuple[str | None, str | None]:
    """Return the unit and the description in a field's metadata."""
    unit, description = (metadata.get(key, b"").decode() or None for key in (b"unit", b"description"))
    return unit, description


def _column(name: str, values: Any, unit: str | None, description: str | None) -> Column:
    """Return one column of a frame of pyarrow's types: text as fixed-width strings, missing values masked."""
    about = {"unit": unit, "description": description}
    kind = values.dtype.numpy_dtype if hasattr(values.dtype, "numpy_dtype") else values.dtype
    text = kind.kind not in "biuf"
    missing = values.isna().to_numpy(bool)
    if not missing.any():
        return Column(values.to_numpy().astype(str if text else kind), name, **about)
    if not text and kind.kind == "f":
        return Column(values.to_numpy(kind, na_value=np.nan), name, **about)
    filled = values.fillna("" if text else 0).to_numpy().astype(str if text else kind)
    return MaskedColumn(filled, name, mask=missing, **about)


@contextmanager
def _spoken(name: str) -> Iterator[None]:
    """Turn the errors of a storage and of the libraries above it into sentences that show no place."""
    try:
        yield
    except RomanHubError:
        raise
    except FileNotFoundError:
        raise ArchiveUnavailableError(
            f"The archive does not hold the catalogue {name} that it should. Please tell the platform's operators."
        ) from None
    except PermissionError:
        raise ArchiveUnavailableError(
            f"The archive's storage refused to read the catalogue {name}: this server's access may have run out. "
            "Run `archive.reconnect()` and the cell again; if it happens again, please tell the "
            "platform's operators."
        ) from None
    except (OSError, TimeoutError):
        raise ArchiveUnavailableError(
            f"The archive's storage did not answer when the catalogue {name} was read. Wait a minute and run "
            "the cell again; if it happens again, please tell the platform's operators."
        ) from None
