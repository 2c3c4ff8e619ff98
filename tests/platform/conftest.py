"""One platform for all the tests that do not break it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.platform import Platform, fresh_state


@pytest.fixture(scope="session")
def platform() -> Iterator[Platform]:
    """A platform at its first start, shared by all tests that do not break it."""
    running = Platform(fresh_state())
    try:
        yield running.start()
    finally:
        running.remove()


@pytest.fixture
def own_platform() -> Iterator[Platform]:
    """A platform of this test's own, not started yet, for a test that breaks things."""
    platform = Platform(fresh_state())
    try:
        yield platform
    finally:
        platform.remove()
