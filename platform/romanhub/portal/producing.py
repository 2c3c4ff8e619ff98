"""Where the portal reads somebody's scratch, to publish files of it: with keys of their own, in their name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from pydantic import SecretStr

from romanhub.client.credentials import CredentialSource
from romanhub.client.errors import ArchiveUnavailableError, NotAllowedError
from romanhub.community.errors import RefusedError, UnavailableError
from romanhub.community.products.scratch import OwnScratch
from romanhub.community.services.catalogue import Catalogue
from romanhub.models.credentials import Credentials
from romanhub.models.entries import Draft
from romanhub.models.products import CopyProgress
from romanhub.portal.cataloguing import Cataloguing
from romanhub.portal.problems import PortalError

#: How long somebody waits while their files are copied, in seconds; the copy goes on after that.
SECONDS = 900.0

#: How long whoever follows the copy waits at most.
FOLLOWED_SECONDS = 6 * 3600.0


class Producing:
    """Makes drafts of data products."""

    def __init__(self, cataloguing: Cataloguing, broker_url: str | None) -> None:
        self._cataloguing, self._broker_url = cataloguing, broker_url

    @property
    def configured(self) -> bool:
        """Whether this platform has scratch to publish from."""
        return self._cataloguing.configured and self._broker_url is not None

    async def draft(
        self,
        person: str,
        token: str,
        name: str,
        *,
        scratch: str,
        folder: str,
        sidecar: Mapping[str, Any],
        checksums: Mapping[str, str] | None = None,
        told: Callable[[CopyProgress], None] | None = None,
    ) -> Draft:
        """Copy files of somebody's scratch as a draft; raises what `Products.draft` raises, and PortalError.

        Args:
            person: who it is.
            token: their hub token, for keys that open their scratch alone.
            name: what the entry is to be called.
            scratch: their scratch space.
            folder: the folder of it.
            sidecar: what they say of it.
            checksums: what the files' checksums are to be, by path.
            told: is told how far the copy is, from a thread.
        """

        def copy(catalogue: Catalogue) -> Draft:
            own = OwnScratch(self._keys(token), scratch)
            return catalogue.products.draft(person, name, own, folder, sidecar, checksums=checksums, told=told)

        return await self._cataloguing.ask(copy, seconds=SECONDS if told is None else FOLLOWED_SECONDS)

    def _keys(self, token: str) -> Credentials:
        if self._broker_url is None:
            raise PortalError(HTTPStatus.NOT_FOUND, "This platform has no scratch that could be published.")
        try:
            return CredentialSource(self._broker_url, SecretStr(token), scratch=True).current()
        except NotAllowedError as error:
            raise RefusedError(str(error)) from None
        except ArchiveUnavailableError as error:
            raise UnavailableError(str(error)) from None
