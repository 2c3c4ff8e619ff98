"""Where data sets are read from when the index is built: buckets, or a folder that stands for them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class SourceError(Exception):
    """A data set could not be read; the message says which object, and why."""


@dataclass(frozen=True)
class Object:
    """An object of a bucket."""

    key: str
    #: Changes when the object does.
    tag: str
    #: In bytes.
    size: int


class Source(Protocol):
    """Objects by bucket and key."""

    def look(self, bucket: str, prefix: str) -> list[Object]:
        """Return the objects whose keys begin with a prefix, by key; none where there is no such bucket."""
        ...

    def read(self, bucket: str, key: str) -> bytes:
        """Return an object's content. Raises SourceError."""
        ...

    def fetch(self, bucket: str, key: str, path: Path) -> None:
        """Write an object's content into a file. Raises SourceError."""
        ...


class FolderSource:
    """A folder for each bucket, or one folder for every bucket."""

    def __init__(self, root: Path, *, one_for_all: bool = False) -> None:
        self._root, self._one = root, one_for_all

    def look(self, bucket: str, prefix: str) -> list[Object]:
        """See Source."""
        root = self._of(bucket)
        found = []
        for path in root.rglob("*") if root.is_dir() else ():
            key = path.relative_to(root).as_posix()
            if path.is_file() and key.startswith(prefix):
                status = path.stat()
                found.append(Object(key, f"{status.st_mtime_ns}-{status.st_size}", status.st_size))
        return sorted(found, key=lambda one: one.key)

    def read(self, bucket: str, key: str) -> bytes:
        """See Source."""
        try:
            return (self._of(bucket) / key).read_bytes()
        except OSError as error:
            raise SourceError(f"{bucket}/{key} could not be read: {error.strerror}") from None

    def fetch(self, bucket: str, key: str, path: Path) -> None:
        """See Source."""
        path.write_bytes(self.read(bucket, key))

    def _of(self, bucket: str) -> Path:
        return self._root if self._one else self._root / bucket


class BucketSource:
    """An S3 server."""

    def __init__(self, client: S3Client) -> None:
        self._client = client

    @classmethod
    def at(
        cls, endpoint: str | None, *, region: str, access_key: str | None, secret_key: str | None
    ) -> BucketSource:
        """Return the buckets of a server; without keys, boto3 finds its own as it does everywhere."""
        client: Any = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name=region,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            # A local server answers, after a crash, some seconds before its volumes can be read.
            config=Config(retries={"mode": "standard", "total_max_attempts": 12}),
        )
        return cls(client)

    def look(self, bucket: str, prefix: str) -> list[Object]:
        """See Source."""
        found = []
        try:
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                found += [Object(one["Key"], one["ETag"], one["Size"]) for one in page.get("Contents", [])]
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "NoSuchBucket":
                return []
            raise SourceError(f"{bucket}/{prefix} could not be listed: {error}") from None
        except BotoCoreError as error:
            raise SourceError(f"{bucket}/{prefix} could not be listed: {error}") from None
        return found

    def read(self, bucket: str, key: str) -> bytes:
        """See Source."""
        try:
            return self._client.get_object(Bucket=bucket, Key=key)["Body"].read()
        except (BotoCoreError, ClientError) as error:
            raise SourceError(f"{bucket}/{key} could not be read: {error}") from None

    def fetch(self, bucket: str, key: str, path: Path) -> None:
        """See Source."""
        try:
            self._client.download_file(bucket, key, str(path))
        except (BotoCoreError, ClientError) as error:
            raise SourceError(f"{bucket}/{key} could not be read: {error}") from None
