"""The archive's object storage as a notebook or a Dask worker reads it: silent about keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import s3fs
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from romanhub.client.credentials import CredentialSource, source
from romanhub.client.errors import ArchiveUnavailableError
from romanhub.client.reader import RangeReader
from romanhub.client.sessions import RenewedSession


class StorageAccess(BaseModel):
    """Where the archive's bucket is, and for a storage without a broker a key that reads it.

    It is picklable. Without a key, whoever reads fetches keys of their own from the platform's broker: so
    nothing secret travels to a Dask worker. It never shows what it holds.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    endpoint: str | None = Field(repr=False, description="The storage's URL; none for AWS.")
    bucket: str = Field(repr=False, description="The bucket that holds the archive.")
    region: str | None = Field(default=None, repr=False, description="The storage's region.")
    access_key: SecretStr | None = Field(default=None, repr=False, description="A read-only key's name.")
    secret_key: SecretStr | None = Field(default=None, repr=False, description="That key.")

    def __str__(self) -> str:
        return repr(self)

    def __repr__(self) -> str:
        return "<read-only access to the archive>"


class ArchiveStorage:
    """Reads objects and ranges of objects of the archive's bucket.

    Every failure becomes an ArchiveUnavailableError whose message names no address, bucket or key, and which
    hides the error that it came from, because that one's message may name them. Keys that have come to their
    end in the middle of a read are renewed, and the read goes on.

    :param access: where the bucket is.
    :param keys: where keys come from; the platform's broker if not given.
    """

    def __init__(self, access: StorageAccess, keys: CredentialSource | None = None) -> None:
        self.access = access
        given = access.access_key is not None and access.secret_key is not None
        self._session = None if given else RenewedSession(keys or source())
        self._files = s3fs.S3FileSystem(
            key=access.access_key.get_secret_value() if access.access_key else None,
            secret=access.secret_key.get_secret_value() if access.secret_key else None,
            session=self._session,
            # Kept instances would be found again with keys of another time.
            skip_instance_cache=True,
            client_kwargs={"endpoint_url": access.endpoint, "region_name": access.region},
            config_kwargs={
                # A storage of one's own rarely has a host name for every bucket.
                "s3": {"addressing_style": "path" if access.endpoint else "auto"},
                "connect_timeout": 5,  # seconds
                "read_timeout": 30,
            },
        )

    def __repr__(self) -> str:
        return "<the archive's storage>"

    def read(self, key: str, what: str) -> bytes:
        """Return the whole object. `what` names it in errors; raises ArchiveUnavailableError."""
        with _spoken(what):
            return self._renewing(lambda: self._files.cat_file(self._path(key)))

    def read_range(self, key: str, what: str, start: int, stop: int) -> bytes:
        """Return the object's bytes from `start` up to `stop`. Raises ArchiveUnavailableError."""
        with _spoken(what):
            data = self._renewing(lambda: self._files.cat_file(self._path(key), start=start, end=stop))
        if len(data) != stop - start:
            raise ArchiveUnavailableError(
                f"The archive's file of {what} is shorter than the archive's index says. "
                "Please tell the platform's operators."
            )
        return data

    def open(self, key: str, what: str, size: int) -> RangeReader:
        """Return the object of `size` bytes as a file that is read in pieces, as they are needed."""
        return RangeReader(lambda start, stop: self.read_range(key, what, start, stop), size)

    def _renewing(self, read: Callable[[], Any]) -> bytes:
        """Read; where the storage refuses the keys, once more with others."""
        try:
            return cast(bytes, read())
        except PermissionError:
            if self._session is None:
                raise
        self._session.renew()
        return cast(bytes, read())

    def _path(self, key: str) -> str:
        return f"{self.access.bucket}/{key}"


@contextmanager
def _spoken(what: str) -> Iterator[None]:
    """Turn the storage's errors into sentences, and hide the originals."""
    try:
        yield
    except FileNotFoundError:
        raise ArchiveUnavailableError(
            f"The archive does not hold the file of {what} that it should. Please tell the platform's operators."
        ) from None
    except PermissionError:
        raise ArchiveUnavailableError(
            f"The archive's storage refused to read {what}: this server's access may have run out. "
            "Run `archive.reconnect()` and the cell again; if it happens again, please tell the "
            "platform's operators."
        ) from None
    except (OSError, BotoCoreError, ClientError, TimeoutError):
        raise ArchiveUnavailableError(
            f"The archive's storage did not answer when {what} was read. "
            "Wait a minute and run the cell again; if it happens again, please tell the platform's operators."
        ) from None
