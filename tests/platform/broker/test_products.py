"""Data products at the real S3 server: copied with their owner's keys, read with keys that open nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hubquota.services.scratch import ScratchSpaces
from romanhub.community.errors import RefusedError
from romanhub.community.products.scratch import OwnScratch
from romanhub.local.settings import COMMUNITY_BUCKET, SCRATCH_BUCKET
from romanhub.models.community import Act
from romanhub.models.credentials import Credentials
from romanhub.models.products import Manifest

from tests.platform.broker.conftest import API, Storage, World
from tests.platform.broker.test_broker import may
from tests.platform.community.product_files import ABOUT, UNITS, photo_z

NAME = "community.photo-z"


async def own(world: World, headers: dict[str, str]) -> Credentials:
    """Keys that open somebody's scratch and nothing else, as the portal asks for them."""
    return Credentials.model_validate(await world.keys(headers, dataset=""))


async def publish(storage: Storage, world: World, *, seed: int = 1, name: str = "photo-z") -> None:
    """Ada publishes what she has written into her scratch."""
    ada = {"Authorization": f"Bearer {world.hub.add('ada', scopes=('access:services!service=broker',))}"}
    if world.ledger.account("ada") is None:
        ada = world.add("ada")
        spaces = ScratchSpaces.sharing(world.ledger)
        spaces.make(world.tiers.current(), "ada", person="ada", name="work", gib=1, days=2)
    keys = await own(world, ada)
    client = storage.client(await world.keys(ada, dataset=""))
    for path, content in (("first.parquet", photo_z(seed=seed)), ("README.md", b"# Redshifts")):
        client.put_object(Bucket=SCRATCH_BUCKET, Key=f"scratch/ada/work/photoz/{path}", Body=content)
    client.put_object(Bucket=SCRATCH_BUCKET, Key="scratch/ada/work/photoz/", Body=b"")
    about = ABOUT | {"columns": UNITS}
    draft = world.catalogue.products.draft
    await asyncio.to_thread(draft, "ada", name, OwnScratch(keys, "work"), "photoz", about)


async def test_a_product_is_read_by_name_with_a_key_for_it_alone(storage: Storage, world: World) -> None:
    await publish(storage, world)
    bob = world.add("bob")
    draft = world.catalogue.entry("photo-z", viewer="ada").pending
    assert draft is not None
    refused = await world.web.get(f"{API}credentials", headers=bob, params={"dataset": NAME})
    assert refused.status_code == 403, "a draft is nobody's to read"
    await asyncio.to_thread(world.catalogue.publish, "ada", "photo-z")

    keys = await world.keys(bob, dataset=NAME, scratch="false")
    found, his = keys["products"][NAME], storage.client(keys)
    assert (keys["datasets"], keys["scratch"], found["format"], found["version"]) == ({}, {}, "parquet", 1)
    place = {"Bucket": found["bucket"], "Key": f"{found['prefix']}first.parquet"}
    assert his.get_object(**place)["Body"].read() == photo_z()
    manifest = Manifest.model_validate_json(
        his.get_object(Bucket=found["bucket"], Key=found["manifest"])["Body"].read()
    )
    assert [one.path for one in manifest.files] == ["README.md", "first.parquet"]
    assert may(his, "list_objects_v2", Bucket=COMMUNITY_BUCKET, Prefix=found["prefix"])
    for prefix in ("", "products/", "products/photo-z/", "sha256/"):
        assert not may(his, "list_objects_v2", Bucket=COMMUNITY_BUCKET, Prefix=prefix)
    assert not may(his, "put_object", Body=b"", **place)
    assert not may(his, "delete_object", **place)
    assert not may(his, "get_object", Bucket=SCRATCH_BUCKET, Key="scratch/ada/work/photoz/first.parquet")

    # Nobody's usual keys have it: all products would not fit into one key's rights.
    usual = await world.keys(bob)
    assert usual["products"] == {}
    assert not may(storage.client(usual), "get_object", **place)
    listed = (await world.web.get(f"{API}products", headers=bob)).json()
    assert [(name, one["version"]) for name, one in listed.items()] == [(NAME, 1)]
    report = {
        "id": "r" * 20, "reads": [{"dataset": f"{NAME}.v1", "region": "us-east-1", "bytes": 5, "requests": 1}],
    }  # fmt: skip
    counted = await world.web.post(f"{API}usage", headers=bob, json=report)
    assert counted.json() == {"counted": True}


async def test_versions_drafts_and_the_end(storage: Storage, world: World) -> None:
    await publish(storage, world)
    await asyncio.to_thread(world.catalogue.publish, "ada", "photo-z")
    await publish(storage, world, seed=2)
    bob = world.add("bob")
    first = await world.keys(bob, dataset=NAME)
    draft = world.catalogue.entry("photo-z", viewer="ada").pending
    assert draft is not None
    hidden = {"Bucket": COMMUNITY_BUCKET, "Key": f"{draft.details['folder']}first.parquet"}
    assert storage.client().head_object(**hidden)["ContentLength"] == len(photo_z(seed=2))
    assert not may(storage.client(first), "get_object", **hidden)
    await asyncio.to_thread(world.catalogue.publish, "ada", "photo-z")
    both = await world.keys(bob, dataset=[NAME, f"{NAME}.v1"])
    assert [both["products"][one]["version"] for one in (NAME, f"{NAME}.v1")] == [2, 1]
    assert both["products"][f"{NAME}.v1"]["prefix"] == first["products"][NAME]["prefix"]

    act = world.catalogue.act
    await asyncio.to_thread(act, "ada", (), "photo-z", Act.DEPRECATE, "The filters were wrong.")
    assert (await world.keys(bob, dataset=NAME))["products"][NAME]["deprecated"] == "The filters were wrong."
    await asyncio.to_thread(act, "ada", (), "photo-z", Act.WITHDRAW, "All of it was wrong.")
    gone = await world.web.get(f"{API}credentials", headers=bob, params={"dataset": NAME})
    assert gone.status_code == 403
    assert "was withdrawn, and its files are gone: All of it was wrong." in gone.json()["detail"]
    with pytest.raises(ClientError):
        storage.client().head_object(Bucket=COMMUNITY_BUCKET, Key=f"{first['products'][NAME]['prefix']}README.md")


async def test_what_breaks_off_at_the_server_makes_the_same_objects(
    storage: Storage, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket: Any = world.catalogue.store.bucket
    put, brought = bucket.put_in_folder, []

    def torn(key: str, *given: Any) -> bool:
        if brought:
            raise KeyboardInterrupt
        brought.append(key)
        return bool(put(key, *given))

    monkeypatch.setattr(bucket, "put_in_folder", torn)
    with pytest.raises(KeyboardInterrupt):
        await publish(storage, world, seed=3, name="torn")
    monkeypatch.undo()
    again = []
    monkeypatch.setattr(bucket, "put_in_folder", lambda *given: again.append(put(*given)) or again[-1])
    await publish(storage, world, seed=3, name="torn")
    assert again == [False, True, True], "one was there; the other one and the manifest were brought"


async def test_nobody_publishes_what_is_not_theirs(storage: Storage, world: World) -> None:
    await publish(storage, world)
    keys = await own(world, world.add("bob"))
    for name in ("work", "ada/work", "../ada/work"):
        with pytest.raises(RefusedError, match="You have no scratch space"):
            OwnScratch(keys, name)
