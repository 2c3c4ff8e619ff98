"""The community's bucket: files by their content, and notebooks as pages.

Objects are `sha256/<aa>/<digest>`, where `<aa>` are the digest's first two letters, and
`pages/<renderer>/<digest>.html`, so that another renderer makes other pages.

The files of a data product keep their names, as what reads them needs: they are in the folder
`products/<entry>/<digest>/`, whose digest is of the list of its files with their checksums. So the same files are
the same objects, and a folder never changes.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import boto3
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from romanhub.community.errors import NoSuchEntryError, UnavailableError
from romanhub.community.rendering import RENDERER
from romanhub.community.settings import CommunitySettings

#: What the storage answers with where there is no such object.
_MISSING = ("404", "NoSuchKey", "NotFound")

#: Where the folders of data products are. Keys of the broker's may open these, and nothing else of the bucket.
PRODUCTS = "products/"

#: Files up to this size, in bytes, are sent in one request: what breaks off leaves nothing behind.
_IN_ONE = TransferConfig(multipart_threshold=1 << 30, multipart_chunksize=1 << 28, use_threads=False)


class Files(Protocol):
    """What the catalogue asks of a bucket. All raise UnavailableError where the storage does not answer."""

    def put(self, content: bytes) -> str:
        """Keep a file; return its digest."""
        ...

    def get(self, digest: str) -> bytes:
        """Return a file; raises NoSuchEntryError where there is none."""
        ...

    def has(self, digest: str) -> bool:
        """Whether there is a file of this digest."""
        ...

    def drop(self, digest: str) -> None:
        """Take a file away, with its page, or a product's folder; of one that is not there, nothing."""
        ...

    def put_in_folder(
        self, key: str, path: Path, digest: str, moved: Callable[[int], object] | None = None
    ) -> bool:
        """Keep a file of a product at its key, unless it is there; return whether it was brought now.

        Of so many bytes more, `moved` is told as they go.
        """
        ...

    def put_page(self, digest: str, page: str) -> None:
        """Keep a notebook as a page."""
        ...

    def get_page(self, digest: str) -> str | None:
        """Return a notebook as a page; None where this renderer has made none."""
        ...


class CommunityBucket:
    """`Files` in S3."""

    def __init__(self, settings: CommunitySettings) -> None:
        """Use a bucket that is there.

        Args:
            settings: where it is.
        """
        self.name = settings.bucket
        key, secret = settings.access_key, settings.secret_key
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=settings.endpoint,
            region_name=settings.region,
            aws_access_key_id=key.get_secret_value() if key else None,
            aws_secret_access_key=secret.get_secret_value() if secret else None,
            config=Config(
                retries={"mode": "standard", "total_max_attempts": 4}, connect_timeout=5, read_timeout=30
            ),
        )

    def put(self, content: bytes) -> str:
        """Keep a file; return its digest."""
        digest = sha256(content).hexdigest()
        # What is there is the same: its name is its content.
        if not self.has(digest):
            self._ask("put_object", Key=_key(digest), Body=content, ContentType="application/octet-stream")
        return digest

    def get(self, digest: str) -> bytes:
        """Return a file; raises NoSuchEntryError where there is none."""
        found = self._read(_key(digest))
        if found is None:
            raise NoSuchEntryError("The file of this version is not kept any more.")
        if sha256(found).hexdigest() != digest:
            raise UnavailableError("The storage gave another file than the one that was kept. Tell the operators.")
        return found

    def has(self, digest: str) -> bool:
        """Whether there is a file of this digest."""
        return self._ask("head_object", Key=_key(digest)) is not None

    def drop(self, digest: str) -> None:
        """Take a file away, with its page, or a product's folder; of one that is not there, nothing."""
        if digest.startswith(PRODUCTS):
            return self._drop_folder(digest)
        for key in (_key(digest), _page_key(digest)):
            self._ask("delete_object", Key=key)
        return None

    def put_in_folder(
        self, key: str, path: Path, digest: str, moved: Callable[[int], object] | None = None
    ) -> bool:
        """Keep a file of a product at its key, unless it is there; return whether it was brought now."""
        there = self._ask("head_object", Key=key)
        size = path.stat().st_size
        if there is not None and (there["ContentLength"], there["Metadata"].get("sha256")) == (size, digest):
            return False
        with path.open("rb") as file:
            try:
                # It is there whole or not at all, whatever happens meanwhile.
                self._client.upload_fileobj(
                    file,
                    self.name,
                    key,
                    ExtraArgs={"Metadata": {"sha256": digest}},
                    Config=_IN_ONE,
                    Callback=moved,
                )
            except (ClientError, BotoCoreError, Boto3Error) as error:
                raise _unavailable() from error
        return True

    def _drop_folder(self, folder: str) -> None:
        more: dict[str, str] = {}
        while True:
            answer = self._ask("list_objects_v2", Prefix=folder, **more)
            for one in (answer or {}).get("Contents", ()):
                self._ask("delete_object", Key=one["Key"])
            if not answer or not answer.get("IsTruncated"):
                return
            more = {"ContinuationToken": answer["NextContinuationToken"]}

    def put_page(self, digest: str, page: str) -> None:
        """Keep a notebook as a page."""
        self._ask("put_object", Key=_page_key(digest), Body=page.encode(), ContentType="text/html; charset=utf-8")

    def get_page(self, digest: str) -> str | None:
        """Return a notebook as a page; None where this renderer has made none."""
        found = self._read(_page_key(digest))
        return None if found is None else found.decode()

    def _read(self, key: str) -> bytes | None:
        answer = self._ask("get_object", Key=key)
        if answer is None:
            return None
        try:
            found: bytes = answer["Body"].read()
        except BotoCoreError as error:
            raise _unavailable() from error
        return found

    def _ask(self, what: str, **given: Any) -> Any:
        """Return what the storage answers; None where there is no such object."""
        try:
            return getattr(self._client, what)(Bucket=self.name, **given)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in _MISSING:
                return None
            raise _unavailable() from error
        except BotoCoreError as error:
            raise _unavailable() from error


def _key(digest: str) -> str:
    return f"sha256/{digest[:2]}/{digest}"


def _page_key(digest: str) -> str:
    return f"pages/{RENDERER}/{digest}.html"


def _unavailable() -> UnavailableError:
    return UnavailableError("The community's files cannot be reached just now. Try again in a minute.")
