"""Objects of the archive, read with short-lived keys of whoever asks: nobody sees what they may not read."""

from __future__ import annotations

import threading
from collections import OrderedDict
from hashlib import sha256
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import SecretStr

from romanhub.client.credentials import CredentialSource
from romanhub.client.errors import RomanHubError

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

    def read(self, token: str, dataset: str, key: str) -> bytes:
        """Return an object of a data set. Raises StorageRefusedError."""
        try:
            keys = self._source(token).current()
        except RomanHubError as error:
            raise StorageRefusedError(str(error)) from error
        place = keys.datasets.get(dataset)
        if place is None:
            raise StorageRefusedError("You may not read the data set that this image is of.")
        client: Any = boto3.client(
            "s3",
            endpoint_url=keys.endpoint,
            region_name=place.region,
            aws_access_key_id=keys.access_key.get_secret_value(),
            aws_secret_access_key=keys.secret_key.get_secret_value(),
            aws_session_token=keys.session_token.get_secret_value(),
            config=Config(connect_timeout=5, read_timeout=30),
        )
        try:
            data: bytes = client.get_object(Bucket=place.bucket, Key=key)["Body"].read()
        except (BotoCoreError, ClientError, OSError) as error:
            raise StorageRefusedError("The archive's storage did not give the image.") from error
        finally:
            client.close()
        return data

    def _source(self, token: str) -> CredentialSource:
        # Kept under a digest, so that no token lies about in the portal's memory twice.
        name = sha256(token.encode()).hexdigest()
        with self._lock:
            found = self._sources.pop(name, None) or CredentialSource(self._url, SecretStr(token))
            self._sources[name] = found
            while len(self._sources) > _PEOPLE:
                self._sources.popitem(last=False)
        return found
