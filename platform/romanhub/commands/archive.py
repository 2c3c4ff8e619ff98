"""`romanhub archive`: what is done to files when they enter the archive."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import click


@click.group()
def archive() -> None:
    """Prepare files for the archive."""


@archive.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="How many files at once.")
@click.option("--again", is_flag=True, help="Make those anew that are there.")
def index(folder: Path, jobs: int, again: bool) -> None:
    """Make an index beside each ASDF file in FOLDER, by which notebooks read parts of it with few requests.

    It takes some seconds for a compressed Level 2 file. A file without one can be read too, with more requests
    and more bytes. Publish the indexes with the files. Runs in the analysis environment, which is installed
    first where it is not there yet.
    """
    import romanhub
    from romanhub.local.analysis import ensure_roman
    from romanhub.local.layout import State, default_state
    from romanhub.local.screen import Screen

    state = State(default_state())
    state.make()
    python = ensure_roman(state, full=False, screen=Screen()).python
    command = [str(python), "-m", "romanhub.asdf_blocks", "index", str(folder), "--jobs", str(jobs)]
    source = str(Path(romanhub.__file__).resolve().parents[1])
    done = subprocess.run([*command, *(["--again"] if again else [])], env={**os.environ, "PYTHONPATH": source})
    raise SystemExit(done.returncode)
