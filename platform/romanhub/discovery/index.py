"""Build what the search service searches: the Parquet index of footprints, the MOCs, and the store."""

from __future__ import annotations

import json
import secrets
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from romanhub.discovery import cells, coverage, footprints, obscore, parquet
from romanhub.discovery.sources import Object, Source, SourceError
from romanhub.discovery.store import Current, Place
from romanhub.discovery.survey import Catalogue, is_current, survey
from romanhub.discovery.tables import CELL, SQL_TYPES, Column, Contents, Entry
from romanhub.models.archive import ExposureRecord
from romanhub.models.datasets import Dataset, Datasets

#: Rows of a group, which is read as a whole or not at all: fewer make small cones quicker, and the store larger.
GROUP_ROWS = 16_384
Report = Callable[[str], None]


class IndexBuildError(Exception):
    """The index could not be built; the message says why. The one before stays in use."""


def build(
    datasets: Datasets, source: Source, place: Place, *, now: datetime, report: Report, again: bool = False
) -> bool:
    """Bring the folder to what the data sets hold; returns whether anything had to be built.

    Args:
        datasets: the data sets, all of which the source may read.
        source: reads them.
        place: the folder to build in.
        now: the time that is noted.
        report: is called with a sentence for each step.
        again: build even where nothing has changed.

    Raises:
        IndexBuildError: something cannot be read or is not what it should be.
    """
    place.root.mkdir(parents=True, exist_ok=True)
    try:
        images, catalogues, fingerprint = survey(datasets, source)
        if is_current(place, fingerprint) and not again:
            report("Nothing has changed.")
            return False
        _build(datasets, source, place, images, catalogues, fingerprint, now, report)
    except (SourceError, ValueError, OSError, duckdb.Error, pa.ArrowException) as error:
        raise IndexBuildError(f"The archive's index could not be built: {error}") from error
    return True


def _build(
    datasets: Datasets,
    source: Source,
    place: Place,
    images: Mapping[str, bytes],
    catalogues: Mapping[str, Catalogue],
    fingerprint: str,
    now: datetime,
    report: Report,
) -> None:
    made = now.isoformat(timespec="seconds")
    name = f"store-{secrets.token_hex(6)}.duckdb"
    with tempfile.TemporaryDirectory(dir=place.root, prefix="building-") as folder:
        work = Path(folder)
        classes, count = _write_footprints(datasets, images, work / "footprints.parquet")
        report(f"{count:,} images.")
        moc = work / "moc"
        coverage.write(work / "footprints.parquet", moc)
        with duckdb.connect() as connection:
            _prepare(connection, work)
            # In a database that is attached, because only then its groups' size can be chosen.
            connection.execute(f"ATTACH '{work / 'made.duckdb'}' AS made (ROW_GROUP_SIZE {GROUP_ROWS})")
            connection.execute("USE made")
            connection.execute(
                "CREATE TABLE images AS SELECT * FROM read_parquet($1) ORDER BY _cell",
                [str(work / "footprints.parquet")],
            )
            entries = [obscore.obscore_table(classes, count), obscore.images_table(classes, count)]
            for each, catalogue in catalogues.items():
                if catalogue.files:
                    entry = _catalogue(connection, each, datasets.datasets[each], catalogue, source, work)
                    entries.append(entry)
                    report(f"{entry.rows:,} rows of {each}.")
            contents = Contents(made=made, fingerprint=fingerprint, tables=tuple(entries))
            connection.execute("CREATE TABLE contents (document VARCHAR)")
            connection.execute("INSERT INTO contents VALUES ($1)", [contents.model_dump_json()])
            connection.execute("CHECKPOINT made")
            connection.execute("USE memory")
            connection.execute("DETACH made")
        shutil.move(work / "made.duckdb", place.root / name)
        shutil.move(work / "footprints.parquet", place.footprints)
        shutil.rmtree(place.coverage, ignore_errors=True)
        shutil.move(moc, place.coverage)
    place.switch(Current(store=name, fingerprint=fingerprint, made=made))


def _write_footprints(datasets: Datasets, indexes: Mapping[str, bytes], path: Path) -> tuple[tuple[int, ...], int]:
    """Write the index of footprints; returns the classes of the images' sizes, and how many images there are."""
    parsed: dict[int, Sequence[ExposureRecord]] = {}
    tables = []
    for name, content in indexes.items():
        dataset = datasets.datasets[name]
        if id(content) not in parsed:
            parsed[id(content)] = footprints.records(content, dataset.index or "")
        tables.append(
            footprints.footprint_table(name, dataset, footprints.of_dataset(dataset, parsed[id(content)]))
        )
    table = pa.concat_tables(tables) if tables else footprints.SCHEMA.empty_table()
    write_footprints(table, path)
    return classes_of(table), table.num_rows


def write_footprints(table: pa.Table, path: Path) -> None:
    """Write an index of footprints, sorted by cell."""
    pq.write_table(table.sort_by(CELL), path, compression="zstd", row_group_size=100_000)


def classes_of(table: pa.Table) -> tuple[int, ...]:
    """Return the classes of the images' sizes."""
    reach = table["s_fov"].to_numpy() / 2
    return tuple(int(each) for each in np.unique(cells.size_classes(reach)))


def _prepare(connection: duckdb.DuckDBPyConnection, work: Path) -> None:
    def cell(ra: pa.ChunkedArray, dec: pa.ChunkedArray) -> pa.Array:
        numbers = [np.asarray(each.to_numpy(zero_copy_only=False), float) for each in (ra, dec)]
        known = np.isfinite(numbers[0]) & np.isfinite(numbers[1])
        found = np.full(len(known), -1, np.int64)
        found[known] = cells.cell_numbers(numbers[0][known] % 360, numbers[1][known], cells.SOURCE_ORDER)
        return pa.array(found)

    number: Any = "DOUBLE"
    whole: Any = "BIGINT"
    options: dict[str, Any] = {"type": "arrow", "null_handling": "special"}
    connection.create_function("cell_of", cell, [number, number], whole, **options)
    connection.execute(f"SET temp_directory = '{work / 'spill'}'")
    connection.execute("SET preserve_insertion_order = true")


def _catalogue(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    dataset: Dataset,
    catalogue: Catalogue,
    source: Source,
    work: Path,
) -> Entry:
    """Make the table of one catalogue, sorted by place on the sky; returns what is said of it."""
    table = name.replace("-", "_")
    folder = work / f"fetched-{table}"
    folder.mkdir()
    files = _fetch(dataset, catalogue.files, source, folder)
    schema = pq.read_schema(files[0])
    names = schema.names
    ra, dec = parquet.position_columns(names, catalogue.ra, catalogue.dec)
    columns = parquet.columns(schema, ra, dec)
    if not columns:
        raise ValueError(f"the catalogue {name} has no column that a query could name")
    shown = ", ".join(f'"{one.name}"::{SQL_TYPES[one.kind]} AS "{one.name}"' for one in columns)
    if parquet.HATS_CELL in names:
        cell = f'"{parquet.HATS_CELL}"::BIGINT'
    elif ra is not None:
        cell = f'cell_of("{ra}"::DOUBLE, "{dec}"::DOUBLE)'
    else:
        cell = "0::BIGINT"
    stored = f"catalog_{table}"
    connection.execute(
        f'CREATE TABLE "{stored}" AS SELECT {shown}, {cell} AS {CELL} '  # noqa: S608  -- names were checked
        "FROM read_parquet($1, union_by_name = true, hive_partitioning = false) ORDER BY " + CELL,
        [[str(path) for path in files]],
    )
    shutil.rmtree(folder)
    counted: Any = connection.execute(f'SELECT count(*) FROM "{stored}"').fetchone()  # noqa: S608
    return Entry(
        db="catalogs",
        name=table,
        description=f"{dataset.title}: {dataset.description}",
        stored=stored,
        columns=columns,
        dataset=name,
        ra=ra,
        dec=dec,
        cells="sources" if ra is not None else "none",
        rows=int(counted[0]),
    )


def _fetch(dataset: Dataset, objects: Sequence[Object], source: Source, folder: Path) -> list[Path]:
    files = []
    for number, one in enumerate(objects):
        path = folder / f"{number}.parquet"
        source.fetch(dataset.bucket, one.key, path)
        files.append(path)
    return files


def footprint_columns(contents: Contents) -> tuple[Column, ...]:
    """Return the columns of ivoa.obscore in a store."""
    return contents.names()["ivoa.obscore"].columns


def coverage_document(place: Place, dataset: str, optical_element: str | None) -> dict[str, Any] | None:
    """Return the MOC of a data set, or of one of its filters, as IVOA's JSON; None where there is none."""
    name = dataset if optical_element is None else f"{dataset}.{optical_element}"
    path = place.coverage / f"{name}.json"
    if path.parent != place.coverage or not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text())
    return found
