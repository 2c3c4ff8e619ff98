"""A backup of the platform's databases and its restore, as the operators' page says it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy.engine import make_url


def dump(urls: Mapping[str, str], folder: Path) -> dict[str, Path]:
    """Write a backup of each database into a folder; returns the files."""
    found = {name: folder / f"{name}.dump" for name in urls}
    for name, file in found.items():
        _run("pg_dump", "--format=custom", f"--file={file}", plain(urls[name]))
    return found


def restore(dumps: Mapping[str, Path], urls: Mapping[str, str]) -> None:
    """Put each backup into a new, empty database."""
    for name, file in dumps.items():
        _run("pg_restore", "--no-owner", "--exit-on-error", f"--dbname={plain(urls[name])}", str(file))


def another(url: str, database: str) -> str:
    """The address of another database of the same server."""
    return make_url(url).set(database=database).render_as_string(hide_password=False)


def plain(url: str) -> str:
    """A database's address as PostgreSQL's own programs read it."""
    return url.replace("postgresql+psycopg://", "postgresql://")


def _run(program: str, *words: str) -> None:
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))
    found = str(versions[-1]) if versions else shutil.which(program)
    assert found is not None, f"there is no {program} here"
    subprocess.run([found, *words], check=True)
