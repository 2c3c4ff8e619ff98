"""Build the archive's index on one machine, from the local server's buckets."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from romanhub.local.environments import SetupError
from romanhub.local.settings import REGION, Settings


def index(settings: Settings) -> None:
    """Bring the index to what the archive holds, in a process of its own: what that takes of memory is given back.

    Raises
    ------
    SetupError
        Where the index could not be built.
    """
    # What is imported here is imported from there, wherever this process found it.
    source = str(Path(__file__).resolve().parents[2])
    paths = [source, *(path for path in sys.path if path)]
    done = subprocess.run(
        [sys.executable, "-m", "romanhub.cli", "archive", "index"],
        env=_environment(settings, paths),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SetupError((done.stderr or done.stdout).strip().removeprefix("Error: "))


def _environment(settings: Settings, paths: list[str]) -> dict[str, str]:
    return {**os.environ, "ROMANHUB_STATE": str(settings.state.root), "PYTHONPATH": os.pathsep.join(paths)}


def build_local(settings: Settings, *, again: bool, report: Callable[[str], None]) -> bool:
    """Build the index in this process; returns whether there was anything to build.

    Raises
    ------
    SetupError
        Where something cannot be read or is not what it should be; the index before stays in use.
    """
    from romanhub.discovery.sources import BucketSource, SourceError
    from romanhub.discovery.store import Place
    from romanhub.discovery.survey import is_current, survey
    from romanhub.services.datasetsfile import DatasetsFileError, load_datasets

    try:
        source = BucketSource.at(
            settings.archive_endpoint,
            region=REGION,
            access_key="operator",
            secret_key=settings.secrets.archive_operator,
        )
        datasets = load_datasets(settings.datasets_file)
        place = Place(settings.index)
        if not again and is_current(place, survey(datasets, source)[2]):
            report("Nothing has changed.")
            return False
    except (SourceError, DatasetsFileError) as error:
        raise SetupError(str(error)) from None
    # Only now: what builds takes a second or more to import.
    from romanhub.discovery.index import IndexBuildError, build

    try:
        return build(datasets, source, place, now=datetime.now(UTC), report=report, again=again)
    except IndexBuildError as error:
        raise SetupError(str(error)) from None
