"""Where the portal's routes reach registered repositories, and the round that reads them again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus
from typing import TypeVar

import anyio
import anyio.to_thread

from romanhub.community.errors import CommunityError, UnavailableError
from romanhub.community.repositories.reader import RepositoryReader
from romanhub.community.services.catalogue import Catalogue
from romanhub.community.services.repositories import Repositories
from romanhub.community.settings import CommunitySettings
from romanhub.portal.problems import PortalError

log = logging.getLogger(__name__)

_Found = TypeVar("_Found")

#: How long somebody waits for one repository, in seconds: it is read, and its notebooks are looked into.
SECONDS = 390.0

#: How long it is between two looks at whose time has come, in seconds.
ROUND = 60.0


class Registering:
    """Registered repositories, each question with a deadline."""

    def __init__(self, settings: CommunitySettings | None, catalogue: Catalogue | None) -> None:
        self._repositories: Repositories | None = None
        if settings is not None and catalogue is not None:
            reader = RepositoryReader(allowed=settings.git_origins)
            self._repositories = Repositories(catalogue, reader, every=timedelta(seconds=settings.git_seconds))

    async def ask(self, question: Callable[[Repositories], _Found]) -> _Found:
        """Return what a question finds; raises what it raises, and PortalError where there is no catalogue."""
        repositories = self._repositories
        if repositories is None:
            raise PortalError(HTTPStatus.NOT_FOUND, "This platform has no catalogue of the community.")
        try:
            with anyio.fail_after(SECONDS):
                return await anyio.to_thread.run_sync(lambda: question(repositories), abandon_on_cancel=True)
        except TimeoutError as error:
            raise UnavailableError(
                "The repository takes long to read. It is read on; look at your repositories in a few minutes."
            ) from error

    async def keep_reading(self) -> None:
        """Read repositories whose time has come, again and again."""
        repositories = self._repositories
        if repositories is None:
            return
        while True:
            try:
                await anyio.to_thread.run_sync(repositories.read_due, abandon_on_cancel=True)
            except CommunityError as error:
                log.warning("Repositories could not be read again: %s", error)
            except Exception:
                log.exception("Repositories could not be read again.")
            await asyncio.sleep(ROUND)
