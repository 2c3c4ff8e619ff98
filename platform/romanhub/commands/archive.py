"""`romanhub archive`: the archive's index, and the indexes of its files."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import click


@click.group()
def archive() -> None:
    """Keep the index of what the archive holds."""


@archive.command()
@click.option("--again", is_flag=True, help="Build it even where nothing has changed.")
@click.option(
    "--datasets",
    "datasets_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file of data sets. With it, the index is of the buckets that boto3 reads with its own settings, and "
    "not of this machine's archive.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to write it: what ROMANHUB_SEARCH_FOLDER names for the search service. Needed with --datasets.",
)
@click.option("--region", default="us-east-1", show_default=True, help="The buckets' region, with --datasets.")
def index(again: bool, datasets_file: Path | None, output: Path | None, region: str) -> None:
    """Bring the index to what the data sets hold: footprints, catalogues, and the part of the sky of each.

    The search service uses the new one from its next query on. Without options, for the platform whose folder of
    state ROMANHUB_STATE names, which has to be running.
    """
    if datasets_file is None:
        from romanhub.local.archive_index import build_local
        from romanhub.local.environments import SetupError
        from romanhub.local.settings import Settings

        try:
            settings = Settings.load()
        except FileNotFoundError:
            raise click.ClickException("The platform has never been started here: romanhub up") from None
        try:
            build_local(settings, again=again, report=click.echo)
        except SetupError as error:
            raise click.ClickException(str(error)) from None
        return
    from romanhub.discovery.index import IndexBuildError, build
    from romanhub.discovery.sources import BucketSource
    from romanhub.discovery.store import Place
    from romanhub.services.datasetsfile import DatasetsFileError, load_datasets

    if output is None:
        raise click.UsageError("Say where to write the index: --output FOLDER.")
    try:
        source = BucketSource.at(None, region=region, access_key=None, secret_key=None)
        datasets = load_datasets(datasets_file)
        build(datasets, source, Place(output), now=datetime.now(UTC), report=click.echo, again=again)
    except (IndexBuildError, DatasetsFileError) as error:
        raise click.ClickException(str(error)) from None


@archive.command("index-files")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="How many files at once.")
@click.option("--again", is_flag=True, help="Make those anew that are there.")
def index_files(folder: Path, jobs: int, again: bool) -> None:
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
