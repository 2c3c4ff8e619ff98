"""What keys of the broker's open at the real S3 server, who gets them, and how often they are made."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import time
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError
from hubquota.models.scratch import GIB
from hubquota.services.scratch import ScratchSpaces
from romanhub.asdf_blocks import Keys, S3Source
from romanhub.broker.minter import session_name
from romanhub.local.settings import BUCKET, SCRATCH_BUCKET

from tests.platform.broker.conftest import API, SCOPE, Storage, World


def may(client: Any, operation: str, **arguments: Any) -> bool:
    """Whether the server lets a client do something; fails where it answers anything but yes or no."""
    try:
        getattr(client, operation)(**arguments)
    except ClientError as error:
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 403, error
        return False
    return True


def readable(client: Any) -> set[str]:
    """The beginnings of the keys in the bucket that a client can read."""
    wanted = ("index.json", "level2/a.asdf", "early/a.asdf", "team/a.asdf", "elsewhere/a.asdf")
    return {key.partition("/")[0] for key in wanted if may(client, "get_object", Bucket=BUCKET, Key=key)}


async def test_keys_open_what_their_owner_may_read_and_nothing_else(storage: Storage, world: World) -> None:
    ada = storage.client(await world.keys(world.add("ada")))
    bird = storage.client(await world.keys(world.add("bird", "early-birds", "survey-team")))
    assert readable(ada) == {"index.json", "level2"}
    assert readable(bird) == {"index.json", "level2", "early", "team"}
    listing = {"Bucket": BUCKET, "Prefix": "early/"}
    assert (may(ada, "list_objects_v2", **listing), may(bird, "list_objects_v2", **listing)) == (False, True)
    assert not may(ada, "list_objects_v2", Bucket=BUCKET)
    for client in (ada, bird):
        assert not may(client, "put_object", Bucket=BUCKET, Key="level2/b.asdf", Body=b"")
        assert not may(client, "delete_object", Bucket=BUCKET, Key="level2/a.asdf")
        assert not may(client, "put_object", Bucket=SCRATCH_BUCKET, Key="scratch/bird/x", Body=b"")


async def test_an_embargo_ends_by_itself(storage: Storage, world: World) -> None:
    ada = world.add("ada")
    assert "early" not in (await world.keys(ada))["datasets"]
    world.ahead = datetime.fromisoformat("2027-10-01T00:00:00Z") - world.now() + timedelta(seconds=1)
    # By then her account's term is over, and its grace is not what this is about.
    world.ledger.open_account("eve", "explorer", 1, actor="test")
    keys = await world.keys(world.add("eve"))
    assert readable(storage.client(keys)) == {"index.json", "level2", "early"}


async def test_scratch_is_its_owners_alone_and_only_until_its_end(storage: Storage, world: World) -> None:
    ada, bob = world.add("ada"), world.add("bob")
    spaces = ScratchSpaces.sharing(world.ledger)
    one = spaces.make(world.tiers.current(), "ada", person="ada", name="work", gib=1, days=2)
    keys = await world.keys(ada)
    place = keys["scratch"]["work"]
    assert (place["bucket"], place["prefix"], place["writable"]) == (SCRATCH_BUCKET, "scratch/ada/work/", True)
    own = {"Bucket": place["bucket"], "Key": place["prefix"] + "x"}
    hers, his = storage.client(keys), storage.client(await world.keys(bob))
    assert may(hers, "put_object", Body=b"mine", **own)
    assert may(hers, "get_object", **own)
    for operation, more in (("get_object", {}), ("put_object", {"Body": b"his"}), ("delete_object", {})):
        assert not may(his, operation, **own, **more)
    assert not may(his, "list_objects_v2", Bucket=place["bucket"], Prefix="scratch/ada/")
    assert not may(
        his,
        "copy_object",
        Bucket=place["bucket"],
        Key="scratch/bob/x",
        CopySource=f"{place['bucket']}/{own['Key']}",
    )
    # Over its size it can be read and cleared, and not be written.
    spaces.measured(one.id, GIB + 1)
    over = storage.client(await world.keys(ada))
    assert not may(over, "put_object", Body=b"more", **own)
    assert may(over, "get_object", **own)
    assert may(over, "delete_object", **own)
    spaces.release(one.id, person="ada")
    assert (await world.keys(ada))["scratch"] == {}


async def test_a_projects_scratch_is_its_members(storage: Storage, world: World) -> None:
    ada = world.add("ada")
    world.ledger.open_project("deep field", "team", pi="pia", actor="test")
    world.ledger.grant("deep field", 10**12, tier="team", actor="test", reason="A test.", key="grant")
    world.ledger.set_member("deep field", "ada", "member", actor="test")
    ScratchSpaces.sharing(world.ledger).make(
        world.tiers.current(), "deep field", person="ada", name="shared", gib=1, days=1
    )
    keys = await world.keys(ada)
    place = keys["scratch"]["deep field/shared"]
    assert place["prefix"].startswith("scratch/deep_field+")
    own = {"Bucket": place["bucket"], "Key": place["prefix"] + "x"}
    assert may(storage.client(keys), "put_object", Body=b"ours", **own)
    assert not may(storage.client(await world.keys(world.add("bob"))), "get_object", **own)


async def test_all_of_a_persons_processes_have_the_same_keys(world: World) -> None:
    ada = world.add("ada")
    found = await asyncio.gather(*(world.keys(ada) for _ in range(200)))
    assert len({one["access_key"] for one in found}) == len(world.minter.policies) == 1
    # Whoever was refused asks for new ones; those that were made a moment ago are new enough.
    again = (await world.web.post(f"{API}credentials", headers=ada)).json()
    assert again["access_key"] == found[0]["access_key"]
    world.ahead = timedelta(minutes=2)
    fresh = (await world.web.post(f"{API}credentials", headers=ada)).json()
    assert fresh["access_key"] != found[0]["access_key"]
    # They are given out until twenty minutes before their end, and then others are made.
    world.ahead = timedelta(minutes=39)
    assert (await world.keys(ada))["access_key"] == fresh["access_key"]
    world.ahead = timedelta(minutes=41)
    assert (await world.keys(ada))["access_key"] != fresh["access_key"]


async def test_one_person_cannot_have_any_number_of_keys_made(world: World) -> None:
    ada = world.add("ada", "early-birds", "survey-team")
    for query in (["roman-l2"], ["early"], ["team"], ["team", "early"], [""]):
        assert (
            await world.web.get(f"{API}credentials", headers=ada, params={"dataset": query})
        ).status_code == 200
    refused = await world.web.get(f"{API}credentials", headers=ada)
    assert (refused.status_code, refused.json()["title"]) == (429, "Too many keys")
    assert 0 < int(refused.headers["retry-after"]) <= 61
    assert (await world.web.get(f"{API}credentials", headers=world.add("bob"))).status_code == 200
    world.ahead = timedelta(minutes=2)
    assert (await world.web.get(f"{API}credentials", headers=ada)).status_code == 200


async def test_keys_can_be_for_some_data_sets_alone(storage: Storage, world: World) -> None:
    ada = world.add("ada", "survey-team")
    assert readable(storage.client(await world.keys(ada, dataset="team"))) == {"team"}
    assert readable(storage.client(await world.keys(ada, dataset=""))) == set()
    refused = await world.web.get(f"{API}credentials", headers=ada, params={"dataset": "early"})
    assert refused.status_code == 403 and "no data set early that you may read" in refused.json()["detail"]


async def test_aws_libraries_are_answered_in_their_form(storage: Storage, world: World) -> None:
    answer = await world.web.get(f"{API}credentials/process", headers=world.add("ada"))
    said = answer.json()
    assert set(said) == {"Version", "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"}
    assert said["Version"] == 1
    left = datetime.fromisoformat(said["Expiration"]) - world.now()
    assert timedelta(minutes=55) < left <= timedelta(hours=1)
    assert answer.headers["cache-control"] == "no-store"


async def test_who_is_suspended_or_gone_gets_none(world: World) -> None:
    ada, bob = world.add("ada"), world.add("bob")
    await world.keys(ada)
    (allocation,) = world.ledger.allocations("ada")
    world.ledger.suspend(allocation.id, actor="olga", reason="Something to look into.", key="1")
    refused = await world.web.get(f"{API}credentials", headers=ada)
    assert refused.status_code == 403
    assert refused.headers["content-type"] == "application/problem+json"
    assert "suspended" in refused.json()["detail"] and "Something to look into" in refused.json()["detail"]
    # A project does not open the door to somebody who is suspended.
    world.ledger.open_project("deep", "team", pi="ada", actor="test")
    assert (await world.web.get(f"{API}credentials", headers=ada)).status_code == 403
    assert (await world.web.get(f"{API}credentials", headers=bob)).status_code == 200
    stranger = {"Authorization": f"Bearer {world.hub.add('stranger', scopes=(SCOPE,))}"}
    refused = await world.web.get(f"{API}credentials", headers=stranger)
    assert refused.status_code == 403 and "Start a server once" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 401), ({"Authorization": "Basic YTpi"}, 401), ({"Authorization": "Bearer nobodys"}, 401)],
)
async def test_who_has_no_token_gets_none(world: World, headers: dict[str, str], status: int) -> None:
    answer = await world.web.get(f"{API}credentials", headers=headers)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (status, "Bearer")


async def test_a_token_without_the_scope_and_a_service_get_none(world: World) -> None:
    for token in (world.hub.add("ada"), world.hub.add("robot", scopes=(SCOPE,), kind="service")):
        answer = await world.web.get(f"{API}credentials", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 403
    assert not world.minter.policies


async def test_where_hub_or_ledger_do_not_answer_there_are_none(world: World) -> None:
    ada = world.add("ada")
    world.hub.broken = httpx.ConnectError("away")
    answer = await world.web.get(f"{API}credentials", headers=ada)
    assert (answer.status_code, answer.json()["title"]) == (503, "The hub is not answering")
    world.hub.broken = None
    world.ledger._engine.dispose()
    with world.ledger._engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE account RENAME TO away")
    answer = await world.web.get(f"{API}credentials", headers=ada)
    assert (answer.status_code, answer.json()["title"]) == (503, "The ledger is not answering")
    assert not world.minter.policies


async def test_what_was_read_is_counted_once(world: World) -> None:
    ada = world.add("ada")
    report = {
        "id": "0123456789abcdef",
        "cluster": "c1",
        "reads": [{"dataset": "roman-l2", "region": "us-east-1", "bytes": 5, "requests": 1}],
    }
    for counted in (True, False):
        answer = await world.web.post(f"{API}usage", headers=ada, json=report)
        assert answer.json() == {"counted": counted}
    unknown = {**report, "id": "f" * 16, "reads": [{**report["reads"][0], "dataset": "nothing"}]}  # type: ignore[dict-item]
    assert (await world.web.post(f"{API}usage", headers=ada, json=unknown)).status_code == 403
    assert (await world.web.post(f"{API}usage", headers=ada, json={**report, "more": 1})).status_code == 422


def signed_again(token: str, key: str, **claims: int) -> str:
    """A session token of the local server's with other claims, signed with its own key."""

    def text(content: bytes) -> str:
        return base64.urlsafe_b64encode(content).rstrip(b"=").decode()

    head, body, _ = token.split(".")
    content = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))) | claims
    told = f"{head}.{text(json.dumps(content).encode())}"
    return f"{told}.{text(hmac.digest(base64.b64decode(key), told.encode(), 'sha256'))}"


async def test_the_server_refuses_keys_past_their_end(storage: Storage, world: World) -> None:
    # No key works for less than a quarter of an hour, so this one is made older with the server's own signature.
    keys = await world.keys(world.add("ada"))
    token, signing = keys["session_token"], storage.settings.secrets.archive_signing
    now = int(world.now().timestamp())
    for end, read in ((now + 600, {"index.json", "level2"}), (now - 1, set())):
        aged = signed_again(token, signing, exp=end)
        assert readable(storage.client(keys | {"session_token": aged})) == read


async def test_a_key_that_ends_in_the_middle_of_a_read_is_renewed(storage: Storage, world: World) -> None:
    # The reader is not told when its key ends, so it finds out as it does where the storage's clock is ahead.
    given = await world.keys(world.add("ada"))
    signing, end = storage.settings.secrets.archive_signing, int(world.now().timestamp()) + 3
    ending = given | {"session_token": signed_again(given["session_token"], signing, exp=end)}
    asked: list[bool] = []

    def keys(refused: bool) -> Keys:
        asked.append(refused)
        now = given if refused else ending
        opens = {name: now[name] for name in ("access_key", "secret_key", "session_token")}
        return Keys(BUCKET, endpoint=storage.settings.archive_endpoint, region="us-east-1", **opens)

    source = S3Source(keys)
    [first] = source.read_ranges("level2/a.asdf", [(0, 6)])
    deadline = time.monotonic() + 60
    while readable(storage.client(ending)):
        assert time.monotonic() < deadline, "the server goes on taking a key that has ended"
        await asyncio.sleep(0.2)
    [second] = source.read_ranges("level2/a.asdf", [(6, 13)])
    assert bytes(first) + bytes(second) == b"level2/a.asdf"
    assert asked == [False, True]


@pytest.mark.parametrize("person", ["ada", "a", "ada@example.org", "ada lovelace", "Ádá", "x" * 200, "a=b"])
def test_the_storages_log_names_the_person(storage: Storage, world: World, person: str) -> None:
    name = session_name(person)
    assert 2 <= len(name) <= 64
    assert name.startswith(person) if person in ("ada", "ada@example.org") else "=" in name
    policy = json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}
    )
    assert not readable(storage.client(world.minter.mint(person, policy)))
    arn = f"arn:aws:sts::000000000000:assumed-role/romanhub-data/{name}"
    line = storage.log.wait_for(lambda line: line["requester_arn"] == arn and line["status"] == 403)
    assert (line["bucket"], line["error_code"]) == (BUCKET, "AccessDenied")
