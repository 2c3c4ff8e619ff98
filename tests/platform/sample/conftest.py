"""The small sample archive that comes with the package, for the tests that read it."""

from __future__ import annotations

from pathlib import Path

import pytest
from romanhub.models.archive import INDEX_KEY, ArchiveIndex
from romanhub.sample import small_archive


@pytest.fixture(scope="session")
def archive() -> Path:
    return small_archive()


@pytest.fixture(scope="session")
def index(archive: Path) -> ArchiveIndex:
    return ArchiveIndex.model_validate_json((archive / INDEX_KEY).read_bytes())
