"""One search service for all tests that only read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.platform.discovery.world import Service, Sky, make_sky, serve


@pytest.fixture(scope="session")
def sky() -> Sky:
    return make_sky()


@pytest.fixture(scope="session")
def service(sky: Sky, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    limits = {"ROMANHUB_SEARCH_ASYNC_SECONDS": "120", "ROMANHUB_SEARCH_DEFAULT_ROWS": "2500"}
    with serve(tmp_path_factory.mktemp("search"), sky, **limits) as found:
        yield found
