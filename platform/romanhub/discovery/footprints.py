"""The Parquet index of footprints: every image of the archive, a row each, from the data sets' own indexes."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from datetime import UTC, timedelta
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.time import Time

from romanhub.discovery import cells
from romanhub.discovery.geometry import corners, enclosing, positions
from romanhub.discovery.obscore import BANDS, BASE_URL, DATALINK_FORMAT, PUBLISHER_ID
from romanhub.models.archive import ArchiveIndex, ExposureRecord
from romanhub.models.datasets import Dataset

#: The columns of the index and of the store's table, in order.
SCHEMA = pa.schema(
    [
        ("dataset", pa.string()),
        ("name", pa.string()),
        ("key", pa.string()),
        ("optical_element", pa.string()),
        ("detector", pa.string()),
        ("start", pa.timestamp("us")),
        ("size_bytes", pa.int64()),
        ("sha256", pa.string()),
        ("dataproduct_type", pa.string()),
        ("calib_level", pa.int32()),
        ("obs_collection", pa.string()),
        ("obs_id", pa.string()),
        ("obs_publisher_did", pa.string()),
        ("access_url", pa.string()),
        ("access_format", pa.string()),
        ("access_estsize", pa.int64()),
        ("target_name", pa.string()),
        ("s_ra", pa.float64()),
        ("s_dec", pa.float64()),
        ("s_fov", pa.float64()),
        ("s_region", pa.string()),
        ("s_xel1", pa.int64()),
        ("s_xel2", pa.int64()),
        ("s_resolution", pa.float64()),
        ("t_min", pa.float64()),
        ("t_max", pa.float64()),
        ("t_exptime", pa.float64()),
        ("t_resolution", pa.float64()),
        ("t_xel", pa.int64()),
        ("em_min", pa.float64()),
        ("em_max", pa.float64()),
        ("em_res_power", pa.float64()),
        ("em_xel", pa.int64()),
        ("o_ucd", pa.string()),
        ("pol_states", pa.string()),
        ("pol_xel", pa.int64()),
        ("facility_name", pa.string()),
        ("instrument_name", pa.string()),
        ("_shape", pa.list_(pa.float64())),
        ("_cell", pa.int64()),
    ]
)


def records(content: bytes, key: str) -> Sequence[ExposureRecord]:
    """Return the images that a data set's index lists: JSON, or Parquet with the columns of ExposureRecord.

    Raises ValueError for an index that cannot be read.
    """
    if not key.endswith(".parquet"):
        return ArchiveIndex.model_validate_json(content).exposures
    rows = pq.read_table(io.BytesIO(content)).to_pylist()
    return [ExposureRecord.model_validate(row) for row in rows]


def of_dataset(dataset: Dataset, images: Iterable[ExposureRecord]) -> list[ExposureRecord]:
    """Return those images of an index that are of the data set: below its prefix."""
    return [image for image in images if image.key.startswith(dataset.prefix)]


def footprint_table(name: str, dataset: Dataset, images: Sequence[ExposureRecord]) -> pa.Table:
    """Return the rows of a data set's images, sorted as a search wants them."""
    if not images:
        return SCHEMA.empty_table()
    center, reach = np.zeros((len(images), 3)), np.zeros(len(images))
    by_corners: dict[int, list[int]] = {}
    for place, image in enumerate(images):
        by_corners.setdefault(len(image.footprint), []).append(place)
    for places in by_corners.values():
        polygons = corners(np.array([np.ravel(images[place].footprint) for place in places]))
        center[places], reach[places] = enclosing(polygons)
    ra, dec = positions(center)
    reach = np.degrees(reach)
    start = Time([image.start.astimezone(UTC).replace(tzinfo=None) for image in images], scale="utc").mjd
    seconds = np.array([image.exposure_time for image in images])
    unknown = (float("nan"), float("nan"))
    bands = np.array([BANDS.get(image.optical_element, unknown) for image in images])
    low, high = (pa.array(side, from_pandas=True).to_pylist() for side in bands.T)
    count = len(images)
    regions = [
        "POLYGON ICRS " + " ".join(f"{number!r}" for corner in image.footprint for number in corner)
        for image in images
    ]
    columns: dict[str, Any] = {
        "dataset": [name] * count,
        "name": [image.name for image in images],
        "key": [image.key for image in images],
        "optical_element": [image.optical_element for image in images],
        "detector": [image.detector for image in images],
        "start": [image.start.astimezone(UTC).replace(tzinfo=None) for image in images],
        "size_bytes": [image.size for image in images],
        "sha256": [image.sha256 for image in images],
        "dataproduct_type": ["image"] * count,
        "calib_level": [image.level for image in images],
        "obs_collection": [name] * count,
        "obs_id": [image.name for image in images],
        "obs_publisher_did": [PUBLISHER_ID + image.name for image in images],
        "access_url": [
            f"{BASE_URL}datalink/links?ID={quote(PUBLISHER_ID + image.name, safe='')}" for image in images
        ],
        "access_format": [DATALINK_FORMAT] * count,
        "access_estsize": [max(1, round(image.size / 1000)) for image in images],
        "target_name": [None] * count,
        "s_ra": ra,
        "s_dec": dec,
        "s_fov": 2 * reach,
        "s_region": regions,
        "s_xel1": [image.shape[1] for image in images],
        "s_xel2": [image.shape[0] for image in images],
        "s_resolution": [None] * count,
        "t_min": start,
        "t_max": start + seconds / timedelta(days=1).total_seconds(),
        "t_exptime": seconds,
        "t_resolution": seconds,
        "t_xel": [1] * count,
        "em_min": low,
        "em_max": high,
        "em_res_power": [None if a is None else (a + b) / 2 / (b - a) for a, b in zip(low, high, strict=True)],
        "em_xel": [1] * count,
        "o_ucd": ["phot.flux.density;em.IR"] * count,
        "pol_states": [None] * count,
        "pol_xel": [0] * count,
        "facility_name": [dataset.mission] * count,
        "instrument_name": ["WFI" if dataset.mission == "Roman" else None] * count,
        "_shape": [[float(number) for corner in image.footprint for number in corner] for image in images],
        "_cell": cells.image_cells(ra, dec, reach),
    }
    made = pa.table([pa.array(columns[field.name], field.type) for field in SCHEMA], schema=SCHEMA)
    return made.sort_by("_cell")
