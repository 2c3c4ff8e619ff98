"""The community's bucket on the real S3 server, with the key that the platform gives the portal."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError
from romanhub.community.errors import NoSuchEntryError, UnavailableError
from romanhub.community.inspector import Inspector
from romanhub.community.services.catalogue import Catalogue
from romanhub.community.settings import CommunitySettings
from romanhub.community.storage.bucket import CommunityBucket
from romanhub.local.settings import BUCKET, COMMUNITY_BUCKET, SCRATCH_BUCKET

from tests.platform.broker.conftest import Storage, storage
from tests.platform.community.hostile import code, markdown, notebook, printed
from tests.platform.community.shelf import Shelf, sidecar

__all__ = ["storage"]  # the fixture


@pytest.fixture(scope="module")
def settings(storage: Storage) -> CommunitySettings:
    return CommunitySettings(
        database_url="sqlite:///unused",
        endpoint=storage.settings.archive_endpoint,
        access_key="community",
        secret_key=storage.settings.secrets.archive_community,
    )


@pytest.fixture
def bucket(settings: CommunitySettings) -> Iterator[CommunityBucket]:
    yield CommunityBucket(settings)


def test_a_file_is_kept_by_its_content(bucket: CommunityBucket, storage: Storage) -> None:
    digest = bucket.put(b"a file")
    assert bucket.put(b"a file") == digest
    assert bucket.get(digest) == b"a file"
    listed = storage.client().list_objects_v2(Bucket=COMMUNITY_BUCKET, Prefix="sha256/")["Contents"]
    assert f"sha256/{digest[:2]}/{digest}" in [one["Key"] for one in listed]
    bucket.drop(digest)
    bucket.drop(digest)
    assert not bucket.has(digest)
    with pytest.raises(NoSuchEntryError):
        bucket.get(digest)


def test_another_file_than_the_one_that_was_kept_is_not_given_out(
    bucket: CommunityBucket, storage: Storage
) -> None:
    digest = bucket.put(b"what was kept")
    storage.client().put_object(Bucket=COMMUNITY_BUCKET, Key=f"sha256/{digest[:2]}/{digest}", Body=b"another")
    with pytest.raises(UnavailableError, match="another file"):
        bucket.get(digest)


def test_the_portals_key_opens_its_own_bucket_alone(settings: CommunitySettings, storage: Storage) -> None:
    keys = {
        "access_key": "community",
        "secret_key": storage.settings.secrets.archive_community,
        "session_token": None,
    }
    client = storage.client(keys)  # type: ignore[arg-type]
    for bucket in (BUCKET, SCRATCH_BUCKET):
        with pytest.raises(ClientError, match="AccessDenied"):
            client.put_object(Bucket=bucket, Key="level2/b.asdf", Body=b"b")
        with pytest.raises(ClientError, match="AccessDenied"):
            client.list_objects_v2(Bucket=bucket)


def test_a_storage_that_does_not_answer_is_told(settings: CommunitySettings) -> None:
    down = CommunityBucket(settings.model_copy(update={"endpoint": "http://127.0.0.1:9"}))
    with pytest.raises(UnavailableError, match="cannot be reached"):
        down.has("0" * 64)


def test_a_notebook_goes_all_the_way(shelf: Shelf, bucket: CommunityBucket) -> None:
    """The real inspector, the real bucket, each kind of database."""
    catalogue = Catalogue(shelf.engine, bucket, Inspector(), lambda: shelf.now)
    content = json.dumps(
        notebook(markdown("# Depth of a *stack*"), code("print(depth)", printed("25.3")))
    ).encode()
    catalogue.draft("ada", "depth", content, sidecar(tags=["stars"]), {"file": "depth.ipynb"})
    entry = catalogue.publish("ada", "depth")
    assert entry.newest is not None
    assert "<h1>Depth of a <em>stack</em></h1>" in catalogue.page(entry.newest)
    assert catalogue.content(entry.newest) == content
    assert [card.name for card in catalogue.search("stack").cards] == ["depth"]
