"""A world for the tests of the policy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.platform.dask_clusters.world import World, world_in


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path) as found:
        yield found


@pytest.fixture
def wide(tmp_path: Path) -> Iterator[World]:
    """One whose tier has two clusters, and workers to choose the size of."""
    dask = "clusters: 2, workers: 6, worker_cores: 4, worker_memory_gib: 16, cores: 8, memory_gib: 40"
    with world_in(tmp_path, dask) as found:
        yield found
