"""Write the sample's catalogues in the HATS layout: Parquet files by place on the sky, with a margin cache."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from romanhub.client.sky import Footprint, unit_vectors
from romanhub.models.archive import ArchiveIndex, ExposureRecord, HatsFile, HatsRecord
from romanhub.sample.catalog import Column
from romanhub.sample.files import sha256
from romanhub.sample.photometry import Sky, sky_of
from romanhub.sample.plan import SamplePlan
from romanhub.sample.tables import (
    DETECTION_COLUMNS,
    REFERENCE_COLUMNS,
    Columns,
    detections,
    multiband,
    reference_stars,
)

#: The names of the data sets, as `hub_config/datasets.yaml` has them, and where they are in the archive.
SOURCES, DETECTIONS, REFERENCE = "roman-sources", "roman-detections", "gaia"
PLACES = {SOURCES: "hats/roman-sources/", DETECTIONS: "hats/roman-detections/", REFERENCE: "surveys/gaia/"}

#: How far around a partition its margin cache reaches, arcseconds: the largest radius of a cross-match.
MARGIN = 10.0

#: The finest partition, as a HEALPix order: 3.4 arcminutes across.
FINEST = 10

#: Into how many partitions a catalogue is split, about, as far as FINEST allows: even a small sample has several,
#: as a large catalogue has.
PARTITIONS = 4


def make_catalogs(plan: SamplePlan, root: Path, index: ArchiveIndex) -> tuple[HatsRecord, ...]:
    """Make the catalogues from the files that the index lists under `root`, and return their records.

    The sample's mosaic and the table of its sources must be in the index. Catalogues that are there
    already are replaced.
    """
    import pyarrow.parquet as pq
    from roman_datamodels import datamodels

    exposures = [record for record in index.exposures if record.level == 2]
    (mosaic,) = (record for record in index.exposures if record.level == 3)

    @contextmanager
    def open_sky(record: ExposureRecord) -> Iterator[Sky]:
        with datamodels.open(root / record.key) as model:
            yield sky_of(model)

    (catalog,) = (each for each in index.catalogs if each.image == mosaic.name)
    stored = pq.read_table(root / catalog.key)
    found = {name: stored[name].to_numpy() for name in stored.column_names}
    covering = [Footprint(record.footprint) for record in index.exposures]
    stars = reference_stars(
        found,
        plan.scene.placed_stars,
        plan.scene,
        lambda place: any(each.contains(unit_vectors(place.ra, place.dec)) for each in covering),
        seed=plan.seed,
    )
    columns, sources = multiband(found, mosaic.optical_element, exposures, open_sky)
    return (
        write_hats(root, SOURCES, columns, sources),
        write_hats(root, DETECTIONS, DETECTION_COLUMNS, detections(exposures, open_sky)),
        write_hats(root, REFERENCE, REFERENCE_COLUMNS, stars),
    )


def write_hats(root: Path, name: str, columns: Iterable[Column], values: Columns) -> HatsRecord:
    """Write one catalogue under `root`, where PLACES says, and return what the index says of it."""
    import lsdb
    import pandas as pd
    from astropy.coordinates import Latitude, Longitude
    from cdshealpix.nested import lonlat_to_healpix

    cells = lonlat_to_healpix(
        Longitude(values["ra"], "deg"), Latitude(values["dec"], "deg"), depth=np.uint8(FINEST)
    )
    fullest = int(np.unique(cells, return_counts=True)[1].max())
    catalog = lsdb.from_dataframe(
        pd.DataFrame(values),
        ra_column="ra",
        dec_column="dec",
        highest_order=FINEST,
        partition_rows=max(fullest, len(cells) // PARTITIONS),
        margin_threshold=MARGIN,
    )
    place = root / PLACES[name]
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=place.parent) as passing:
        half = Path(passing) / place.name
        catalog.write_catalog(
            half,
            catalog_name=name,
            progress_bar=False,
            should_write_skymap=False,
            create_per_partition_statistics=False,
        )
        for part in (name, f"{name}_{round(MARGIN)}arcs"):
            _describe(half / part, columns)
        shutil.rmtree(place, ignore_errors=True)
        half.replace(place)
    return hats_record(root, name, rows=len(values["ra"]))


def hats_record(root: Path, name: str, *, rows: int) -> HatsRecord:
    """Return the index's record of the catalogue of that name under `root`."""
    place = root / PLACES[name]
    files = [
        HatsFile(
            key=f"{PLACES[name]}{path.relative_to(place).as_posix()}",
            size=path.stat().st_size,
            sha256=sha256(path),
        )
        for path in sorted(place.rglob("*"))
        if path.is_file()
    ]
    return HatsRecord(name=name, key=PLACES[name], rows=rows, files=tuple(files))


def _describe(catalog: Path, columns: Iterable[Column]) -> None:
    """Add the columns' units and descriptions to a catalogue's files, for readers of a file and of the whole."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from hats.io.parquet_metadata import write_parquet_metadata

    about: dict[str, Any] = {each.name: {"unit": each.unit, "description": each.description} for each in columns}
    for path in (catalog / "dataset").rglob("Npix=*.parquet"):
        table = pq.read_table(path, partitioning=None)
        described = [
            field.with_metadata(about[field.name]) if field.name in about else field for field in table.schema
        ]
        table = table.cast(pa.schema(described, metadata=table.schema.metadata))
        pq.write_table(table, path, compression="zstd")
    write_parquet_metadata(catalog, create_thumbnail=False)
