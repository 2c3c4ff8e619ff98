"""What the portal's page of the archive asks: the search service, and the storage for previews."""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from romanhub.portal.imagesearch import ImageSearch
from romanhub.portal.keyedstorage import KeyedStorage
from romanhub.portal.previews import Previews
from romanhub.portal.settings import PortalSettings


@dataclass(frozen=True)
class ArchiveDoors:
    """The ways into the archive; a platform may have none."""

    search: ImageSearch | None = None
    previews: Previews | None = None


#: No way in.
NO_ARCHIVE = ArchiveDoors()


def archive_doors(settings: PortalSettings, http: httpx.AsyncClient) -> ArchiveDoors:
    """Return the ways into the archive that the settings name, asked through `http`, which is not closed here."""
    return ArchiveDoors(
        search=ImageSearch(settings.search_url, http) if settings.search_url else None,
        previews=Previews(KeyedStorage(settings.broker_url).of) if settings.broker_url else None,
    )
