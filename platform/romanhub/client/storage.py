"""The archive's object storage as a notebook or a Dask worker reads it: silent about keys."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from romanhub.asdf_blocks import (
    BlocksError,
    ChangedError,
    ChecksumError,
    CorruptError,
    CutShortError,
    DeniedError,
    Keys,
    NotAsdfError,
    NotThereError,
    RemoteAsdf,
    S3Source,
    UnknownCompressionError,
)
from romanhub.client.credentials import CredentialSource, source
from romanhub.client.errors import ArchiveUnavailableError
from romanhub.client.usage import usage
from romanhub.models.credentials import Credentials

#: Without a broker, the data set that an object counts for, by the folder that it is in, and that of all others.
FOLDERS = {"level1": "roman-l1", "level2": "roman-l2", "level3": "roman-l3", "catalogs": "roman-l4"}
OTHERS = "roman-l4"

_TELL = "Please tell the platform's operators."


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


class _AccessKeys:
    """The keys of an access, or of the platform's broker, and new ones from it when those are refused."""

    def __init__(self, access: StorageAccess, broker: CredentialSource | None) -> None:
        self._access = access
        self._broker = broker
        self._last: tuple[Credentials, Keys] | None = None

    def __getstate__(self) -> dict[str, Any]:
        # The process that this comes to fetches keys of its own.
        return {**self.__dict__, "_last": None}

    def __call__(self, refused: bool) -> Keys:
        access = self._access
        if self._broker is None:
            assert access.access_key is not None
            assert access.secret_key is not None
            return Keys(
                bucket=access.bucket,
                access_key=access.access_key.get_secret_value(),
                secret_key=access.secret_key.get_secret_value(),
                endpoint=access.endpoint,
                region=access.region,
            )
        last = self._last
        found = self._broker.current(refused=last[0] if refused and last else None)
        if last and found is last[0]:
            return last[1]
        keys = Keys(
            bucket=access.bucket,
            access_key=found.access_key.get_secret_value(),
            secret_key=found.secret_key.get_secret_value(),
            endpoint=access.endpoint,
            region=access.region,
            session_token=found.session_token.get_secret_value(),
            expires=found.expiration,
        )
        self._last = (found, keys)
        return keys


@dataclass(frozen=True)
class _Count:
    """Counts reads of the bucket's objects by the data set that they are of."""

    bucket: str
    region: str
    broker: CredentialSource | None

    def __call__(self, key: str, requests: int, size: int) -> None:
        usage.add(self._dataset(key), self.region, bytes=size, requests=requests)

    def _dataset(self, key: str) -> str:
        if self.broker is None:
            return FOLDERS.get(key.partition("/")[0], OTHERS)
        keys = self.broker.current()
        datasets = {**keys.datasets, **keys.products}
        here = {name: one for name, one in datasets.items() if one.bucket == self.bucket}
        # The index of a data set is read for it, and may be read for several: it counts for the first.
        inside = [name for name, one in here.items() if key.startswith(one.prefix)]
        longest = sorted(inside, key=lambda name: -len(here[name].prefix))
        indexed = [name for name, one in here.items() if one.index == key]
        return next(iter([*longest, *indexed]), OTHERS)


class ArchiveStorage:
    """Reads objects and parts of objects of the archive's bucket.

    Every failure becomes an ArchiveUnavailableError whose message names no address, bucket or key, and which
    hides the error that it came from. Keys that have come to their end in the middle of a read are renewed, and
    the read goes on.

    :param access: where the bucket is.
    :param keys: where keys come from; the platform's broker if not given.
    """

    def __init__(self, access: StorageAccess, keys: CredentialSource | None = None) -> None:
        self.access = access
        given = access.access_key is not None and access.secret_key is not None
        broker = None if given else keys or source()
        count = _Count(access.bucket, access.region or "us-east-1", broker)
        self.source = S3Source(_AccessKeys(access, broker), count=count)

    def __repr__(self) -> str:
        return "<the archive's storage>"

    def read(self, key: str, what: str) -> bytes:
        """Return the whole object. `what` names it in errors; raises ArchiveUnavailableError."""
        with _spoken(what):
            [data] = self.source.read_ranges(key, [(0, self.source.size(key))])
        return bytes(data)

    def open(self, key: str, what: str, size: int, *, verify: bool = True) -> RemoteAsdf:
        """Return the ASDF file of `size` bytes, to be read in pieces as they are needed."""
        return RemoteAsdf(
            self.source, key, size=size, indexed=True, cache=cache_folder(), verify=verify, says=InWords(what)
        )


def cache_folder() -> Path:
    """Return the user's folder for what can be found out again: indexes of files that come without one."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "romanhub" / "asdf"


@dataclass(frozen=True)
class InWords:
    """Says for people in a notebook what went wrong while a file of the archive was read."""

    what: str

    def __call__(self, error: BlocksError) -> ArchiveUnavailableError:
        """Return the error to raise instead of another one."""
        what = self.what
        if isinstance(error, NotThereError):
            said = f"The archive does not hold the file of {what} that it should. {_TELL}"
        elif isinstance(error, CutShortError):
            said = f"The archive's file of {what} is shorter than it should be. {_TELL}"
        elif isinstance(error, ChangedError):
            said = f"The archive's file of {what} was replaced by a newer one while you read it. Open it again."
        elif isinstance(error, ChecksumError):
            said = f"The archive's file of {what} is damaged: its checksum is wrong. {_TELL}"
        elif isinstance(error, UnknownCompressionError):
            said = f"The archive's file of {what} cannot be read here. {error} {_TELL}"
        elif isinstance(error, NotAsdfError):
            said = f"The archive's file of {what} cannot be understood as a Roman data model. {_TELL}"
        elif isinstance(error, CorruptError):
            said = f"The archive's file of {what} is damaged. {error} {_TELL}"
        elif isinstance(error, DeniedError):
            said = (
                f"The archive's storage refused to read {what}: this server's access may have run out. "
                "Run `archive.reconnect()` and the cell again; if it happens again, please tell the "
                "platform's operators."
            )
        else:
            said = (
                f"The archive's storage did not answer when {what} was read. "
                "Wait a minute and run the cell again; if it happens again, please tell the platform's operators."
            )
        return ArchiveUnavailableError(said)


@contextmanager
def _spoken(what: str) -> Iterator[None]:
    """Turn the storage's errors into sentences, and hide the originals."""
    try:
        yield
    except BlocksError as error:
        raise InWords(what)(error) from None
