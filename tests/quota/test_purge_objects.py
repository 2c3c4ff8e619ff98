"""Scratch prefixes in a bucket of a real S3 server (SeaweedFS), from the plan to the way back."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from hubquota.models.purge import PurgeError, Stage
from hubquota.models.purge_settings import PurgeSettings
from hubquota.models.requests import Actor
from hubquota.purge.objects import Options
from hubquota.services.ledger import Ledger
from hubquota.services.purge import Purge
from hubquota.storage.engine import make_engine
from pydantic import ValidationError

from tests.quota.purge_support import DAY, expire, make_purge, make_settings, plan_and_approve
from tests.quota.support import Clock, eventually
from tests.support.ports import free_port

KEY, SECRET, BUCKET = "purge-key-4711", "purge-secret-0815", "scratch"
Content = dict[str, tuple[bytes, str, dict[str, str]]]


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    beside = Path(sys.executable).with_name("weed")
    weed = str(beside) if beside.exists() else shutil.which("weed")
    if weed is None:
        pytest.skip("SeaweedFS (weed) is not installed.")
    folder = tmp_path_factory.mktemp("weed")
    credentials = [{"accessKey": KEY, "secretKey": SECRET}]
    identity = {"name": "purge", "credentials": credentials, "actions": ["Admin", "Read", "List", "Write"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    names = ("master", "volume", "filer", "s3", "admin")
    ports = {name: free_port() for name in (*names, *(f"{name}.grpc" for name in names))}
    flags = [
        f"-{name.replace('.grpc', '.port.grpc') if 'grpc' in name else f'{name}.port'}={port}"
        for name, port in ports.items()
    ]
    with (folder / "out").open("wb") as log:
        process = subprocess.Popen(
            [
                *(weed, f"-logdir={folder}", "mini", f"-dir={folder / 'data'}", "-ip=127.0.0.1"),
                *("-ip.bind=127.0.0.1", "-master.telemetry=false", "-webdav=false", "-admin.ui=false"),
                *("-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.config={folder / 's3.json'}", *flags),
            ],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    address = f"http://127.0.0.1:{ports['s3']}"

    def answers() -> bool:
        if process.poll() is not None:
            pytest.fail(f"The S3 server ended by itself:\n{(folder / 'out').read_text()[-3000:]}")
        try:
            client_of(address).create_bucket(Bucket=BUCKET)
        except (BotoCoreError, ClientError):
            return False
        return True

    try:
        eventually(answers, "an answer from the S3 server", within=90)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def client_of(endpoint: str) -> Any:
    config = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 0})
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
        config=config,
    )


@pytest.fixture
def client(endpoint: str) -> Any:
    client = client_of(endpoint)
    for key in content(client, ""):
        client.delete_object(Bucket=BUCKET, Key=key)
    for name in ("ada", "adam"):
        for number in range(12):
            client.put_object(
                Bucket=BUCKET,
                Key=f"scratch/{name}/run {number}/ünï.bin",
                Body=bytes([number]) * 5_000 * number,
                ContentType="application/x-roman",
                Metadata={"number": str(number)},
            )
    return client


def content(client: Any, prefix: str) -> Content:
    found: Content = {}
    for one in client.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", []):
        answer = client.get_object(Bucket=BUCKET, Key=one["Key"])
        metadata = {name: value for name, value in answer["Metadata"].items() if not name.startswith("hubquota")}
        found[one["Key"]] = (answer["Body"].read(), answer["ContentType"], metadata)
    return found


class Crash(BaseException):
    pass


@pytest.fixture
def purge(
    endpoint: str,
    client: Any,
    clock: Clock,
    tmp_path: Path,
    sqlite_template: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Purge:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    engine = make_engine(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'ledger.sqlite')}")
    expire(Ledger(engine, clock), clock, "ada")
    return make_purge(engine, clock, of_bucket(tmp_path, endpoint))


def of_bucket(folder: Path, endpoint: str) -> PurgeSettings:
    options = {"bucket": BUCKET, "prefix": "scratch/{account}/", "endpoint": endpoint, "region": "us-east-1"}
    return make_settings(
        folder,
        notice_days=[],
        quarantine_days=5,
        adapters={"scratch": {"type": "object-prefix", **options}},
    )


def run(purge: Purge) -> list[str]:
    steps = purge.advance(dry_run=False)
    assert [step.failure for step in steps if step.failure] == []
    return [str(step.act) for step in steps]


def test_a_prefix_goes_and_comes_back_and_no_other_is_touched(purge: Purge, client: Any, clock: Clock) -> None:
    before, of_adam = content(client, "scratch/ada/"), content(client, "scratch/adam/")
    number = plan_and_approve(purge)
    (item,) = purge.read(number)[1]
    assert (item.name, item.seen.files, item.seen.bytes) == ("scratch/ada/", 12, 330_000)
    assert run(purge) == ["archive", "quarantine"]
    assert content(client, "scratch/ada/") == {}
    aside = content(client, f".purge-quarantine/{item.mark}/")
    assert list(aside.values()) == list(before.values())
    clock.turn(5 * DAY)
    assert run(purge) == ["delete"]
    assert content(client, ".purge-quarantine/") == {}
    client.put_object(Bucket=BUCKET, Key="scratch/ada/run 3/ünï.bin", Body=b"new")
    back = purge.restore(item.id, by=Actor("ada"))
    assert back.place == f"scratch/ada/restored-{item.mark}/"
    after = content(client, "scratch/ada/")
    assert after.pop("scratch/ada/run 3/ünï.bin")[0] == b"new"
    after["scratch/ada/run 3/ünï.bin"] = after.pop(f"scratch/ada/restored-{item.mark}/run 3/ünï.bin")
    assert after == before
    assert content(client, "scratch/adam/") == of_adam


def test_what_changed_in_a_bucket_is_left_alone(purge: Purge, client: Any, clock: Clock) -> None:
    before = content(client, "scratch/ada/")
    number = plan_and_approve(purge)
    assert run(purge) == ["archive", "quarantine"]
    (item,) = purge.read(number)[1]
    purge.ask_back(item.id, by=Actor("ada"))
    assert run(purge) == ["give back", "clear"]
    assert content(client, "") == before | content(client, "scratch/adam/")
    number = plan_and_approve(purge)
    client.put_object(Bucket=BUCKET, Key="scratch/ada/run 3/ünï.bin", Body=b"n" * 15_000)
    assert run(purge) == ["leave"]
    (item,) = purge.read(number)[1]
    assert (item.stage, item.reason) == (Stage.LEFT_ALONE, "scratch/ada/ has changed since the plan was made")


@pytest.mark.parametrize("method", ["copy", "delete_objects", "upload_fileobj"])
def test_a_move_that_is_interrupted_is_gone_on_with(
    purge: Purge, client: Any, clock: Clock, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client stops in the middle, as a process that is killed between two requests does."""
    before = content(client, "scratch/ada/")
    number = plan_and_approve(purge)
    inner = purge._adapters["scratch"]._client  # type: ignore[attr-defined]
    real, left = getattr(inner, method), [5]

    def stops(*arguments: Any, **options: Any) -> Any:
        left[0] -= 1
        if left[0] < 0 or (method == "delete_objects" and left[0] < 4):
            raise Crash
        return real(*arguments, **options)

    def crash(act: Any) -> None:
        left[0] = 4 if method == "delete_objects" else 5
        monkeypatch.setattr(inner, method, stops)
        with suppress(Crash):
            act()
        monkeypatch.setattr(inner, method, real)

    crash(lambda: run(purge))
    run(purge)
    (item,) = purge.read(number)[1]
    assert item.stage is Stage.QUARANTINED
    assert content(client, "scratch/ada/") == {}
    clock.turn(5 * DAY)
    crash(lambda: run(purge))
    run(purge)
    crash(lambda: purge.restore(item.id, by=Actor("ada")))
    assert purge.restore(item.id, by=Actor("ada")).stage is Stage.RESTORED
    assert content(client, "scratch/ada/") == before
    assert content(client, ".purge-quarantine/") == {}


def test_a_bucket_that_does_not_answer_is_told_and_tried_again(
    purge: Purge, client: Any, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    plan_and_approve(purge)
    nowhere = f"http://127.0.0.1:{free_port()}"
    (step,) = make_purge(purge._engine, clock, of_bucket(tmp_path, nowhere)).advance(dry_run=False)
    assert step.failure is not None
    assert step.failure.startswith("The bucket cannot be used: ")
    assert run(purge) == ["archive", "quarantine"]


def test_a_prefix_that_would_begin_another_ones_is_turned_down() -> None:
    for prefix in ("scratch/{account}", "scratch/", "{account}x/", "a/{account}/{account}/"):
        with pytest.raises(ValidationError, match="has to have"):
            Options(bucket="x", prefix=prefix)


def test_an_account_whose_name_has_a_slash_has_no_prefix(purge: Purge) -> None:
    adapter = purge._adapters["scratch"]
    with pytest.raises(PurgeError, match="cannot stand for"):
        list(adapter.find("ada/run 3", "user"))
