"""Which files of a folder become a product, and what kind each is; everything that cannot be is refused."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from romanhub.community.errors import RefusedError
from romanhub.community.products.scratch import Listed
from romanhub.models.products import OWN_FOLDER, ProductFormat

#: One part of a path: nothing hidden, and nothing that a shell, a page or a policy would give a meaning.
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=+-]{0,149}")

#: What a text beside the tables may be called; its size in bytes is no larger.
_TEXT = re.compile(r"(README|LICEN[CS]E|CITATION)[A-Za-z.]*|.*\.(md|txt|cff|bib)")
LARGEST_TEXT = 200_000

#: What tells that a folder is a catalogue in the HATS layout, and what such a one has besides its tables.
_HATS = re.compile(r"(.*/)?(hats\.properties|collection\.properties|properties)")
_OF_HATS = re.compile(
    rf"{_HATS.pattern}|(.*/)?(partition_info\.csv|_metadata|_common_metadata|data_thumbnail\.parquet"
    r"|point_map\.fits|skymap[0-9.]*\.fits)"
)

#: How the names of tables end.
_ENDINGS = {".parquet": "parquet", ".pq": "parquet", ".fits": "fits", ".asdf": "asdf"}


@dataclass(frozen=True)
class Chosen:
    """A file that becomes part of a product."""

    path: str
    size: int
    #: `parquet`, `fits` or `asdf` for a table; `text`; `hats` for what belongs to that layout.
    kind: str


def check_folder(folder: str) -> str:
    """Return a folder of a scratch space, ending in a slash; empty for all of it. Raises RefusedError."""
    parts = [part for part in folder.strip().split("/") if part]
    for part in parts:
        if not _PART.fullmatch(part):
            raise RefusedError(f"'{folder[:100]}' is no folder of a scratch space that can be published.")
    return "".join(f"{part}/" for part in parts)


def choose(found: Iterable[Listed], *, most_files: int, most_bytes: int) -> tuple[ProductFormat, list[Chosen]]:
    """Return what a product of these files would be: how its tables are kept, and its files by path.

    Raises
    ------
    RefusedError
        Where they cannot be one: too many or too large, a path that is none, a format that nothing here reads.
    """
    files: list[Listed] = []
    size = 0
    for one in found:
        files.append(one)
        size += one.size
        if len(files) > most_files:
            raise RefusedError(
                f"There are more than {most_files} files, which is the most that a data product may have. Join "
                "tables into fewer files, or publish a folder of it."
            )
        if size > most_bytes:
            raise RefusedError(
                f"The files are larger than {_told(most_bytes)} together, which is the most for one version. "
                f"Leave "
                "columns out, publish a part, or ask the people who run this platform for more."
            )
    if not files:
        raise RefusedError("There is nothing in that folder of your scratch. Write the tables there first.")
    hats = any(_HATS.fullmatch(one.path) for one in files)
    chosen = [_chosen(one, hats) for one in sorted(files, key=lambda one: one.path)]
    kinds = {one.kind for one in chosen} - {"text", "hats"}
    if not kinds:
        raise RefusedError("There is no table among the files: Parquet, FITS or ASDF.")
    if len(kinds) > 1:
        raise RefusedError(
            f"The tables are kept in several ways ({', '.join(sorted(kinds))}). Publish each as a product of "
            f"its own."
        )
    if hats and kinds != {"parquet"}:
        raise RefusedError("A catalogue in the HATS layout has its tables in Parquet.")
    return _format("hats" if hats else kinds.pop()), chosen


def _format(name: str) -> ProductFormat:
    return {"hats": "hats", "parquet": "parquet", "fits": "fits", "asdf": "asdf"}[name]  # type: ignore[return-value]


def _chosen(one: Listed, hats: bool) -> Chosen:
    parts = one.path.split("/")
    if len(one.path) > 300 or len(parts) > 12 or not all(_PART.fullmatch(part) for part in parts):
        raise RefusedError(
            f"'{one.path[:100]}' cannot be the path of a published file: its parts begin with a letter or a "
            f"digit and "
            "have letters, digits, and _ . = + - alone."
        )
    if parts[0] == OWN_FOLDER:
        raise RefusedError(f"The folder {OWN_FOLDER} is the catalogue's own. Give yours another name.")
    name = parts[-1]
    if hats and _OF_HATS.fullmatch(one.path):
        return Chosen(one.path, one.size, "hats")
    for ending, kind in _ENDINGS.items():
        if name.lower().endswith(ending):
            return Chosen(one.path, one.size, kind)
    if _TEXT.fullmatch(name):
        if one.size > LARGEST_TEXT:
            raise RefusedError(f"{one.path} is a text of more than {LARGEST_TEXT // 1000} kB. Shorten it.")
        return Chosen(one.path, one.size, "text")
    raise RefusedError(
        f"{one.path} is of no format that a data product may have: tables in Parquet, FITS or ASDF, "
        f"catalogues in the "
        "HATS layout, and a README, a licence or a citation beside them."
    )


def _told(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 10**8 else f"{size / 1e6:.1f} MB"
