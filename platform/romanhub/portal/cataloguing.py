"""Where the portal's routes ask the community's catalogue: its calls wait, so each runs in a thread."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from typing import TypeVar

import anyio
import anyio.to_thread

from romanhub.community.errors import UnavailableError
from romanhub.community.inspector import Inspector
from romanhub.community.services.catalogue import Catalogue
from romanhub.community.settings import CommunitySettings
from romanhub.community.storage.bucket import CommunityBucket
from romanhub.models.community import Role
from romanhub.portal.auth import Visitor
from romanhub.portal.problems import PortalError
from romanhub.portal.settings import PortalSettings

_Found = TypeVar("_Found")


class Cataloguing:
    """The catalogue, each question with a deadline. All raise what the catalogue raises, and UnavailableError."""

    def __init__(self, settings: PortalSettings, catalogue: Catalogue | None) -> None:
        self._catalogue = catalogue
        self._settings = settings

    @property
    def configured(self) -> bool:
        """Whether this platform has a catalogue."""
        return self._catalogue is not None

    async def ask(self, question: Callable[[Catalogue], _Found], *, seconds: float | None = None) -> _Found:
        """Return what a question to the catalogue, or an act, finds; raises PortalError where there is none.

        Args:
            question: what is asked.
            seconds: how long it may take, where that is longer than usual.
        """
        catalogue = self._catalogue
        if catalogue is None:
            raise PortalError(HTTPStatus.NOT_FOUND, "This platform has no catalogue of the community.")
        try:
            with anyio.fail_after(seconds or self._settings.community_seconds):
                return await anyio.to_thread.run_sync(lambda: question(catalogue), abandon_on_cancel=True)
        except TimeoutError as error:
            raise UnavailableError(
                "The community's catalogue did not answer in time. Look at the entry before you repeat this."
            ) from error

    def roles(self, visitor: Visitor) -> frozenset[Role]:
        """Return who a visitor is to entries of others: a curator, or nobody."""
        community = self._settings.community
        group = community.curators if community is not None else None
        return frozenset({Role.CURATOR}) if visitor.admin or group in visitor.groups else frozenset()


def open_catalogue(settings: CommunitySettings | None, *, clock: Callable[[], datetime]) -> Catalogue | None:
    """Return the catalogue that the settings describe; None where there is none."""
    if settings is None:
        return None
    return Catalogue(settings.engine(), CommunityBucket(settings), Inspector(), clock, settings.limits)
