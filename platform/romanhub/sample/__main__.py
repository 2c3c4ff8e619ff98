"""The command `python -m romanhub.sample`: make a sample archive."""

from __future__ import annotations

import importlib.util
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import click

from romanhub.models.archive import INDEX_KEY
from romanhub.sample.make import (
    ArchiveInTheWayError,
    Compression,
    Settings,
    file_keys,
    make_archive,
    remake_catalogs,
)
from romanhub.sample.plan import DETECTOR_PIXELS, MIN_PIXELS, sample_plan

#: What the simulation needs beyond what reading the archive needs.
_NEEDED = ("galsim", "pysiaf", "romancal", "romanisim")


class Progress:
    """Tell how many files are finished: a bar on a terminal, a line for each file elsewhere."""

    def __init__(self, total: int) -> None:
        """Count towards `total` files."""
        self._total = total
        self._done = 0
        self._bar = (
            click.progressbar(
                length=total, label="Files", show_pos=True, item_show_func=lambda key: key, file=sys.stderr
            )
            if sys.stderr.isatty()
            else None
        )

    def __enter__(self) -> Self:
        """Show the bar, if there is one."""
        if self._bar is not None:
            self._bar.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the bar's line."""
        if self._bar is not None:
            self._bar.__exit__(kind, error, trace)

    def finished(self, key: str) -> None:
        """Count one more file."""
        self._done += 1
        if self._bar is not None:
            self._bar.update(1, key)
        else:
            click.echo(f"{self._done} of {self._total} files: {key}", err=True)


@click.group()
def main() -> None:
    """Make a sample of a Roman archive from simulated exposures."""


@main.command()
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    metavar="DIR",
    help="The directory to make the archive in.",
)
@click.option(
    "--size",
    type=click.IntRange(MIN_PIXELS, DETECTOR_PIXELS),
    default=512,
    show_default=True,
    help=f"Pixels on a side of each exposure; {DETECTOR_PIXELS} keeps the whole detector.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=42,
    show_default=True,
    help="Decides the sources and the noise: the same seed gives the same pixels.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="How many exposures to simulate at the same time; a whole detector needs 6 GB and ten minutes each.",
)
@click.option(
    "--round/--no-round",
    "rounded",
    default=False,
    show_default=True,
    help="Round images to a sixteenth of their noise, which halves their files.",
)
@click.option(
    "--compression",
    type=click.Choice(["zlib", "lz4"]),
    default="zlib",
    show_default=True,
    help="How the images' arrays are compressed: zlib is smaller, lz4 is faster to read.",
)
def make(output: Path, size: int, seed: int, jobs: int, rounded: bool, compression: Compression) -> None:
    """Simulate the exposures, combine them, list their sources and write the index.

    A run that was interrupted can be run again with the same options: finished files are kept.
    """
    absent = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if absent:
        raise click.ClickException(
            f"Simulating needs {', '.join(absent)}, which this Python does not have. Run the command "
            "in the full analysis image."
        )
    settings = Settings(size=size, seed=seed, rounded=rounded, compression=compression)
    total = len(file_keys(sample_plan(size=size, seed=seed)))
    try:
        with Progress(total) as progress:
            index = make_archive(
                output, settings, jobs=jobs, now=lambda: datetime.now(UTC), report=progress.finished
            )
    except ArchiveInTheWayError as refusal:
        raise click.ClickException(str(refusal)) from refusal
    total_bytes = sum(image.size for image in index.exposures)
    total_bytes += sum(catalog.size for catalog in index.catalogs)
    click.echo(
        f"The archive holds {len(index.exposures)} images and {len(index.catalogs)} catalogues, "
        f"{total_bytes / 1e6:.1f} MB."
    )


@main.command()
@click.option(
    "--archive",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    metavar="DIR",
    help="The directory of a finished sample archive.",
)
def catalogs(archive: Path) -> None:
    """Make an archive's HATS catalogues anew from its images, which stay as they are.

    The core analysis environment is enough for it.
    """
    if not (archive / INDEX_KEY).exists():
        raise click.ClickException("The directory holds no finished sample archive.")
    for record in remake_catalogs(archive).hats:
        size = sum(file.size for file in record.files)
        click.echo(f"{record.name}: {record.rows} rows, {len(record.files)} files, {size / 1e3:.0f} kB.")


if __name__ == "__main__":
    main(prog_name="python -m romanhub.sample")
