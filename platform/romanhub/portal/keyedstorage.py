"""Objects of the archive, read with short-lived keys of whoever asks: nobody sees what they may not read."""

from __future__ import annotations

import threading
from collections import OrderedDict
from hashlib import sha256

from pydantic import SecretStr

from romanhub.asdf_blocks import ByteSource
from romanhub.client.credentials import CredentialSource
from romanhub.client.errors import RomanHubError
from romanhub.client.storage import ArchiveStorage, StorageAccess

#: Of so many people keys are kept at once; the one who has not asked for the longest makes room.
_PEOPLE = 200


class StorageRefusedError(OSError):
    """The object cannot be read: by this person, or now; the message says which."""


class KeyedStorage:
    """Reads objects with keys that the platform's broker gives for a person's own token. Everything here waits."""

    def __init__(self, broker_url: str) -> None:
        self._url = broker_url
        self._sources: OrderedDict[str, CredentialSource] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, token: str, dataset: str) -> ByteSource:
        """Return the objects of a data set, as a token's owner may read them. Raises StorageRefusedError."""
        found = self._source(token)
        try:
            keys = found.current()
        except RomanHubError as error:
            raise StorageRefusedError(str(error)) from error
        place = keys.datasets.get(dataset)
        if place is None:
            raise StorageRefusedError("You may not read the data set that this image is of.")
        access = StorageAccess(endpoint=keys.endpoint, bucket=place.bucket, region=place.region)
        return ArchiveStorage(access, found).source

    def _source(self, token: str) -> CredentialSource:
        # Kept under a digest, so that no token lies about in the portal's memory twice.
        name = sha256(token.encode()).hexdigest()
        with self._lock:
            found = self._sources.pop(name, None) or CredentialSource(self._url, SecretStr(token))
            self._sources[name] = found
            while len(self._sources) > _PEOPLE:
                self._sources.popitem(last=False)
        return found
