"""A provider and a hub that signs people in through it, for all the tests that leave both as they were."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.platform.sign_in.sites import Site, running_site


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A hub for the members of two groups. Tests that need people make them, and leave the others alone."""
    with running_site(tmp_path_factory.mktemp("site"), allowed_groups=["roman-users", "roman-admins"]) as running:
        yield running
