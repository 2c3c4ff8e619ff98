"""Describe the archive's files for its index, from the files themselves."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from romanhub.models.archive import CatalogRecord, ExposureRecord, Level
from romanhub.sample.files import sha256

#: What follows the name in an image's key.
IMAGE_ENDING = ".asdf"


def footprint(wcs: Any, shape: tuple[int, int]) -> tuple[tuple[float, float], ...]:
    """Return the corners of an image of `shape` (rows, columns): the outer edges of its corner pixels.

    Pairs of right ascension (0 to 360) and declination, degrees, ICRS, in order around the image.
    """
    rows, columns = shape
    x = (-0.5, columns - 0.5, columns - 0.5, -0.5)
    y = (-0.5, -0.5, rows - 0.5, rows - 0.5)
    ra, dec = wcs(x, y, with_bounding_box=False)
    return tuple((float(a) % 360, float(d)) for a, d in zip(ra, dec, strict=True))


def _utc(time: Any) -> datetime:
    return time.to_datetime(timezone=UTC)  # type: ignore[no-any-return]


def image_record(root: Path, key: str) -> ExposureRecord:
    """Return the index's record of the image at `key` under `root`, a Level 2 exposure or a mosaic."""
    from roman_datamodels import datamodels

    path = root / key
    with datamodels.open(path) as model:
        meta = model.meta
        shape = tuple(int(side) for side in model.data.shape)
        level: Level
        if isinstance(model, datamodels.MosaicModel):
            level, detector = 3, None
            start, seconds = meta.coadd_info.time_first, meta.coadd_info.exposure_time
        else:
            level, detector = 2, str(meta.instrument.detector)
            start, seconds = meta.exposure.start_time, meta.exposure.exposure_time
        return ExposureRecord(
            name=path.name.removesuffix(IMAGE_ENDING),
            level=level,
            key=key,
            optical_element=str(meta.instrument.optical_element),
            detector=detector,
            start=_utc(start),
            exposure_time=float(seconds),
            footprint=footprint(meta.wcs, (shape[0], shape[1])),
            shape=(shape[0], shape[1]),
            size=path.stat().st_size,
            sha256=sha256(path),
        )


def catalog_record(root: Path, key: str, *, image: str) -> CatalogRecord:
    """Return the index's record of the catalogue at `key` under `root`, made from the image named."""
    import pyarrow.parquet as pq

    path = root / key
    return CatalogRecord(
        name=path.stem,
        key=key,
        image=image,
        rows=pq.read_metadata(path).num_rows,
        size=path.stat().st_size,
        sha256=sha256(path),
    )
