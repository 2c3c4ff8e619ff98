"""The command `python -m romanhub.asdf_blocks`: make the indexes of files on a disk."""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import click

from romanhub.asdf_blocks.errors import BlocksError
from romanhub.asdf_blocks.indexing import write_index
from romanhub.asdf_blocks.sidecar import sidecar_key


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Read ASDF files in pieces."""


@main.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="How many files at once.")
@click.option("--again", is_flag=True, help="Make those anew that are there.")
def index(folder: Path, jobs: int, again: bool) -> None:
    """Make an index beside each ASDF file in FOLDER that has none, or has an older one."""
    paths = [path for path in sorted(folder.rglob("*.asdf")) if again or not _current(path)]
    failed = 0
    with ProcessPoolExecutor(jobs) as pool:
        for path, problem in zip(paths, pool.map(_index, paths), strict=True):
            click.echo(f"{path.relative_to(folder)}: {problem or 'indexed'}")
            failed += problem is not None
    click.echo(f"{len(paths) - failed} indexed, {failed} failed.")
    sys.exit(1 if failed else 0)


def _index(path: Path) -> str | None:
    """Write the index of one file; return what went wrong, or None."""
    try:
        write_index(path)
    except BlocksError as error:
        return str(error)
    return None


def _current(path: Path) -> bool:
    target = path.with_name(sidecar_key(path.name))
    return target.exists() and target.stat().st_mtime_ns >= path.stat().st_mtime_ns


if __name__ == "__main__":
    main()
