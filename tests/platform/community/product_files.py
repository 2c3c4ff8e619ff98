"""Tables that people make, and a scratch on the disk. The one in S3 has tests of its own, with a broker."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asdf
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from romanhub.community.errors import RefusedError
from romanhub.community.products.scratch import Listed

#: What an author says of a photo-z catalogue.
ABOUT: dict[str, Any] = {
    "title": "Photometric redshifts of the first field",
    "abstract": "Redshifts of every source of the first field with their uncertainties, from seven filters.",
    "authors": [{"name": "Ada Lovelace", "orcid": "0000-0002-1825-0097"}],
    "licence": "CC-BY-4.0",
    "tags": ["photo-z"],
    "datasets": ["roman-sources"],
    "notebook": "photo-z-run@3",
    "software": ["eazy-py 0.8.5"],
}

#: What its file does not say.
UNITS = [{"name": "z", "unit": "dimensionless"}, {"name": "z_err", "unit": "dimensionless"}]


def photo_z(rows: int = 100, *, seed: int = 1, **units: str) -> bytes:
    """A photo-z catalogue in Parquet; positions have units in the file, redshifts none."""
    made = np.random.default_rng(seed)
    units = {"ra": "deg", "dec": "deg"} | units
    columns = {
        "source_id": np.arange(rows, dtype=np.int64),
        "ra": 270 + made.normal(0, 0.01, rows),
        "dec": 66 + made.normal(0, 0.01, rows),
        "z": made.uniform(0, 3, rows).astype(np.float32),
        "z_err": made.uniform(0, 0.1, rows).astype(np.float32),
    }
    fields = [
        pa.field(name, pa.array(values).type, metadata={"unit": units[name]} if name in units else None)
        for name, values in columns.items()
    ]
    file = io.BytesIO()
    pq.write_table(pa.table(list(columns.values()), schema=pa.schema(fields)), file)
    return file.getvalue()


def light_curve() -> bytes:
    """A light curve in FITS, with units in its header."""
    columns = [
        fits.Column("mjd", "D", unit="d", array=np.arange(5.0)),
        fits.Column("flux", "E", unit="uJy", array=np.arange(5.0, dtype=np.float32)),
        fits.Column("filter", "4A", array=np.array(["F158"] * 5)),
    ]
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns, name="LIGHTCURVE")]).writeto(file)
    return file.getvalue()


def sed() -> bytes:
    """A fit of an energy distribution in ASDF: columns of one length, without units."""
    file = io.BytesIO()
    asdf.AsdfFile({"sed": {"wavelength": np.arange(7.0), "flux": np.ones(7, np.float32)}}).write_to(file)
    return file.getvalue()


@dataclass
class DiskScratch:
    """A scratch space on the disk."""

    root: Path

    def put(self, path: str, content: bytes) -> None:
        """Write a file."""
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_bytes(content)

    def listed(self, folder: str) -> Iterator[Listed]:
        start = self.root / folder
        for path in sorted(start.rglob("*")) if start.exists() else ():
            if path.is_file():
                yield Listed(path.relative_to(start).as_posix(), path.stat().st_size)

    def fetch(self, folder: str, path: str, into: Path, moved: Callable[[int], object]) -> None:
        if not (self.root / folder / path).exists():
            raise RefusedError(f"{path} is not there any more.")
        shutil.copy(self.root / folder / path, into)
        moved(into.stat().st_size)
