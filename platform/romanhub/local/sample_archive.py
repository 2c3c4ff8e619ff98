"""Put the sample archive into the local S3 server, where it is not there yet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from romanhub.local.environments import SetupError
from romanhub.local.settings import BUCKET, COMMUNITY_BUCKET, REGION, SCRATCH_BUCKET, Settings
from romanhub.models.archive import (
    FILE_INDEX_ENDING,
    INDEX_KEY,
    ArchiveIndex,
    CatalogRecord,
    ExposureRecord,
    HatsFile,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: The sample archive that comes with the project.
SMALL = Path(__file__).resolve().parents[1] / "sample" / "small"


def connect(settings: Settings) -> S3Client:
    """A client of the local archive server that may write."""
    client: Any = boto3.client(
        "s3",
        endpoint_url=settings.archive_endpoint,
        region_name=REGION,
        aws_access_key_id="operator",
        aws_secret_access_key=settings.secrets.archive_operator,
        # The server accepts connections a moment before its volumes are ready to be written.
        config=Config(retries={"mode": "standard", "total_max_attempts": 12}),
    )
    return client  # type: ignore[no-any-return]


def publish(folder: Path, client: S3Client, *, progress: Callable[[int, int], None]) -> int:
    """Bring the bucket to what the folder's index lists; returns how many objects were sent.

    The index is sent last: a reader sees the archive as it was, or as it will be.

    Parameters
    ----------
    folder
        A sample archive, as `romanhub sample make` writes it.
    client
        Writes the bucket.
    progress
        Called with the bytes that are there and the bytes in all.

    Raises
    ------
    SetupError
        Where the server refuses or its disk is full.
    """
    index = ArchiveIndex.model_validate_json((folder / INDEX_KEY).read_bytes())
    records: list[ExposureRecord | CatalogRecord | HatsFile] = [*index.exposures, *index.catalogs]
    records += [file for catalog in index.hats for file in catalog.files]
    wanted = {record.key: record for record in records}
    total = sum(record.size for record in wanted.values())
    sent = done = 0
    try:
        there_are = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
        for bucket in (BUCKET, SCRATCH_BUCKET, COMMUNITY_BUCKET):
            if bucket not in there_are:
                client.create_bucket(Bucket=bucket)
        there = _checksums(client)
        for key, record in wanted.items():
            if there.get(key) != record.sha256:
                with (folder / key).open("rb") as file:
                    client.put_object(Bucket=BUCKET, Key=key, Body=file, Metadata={"sha256": record.sha256})
                sent += 1
                # Where an image has an index of its file, it is of that very file.
                beside = folder / (key + FILE_INDEX_ENDING)
                if beside.exists():
                    client.put_object(Bucket=BUCKET, Key=key + FILE_INDEX_ENDING, Body=beside.read_bytes())
            done += record.size
            progress(done, total)
        if sent or INDEX_KEY not in there:
            client.put_object(Bucket=BUCKET, Key=INDEX_KEY, Body=(folder / INDEX_KEY).read_bytes())
    except (BotoCoreError, ClientError) as error:
        raise SetupError(f"The archive server did not take the sample archive: {error}") from None
    return sent


def _checksums(client: S3Client) -> dict[str, str]:
    """The checksum of each object in the bucket; empty for one that has none."""
    found: dict[str, str] = {}
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for entry in page.get("Contents", []):
            head = client.head_object(Bucket=BUCKET, Key=entry["Key"])
            found[entry["Key"]] = head.get("Metadata", {}).get("sha256", "")
    return found
