"""How a search grows: the search service's own queries, over more and more footprints and rows of catalogues.

The stores are made in bulk, in the layout of `romanhub.discovery.index` and with its own functions; positions are
all over the sky. Each search is the statement that the service makes of ADQL, run on the store's engine in this
process. Each size is measured in turn with the smallest.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from statistics import median

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from romanhub.discovery import cells, index, obscore
from romanhub.discovery.adql.translate import translate
from romanhub.discovery.engine import Engine, Limits, Statement
from romanhub.discovery.geometry import corners, enclosing, positions
from romanhub.discovery.store import Current, Place
from romanhub.discovery.tables import Column, Contents, Entry

from tests.bench.hubs import alternate
from tests.bench.rows import Row

#: How many images, and rows of a catalogue; the first is what the others are compared with. The largest of each
#: take longer to make, and are measured where they are named.
IMAGES, MANY_IMAGES = (1_000, 10_000, 100_000), (1_000, 1_000_000)
SOURCES, MANY_SOURCES = (100_000, 1_000_000), (100_000, 10_000_000)
ROUNDS, SEARCHES = 5, 12

#: The radii of searches in degrees: for images a detector's width, for sources 10 arcseconds.
IMAGE_RADIUS, SOURCE_RADIUS = 0.05, 10 / 3600

GOAL = "<= 3"
LIMITS = Limits(seconds=60, rows=100_000)


def measure() -> list[Row]:
    """Measure with up to a hundred thousand footprints, and up to a million rows."""
    return [*_images(IMAGES), *_sources(SOURCES)]


def measure_footprints() -> list[Row]:
    """Measure with a million footprints."""
    return _images(MANY_IMAGES)


def measure_rows() -> list[Row]:
    """Measure with ten million rows of a catalogue."""
    return _sources(MANY_SOURCES)


def _images(sizes: tuple[int, ...]) -> list[Row]:
    return _grow("footprints", sizes, _make_images, _image_search)


def _sources(sizes: tuple[int, ...]) -> list[Row]:
    return _grow("rows of a catalogue", sizes, _make_sources, _source_search)


def _grow(
    name: str, sizes: tuple[int, ...], make: Callable[[Path, int], None], search: Callable[[Random], str]
) -> list[Row]:
    found: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="romanhub-bench-", dir="/var/tmp") as folder:
        small = _Side(Path(folder) / "small", sizes[0], make, search)
        for size in sizes[1:]:
            found += _compare(name, small, _Side(Path(folder) / str(size), size, make, search))
            shutil.rmtree(Path(folder) / str(size))
    return found


class _Side:
    """A store of a size, how long it took to build, and searches of it."""

    def __init__(
        self, folder: Path, size: int, make: Callable[[Path, int], None], search: Callable[[Random], str]
    ) -> None:
        self.size, self._search, self._dice = size, search, Random(size)
        started = time.perf_counter()
        make(folder, size)
        self.seconds = time.perf_counter() - started
        self._engine = Engine(Place(folder), threads=2, memory="2GB")
        self.store = self._engine.store()
        current = Place(folder).current()
        assert current is not None
        self.bytes = (folder / current.store).stat().st_size
        self.run()

    def run(self) -> list[float]:
        """Search at places drawn at random; return the seconds of each search, of its translation as well."""
        times = []
        for _ in range(SEARCHES):
            text = self._search(self._dice)
            started = time.perf_counter()
            statement = translate(text, self.store.contents.names(), ["bench"], most=100_000).sql
            self._engine.run(self.store, Statement(statement), LIMITS)
            times.append(time.perf_counter() - started)
        return times


def _compare(name: str, small: _Side, big: _Side) -> list[Row]:
    mine, theirs = alternate(big.run, small.run, ROUNDS)
    rows = [
        Row(
            name=f"discovery: {big.size:,} {name}, a cone",
            value=1e3 * median(itertools.chain(*mine)),
            unit="ms",
            against=f"{small.size:,}",
            versus=1e3 * median(itertools.chain(*theirs)),
            goal=GOAL,
            runs=ROUNDS * SEARCHES,
        )
    ]
    for what, value, versus in (
        ("the store, for each", big.bytes / big.size, small.bytes / small.size),
        ("the building, for each", 1e6 * big.seconds / big.size, 1e6 * small.seconds / small.size),
    ):
        unit = "bytes" if "store" in what else "µs"
        rows.append(
            Row(
                name=f"discovery: {big.size:,} {name}, {what}",
                value=value,
                unit=unit,
                against=f"{small.size:,}",
                versus=versus,
                runs=1,
            )
        )
    return rows


def _place(dice: Random) -> tuple[float, float]:
    return dice.uniform(0, 360), float(np.degrees(np.arcsin(dice.uniform(-1, 1))))


def _image_search(dice: Random) -> str:
    ra, dec = _place(dice)
    return (
        "SELECT obs_id, t_min, s_region FROM ivoa.obscore "
        f"WHERE 1 = INTERSECTS(CIRCLE({ra}, {dec}, {IMAGE_RADIUS}), s_region)"
    )


def _source_search(dice: Random) -> str:
    ra, dec = _place(dice)
    return f"SELECT * FROM catalogs.bench WHERE 1 = CONTAINS(POINT(ra, dec), CIRCLE({ra}, {dec}, {SOURCE_RADIUS}))"


def _even(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    dice = np.random.default_rng(seed)
    return dice.uniform(0, 360, count), np.degrees(np.arcsin(dice.uniform(-1, 1, count)))


@contextmanager
def _building(folder: Path) -> Iterator[tuple[duckdb.DuckDBPyConnection, Path, list[Entry]]]:
    """A store that is being built, as the index builds it; the entries are written at its end."""
    folder.mkdir(parents=True)
    name = "store-0.duckdb"
    entries: list[Entry] = []
    with duckdb.connect() as connection:
        connection.execute(f"SET temp_directory = '{folder / 'spill'}'; SET threads = 2; SET memory_limit = '4GB'")
        connection.execute(f"ATTACH '{folder / name}' AS made (ROW_GROUP_SIZE {index.GROUP_ROWS}); USE made")
        yield connection, folder, entries
        contents = Contents(made="2027-01-01T00:00:00+00:00", fingerprint="bench", tables=tuple(entries))
        connection.execute("CREATE TABLE contents (document VARCHAR)")
        connection.execute("INSERT INTO contents VALUES ($1)", [contents.model_dump_json()])
        connection.execute("CHECKPOINT made; USE memory; DETACH made")
    Place(folder).switch(Current(store=name, fingerprint="bench", made=contents.made))


def _make_images(folder: Path, count: int) -> None:
    """Squares of a detector's size (0.124 degrees), one in a hundred eight times as wide, all over the sky."""
    ra, dec = _even(count, 1)
    half = np.where(np.arange(count) % 100 == 0, 0.5, 0.062)
    widen = half / np.maximum(np.cos(np.radians(dec)), 0.02)
    low, high = np.maximum(dec - half, -89.99), np.minimum(dec + half, 89.99)
    sides = [ra - widen, low, ra + widen, low, ra + widen, high, ra - widen, high]
    shapes = np.stack([side % 360 if place % 2 == 0 else side for place, side in enumerate(sides)], axis=1)
    center, reach = enclosing(corners(shapes))
    center_ra, center_dec = positions(center)
    reach = np.degrees(reach)
    columns = {
        "number": np.arange(count),
        "s_ra": center_ra,
        "s_dec": center_dec,
        "s_fov": 2 * reach,
        "t_min": 61_500 + np.arange(count) / 700,
        "_shape": pa.FixedSizeListArray.from_arrays(shapes.ravel(), 8).cast(pa.list_(pa.float64())),
        "_cell": cells.image_cells(center_ra, center_dec, reach),
    }
    table = pa.table(columns)
    with _building(folder) as (connection, work, entries):
        index.write_footprints(table, work / "footprints.parquet")
        connection.execute(
            "CREATE TABLE images AS SELECT 'bench' AS dataset, format('r{:012d}', number) AS obs_id, "
            "'POLYGON ICRS ' || array_to_string(_shape, ' ') AS s_region, * FROM read_parquet($1) ORDER BY _cell",
            [str(work / "footprints.parquet")],
        )
        entries.append(obscore.obscore_table(index.classes_of(table), count))


def _make_sources(folder: Path, count: int) -> None:
    """Twelve columns of numbers, as a small catalogue has."""
    with _building(folder) as (connection, work, entries):
        files = []
        for number, start in enumerate(range(0, count, 1_000_000)):
            some = min(1_000_000, count - start)
            ra, dec = _even(some, number)
            dice = np.random.default_rng(number + 10_000)
            measured = {f"m{column}": dice.normal(size=some).astype(np.float32) for column in range(9)}
            table = pa.table(
                {
                    "id": np.arange(start, start + some),
                    "ra": ra,
                    "dec": dec,
                    **measured,
                    "_cell": cells.cell_numbers(ra, dec, cells.SOURCE_ORDER),
                }
            )
            files.append(str(work / f"{number}.parquet"))
            pq.write_table(table, files[-1])
        connection.execute("CREATE TABLE catalog_bench AS SELECT * FROM read_parquet($1) ORDER BY _cell", [files])
        columns = (
            Column(name="id", kind="long"),
            Column(name="ra", kind="double"),
            Column(name="dec", kind="double"),
            *(Column(name=f"m{column}", kind="float") for column in range(9)),
        )
        entries.append(
            Entry(
                db="catalogs",
                name="bench",
                description="",
                stored="catalog_bench",
                columns=columns,
                dataset="bench",
                ra="ra",
                dec="dec",
                cells="sources",
                rows=count,
            )
        )
