"""MOCs: which part of the sky each data set covers, and each of its filters."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
from mocpy import MOC

#: The finest cells of a MOC: 13 arcseconds, a tenth of the gap between two detectors.
ORDER = 14
#: Footprints that are made one MOC at a time; their cells are in memory together.
_AT_ONCE = 20_000


def write(footprints: Path, folder: Path) -> None:
    """Write a MOC as JSON for each data set, and for each filter of it (`dataset.FILTER.json`).

    Args:
        footprints: the Parquet index.
        folder: is made.
    """
    folder.mkdir(parents=True)
    with duckdb.connect() as connection:
        groups = connection.execute(
            "SELECT DISTINCT dataset, optical_element FROM read_parquet($1) ORDER BY ALL", [str(footprints)]
        ).fetchall()
        whole: dict[str, MOC] = {}
        for dataset, element in groups:
            shapes = connection.execute(
                "SELECT _shape FROM read_parquet($1) WHERE dataset = $2 AND optical_element = $3",
                [str(footprints), dataset, element],
            )
            moc = MOC.new_empty(ORDER)
            while rows := shapes.fetchmany(_AT_ONCE):
                moc = moc.union(of_polygons([row[0] for row in rows]))
            whole[dataset] = whole[dataset].union(moc) if dataset in whole else moc
            moc.save(str(folder / f"{dataset}.{element}.json"), format="json")
        for dataset, moc in whole.items():
            moc.save(str(folder / f"{dataset}.json"), format="json")


def of_polygons(shapes: list[list[float]]) -> MOC:
    """Return the MOC of polygons, each a list of right ascensions and declinations in degrees."""
    if not shapes:
        return MOC.new_empty(ORDER)
    # Polygons with as many corners together: the library takes arrays of one length at a time.
    by_length: dict[int, list[list[float]]] = {}
    for shape in shapes:
        by_length.setdefault(len(shape), []).append(shape)
    found: list[MOC] = []
    for alike in by_length.values():
        edges = []
        for shape in alike:
            pairs = np.array(shape).reshape(-1, 2)
            edges += [pairs[:, 0] % 360, pairs[:, 1].copy()]
        found += MOC.from_polygons(edges, max_depth=ORDER)
    return found[0].union(*found[1:]) if len(found) > 1 else found[0]
