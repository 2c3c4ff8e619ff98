"""Write the archive's files whole or not at all, and say what their checksums are."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` make a file under a passing directory, then move it to `path` in one step.

    The passing file has the same name, since a data model notes its file's name as it saves. A run
    that is stopped half-way leaves nothing at `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=path.parent) as passing:
        half = Path(passing) / path.name
        write(half)
        half.chmod(0o644)
        half.replace(path)


def sha256(path: Path) -> str:
    """Return the file's SHA-256 checksum in hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
