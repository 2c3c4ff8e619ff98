"""The archive's object storage as a notebook or a Dask worker reads it: read-only, and silent about keys."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

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
from romanhub.client.errors import ArchiveUnavailableError, OutsidePlatformError
from romanhub.client.usage import usage

#: The data set that an object belongs to, by the folder that it is in; the index and the rest count as catalogues.
DATASETS = {"level1": "roman-l1", "level2": "roman-l2", "level3": "roman-l3", "catalogs": "roman-l4"}
OTHERS = "roman-l4"

_TELL = "Please tell the platform's operators."


class StorageAccess(BaseModel):
    """Read-only access to the archive's bucket, as the portal hands it out.

    It is picklable, so that Dask workers, which have no token for the portal, can read the archive. It
    never shows what it holds.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    endpoint: str | None = Field(repr=False, description="The storage's URL; none for AWS.")
    bucket: str = Field(repr=False, description="The bucket that holds the archive.")
    region: str | None = Field(default=None, repr=False, description="The storage's region.")
    access_key: SecretStr = Field(repr=False, description="The read-only key's name.")
    secret_key: SecretStr = Field(repr=False, description="The read-only key.")
    session_token: SecretStr | None = Field(
        default=None, repr=False, description="The token that goes with a short-lived key."
    )

    def __str__(self) -> str:
        return repr(self)

    def __repr__(self) -> str:
        return "<read-only access to the archive>"


class _AccessKeys:
    """The keys of an access, and new ones from whoever gave it when those are refused."""

    def __init__(self, access: StorageAccess, ask: Callable[[], StorageAccess] | None) -> None:
        self.access = access
        self._ask = ask

    def __call__(self, renew: bool) -> Keys:
        if renew and self._ask is not None:
            try:
                self.access = self._ask()
            except OutsidePlatformError:
                self._ask = None  # a worker of a cluster, which has only what it was given
        access = self.access
        return Keys(
            bucket=access.bucket,
            access_key=access.access_key.get_secret_value(),
            secret_key=access.secret_key.get_secret_value(),
            endpoint=access.endpoint,
            region=access.region,
            session_token=access.session_token.get_secret_value() if access.session_token else None,
        )


@dataclass(frozen=True)
class _Count:
    """Counts reads of the archive's objects."""

    region: str

    def __call__(self, key: str, requests: int, size: int) -> None:
        dataset = DATASETS.get(key.partition("/")[0], OTHERS)
        usage.add(dataset, self.region, bytes=size, requests=requests)


class ArchiveStorage:
    """Reads objects and parts of objects of the archive's bucket.

    Every failure becomes an ArchiveUnavailableError whose message names no address, bucket or key, and which
    hides the error that it came from.

    :param access: the access to begin with.
    :param ask: gives a new one when the storage refuses it; None for nobody.
    """

    def __init__(self, access: StorageAccess, ask: Callable[[], StorageAccess] | None = None) -> None:
        self._keys = _AccessKeys(access, ask)
        self.source = S3Source(self._keys, count=_Count(access.region or "us-east-1"))

    @property
    def access(self) -> StorageAccess:
        """The access that is used now."""
        return self._keys.access

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
