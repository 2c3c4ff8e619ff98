"""What the data sets hold, and whether the index was built from just that.

It imports little: at most starts of a platform nothing has changed, and that should be found out quickly.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from romanhub.discovery.sources import Object, Source
from romanhub.discovery.store import Place
from romanhub.models.datasets import Dataset, Datasets

#: A change of what is built from the same data sets has to change this number.
_LAYOUT = 2

#: Files of a HATS catalogue that hold no rows of it.
_NO_ROWS = ("_metadata", "_common_metadata", "data_thumbnail.parquet")
_PROPERTIES = ("hats.properties", "properties")


def survey(datasets: Datasets, source: Source) -> tuple[dict[str, bytes], dict[str, Catalogue], str]:
    """Return the indexes of images, the catalogues' files, and a digest that changes when any of them does."""
    digest = hashlib.sha256(f"{_LAYOUT}\n{datasets.model_dump_json()}".encode())
    images, catalogues = {}, {}
    read: dict[tuple[str, str], bytes] = {}
    for name, dataset in datasets.datasets.items():
        if dataset.format in ("parquet", "hats"):
            catalogues[name] = find(dataset, source)
            digest.update("".join(f"{one.key} {one.tag}\n" for one in catalogues[name].files).encode())
        elif dataset.index is not None:
            where = dataset.bucket, dataset.index
            if where not in read:
                there = any(one.key == dataset.index for one in source.look(*where))
                read[where] = source.read(*where) if there else b""
            if read[where]:
                images[name] = read[where]
                digest.update(hashlib.sha256(read[where]).digest())
    return images, catalogues, digest.hexdigest()


def is_current(place: Place, fingerprint: str) -> bool:
    """Return whether the index in a folder was built from what has this digest."""
    current = place.current()
    return current is not None and current.fingerprint == fingerprint and (place.root / current.store).exists()


@dataclass(frozen=True)
class Catalogue:
    """One catalogue: its files, and its columns of positions."""

    files: tuple[Object, ...]
    ra: str | None
    dec: str | None
    description: str = ""


def find(dataset: Dataset, source: Source) -> Catalogue:
    """Return what a data set of format parquet or hats consists of. Raises SourceError."""
    objects = source.look(dataset.bucket, dataset.prefix)
    files = [
        one
        for one in objects
        if one.key.endswith((".parquet", ".pq")) and one.key.rsplit("/", 1)[-1] not in _NO_ROWS and one.size
    ]
    ra = dec = None
    margins: set[str] = set()
    for one in objects:
        folder, _, name = one.key.rpartition("/")
        if name in _PROPERTIES:
            said = properties(source.read(dataset.bucket, one.key).decode("utf-8", "replace"))
            # A margin repeats rows of its catalogue, and an index has none of the sky's: neither counts twice.
            if said.get("dataproduct_type") in ("margin", "index"):
                margins.add(f"{folder}/")
            elif "hats_col_ra" in said:
                ra, dec = said["hats_col_ra"], said.get("hats_col_dec")
    kept = tuple(one for one in files if not any(one.key.startswith(margin) for margin in margins))
    return Catalogue(kept, ra, dec)


def properties(text: str) -> dict[str, str]:
    """Return what a HATS properties file says: lines of the form `key=value`."""
    said = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            said[key.strip()] = value.strip()
    return said
