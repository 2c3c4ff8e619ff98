"""Files in somebody's scratch, read with short-lived keys of their own, which open nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from romanhub.community.errors import RefusedError, UnavailableError
from romanhub.models.credentials import Credentials


@dataclass(frozen=True)
class Listed:
    """A file as a listing has it."""

    path: str
    size: int


class Scratch(Protocol):
    """A scratch space to read from. All raise UnavailableError where the storage does not answer."""

    def listed(self, folder: str) -> Iterator[Listed]:
        """Return the files in a folder, by path within it."""
        ...

    def fetch(self, folder: str, path: str, into: Path, moved: Callable[[int], object]) -> None:
        """Write a file of a folder onto the disk, and tell of so many bytes more as they come.

        Raises RefusedError where it is not there any more.
        """
        ...


class OwnScratch:
    """`Scratch` in S3."""

    def __init__(self, keys: Credentials, name: str) -> None:
        """Read a scratch space.

        Args:
            keys: its owner's.
            name: what its owner calls it, such as `work`, or `project/work`.

        Raises:
        ------
        RefusedError
            Where there is none of that name.
        """
        place = keys.scratch.get(name)
        if place is None:
            there = ", ".join(keys.scratch) or "none"
            raise RefusedError(
                f"You have no scratch space '{name[:100]}' that is open. Those that you have: {there}."
            )
        self._bucket, self._prefix = place.bucket, place.prefix
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=keys.endpoint,
            region_name=place.region,
            aws_access_key_id=keys.access_key.get_secret_value(),
            aws_secret_access_key=keys.secret_key.get_secret_value(),
            aws_session_token=keys.session_token.get_secret_value() or None,
            config=Config(
                retries={"mode": "standard", "total_max_attempts": 4},
                connect_timeout=5,
                read_timeout=60,
                s3={"addressing_style": "path" if keys.endpoint else "auto"},
            ),
        )

    def listed(self, folder: str) -> Iterator[Listed]:
        """Return the files in a folder, by path within it."""
        start = f"{self._prefix}{folder}"
        try:
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=start)
            for page in pages:
                for one in page.get("Contents", ()):
                    path = one["Key"].removeprefix(start)
                    # Some programs keep an empty object for a folder.
                    if path and not path.endswith("/"):
                        yield Listed(path, int(one["Size"]))
        except (ClientError, BotoCoreError) as error:
            raise _unavailable() from error

    def fetch(self, folder: str, path: str, into: Path, moved: Callable[[int], object]) -> None:
        """Write a file of a folder onto the disk, and tell of so many bytes more as they come.

        Raises RefusedError where it is not there any more.
        """
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=f"{self._prefix}{folder}{path}")
            with into.open("wb") as file:
                for piece in answer["Body"].iter_chunks(1 << 20):
                    moved(file.write(piece))
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in ("404", "NoSuchKey"):
                raise RefusedError(f"{path} is not there any more. Publish when nothing writes there.") from None
            raise _unavailable() from error
        except BotoCoreError as error:
            raise _unavailable() from error


def _unavailable() -> UnavailableError:
    return UnavailableError(
        "Your scratch cannot be read just now. Run it again in a minute: it goes on from there."
    )
