"""Keys: fetched when needed, renewed before their end, survived when they end early, and never sent anywhere."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest

pytest.importorskip("roman_datamodels", reason="the notebook's side has an environment of its own")

import httpx
from pydantic import SecretStr
from romanhub.client.credentials import CredentialSource, source
from romanhub.client.errors import ArchiveUnavailableError, NotAllowedError, OutsidePlatformError
from romanhub.client.storage import ArchiveStorage, StorageAccess

SECRET = "a-secret-that-nobody-should-see"


class Broker:
    """A stand-in for the broker, whose clock a test turns: each answer is of another key."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
        self.asked: list[str] = []
        self.life = timedelta(hours=1)
        self.refusal: httpx.Response | Exception | None = None

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.method)
        if isinstance(self.refusal, Exception):
            raise self.refusal
        if self.refusal is not None:
            return self.refusal
        body = {
            "access_key": f"key-{len(self.asked)}",
            "secret_key": SECRET,
            "session_token": SECRET,
            "expiration": (self.now + self.life).isoformat(),
            "endpoint": None,
            "region": "us-east-1",
            "datasets": {},
            "scratch": {},
        }
        return httpx.Response(200, json=body)

    def source(self) -> CredentialSource:
        return CredentialSource(
            "http://broker.test/services/broker/",
            SecretStr("token"),
            transport=httpx.MockTransport(self.answer),
            now=lambda: self.now,
        )


@pytest.fixture
def broker() -> Broker:
    return Broker()


def key(keys: CredentialSource) -> str:
    return keys.current().access_key.get_secret_value()


def test_they_are_fetched_once_and_renewed_before_their_end(broker: Broker) -> None:
    keys = broker.source()
    assert broker.asked == []
    assert key(keys) == key(keys) == "key-1"
    broker.now += timedelta(minutes=49)
    assert key(keys) == "key-1"
    broker.now += timedelta(minutes=2)
    assert key(keys) == "key-2"


def test_many_threads_fetch_them_once(broker: Broker) -> None:
    keys, found = broker.source(), []
    start = threading.Barrier(16)

    def ask() -> None:
        start.wait()
        found.append(key(keys))

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["key-1"] * 16
    assert broker.asked == ["GET"]


def test_while_the_broker_is_away_those_that_work_are_used(broker: Broker) -> None:
    keys = broker.source()
    key(keys)
    broker.refusal = httpx.ConnectError("away")
    broker.now += timedelta(minutes=55)
    assert key(keys) == key(keys) == "key-1"
    assert len(broker.asked) == 2, "it is not asked at every read"
    broker.now += timedelta(minutes=6)
    with pytest.raises(ArchiveUnavailableError, match="does not answer"):
        keys.current()
    broker.refusal = None
    assert key(keys) == "key-4"


def test_those_that_the_storage_refused_are_made_anew(broker: Broker) -> None:
    keys = broker.source()
    old = keys.current()
    assert keys.current(refused=old).access_key.get_secret_value() == "key-2"
    assert broker.asked == ["GET", "POST"]
    assert keys.current(refused=old).access_key.get_secret_value() == "key-2", "another thread was first"


def test_why_there_are_none_is_said_in_the_brokers_words(broker: Broker) -> None:
    broker.refusal = httpx.Response(403, json={"detail": "The account ada is suspended."})
    with pytest.raises(NotAllowedError, match="The account ada is suspended"):
        broker.source().current()
    broker.refusal = httpx.Response(500, text="oops")
    with pytest.raises(ArchiveUnavailableError, match="HTTP status 500"):
        broker.source().current()
    with pytest.raises(OutsidePlatformError):
        CredentialSource.from_environment({})


def test_nothing_secret_is_shown_or_pickled(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROMANHUB_BROKER_URL", "http://elsewhere.test/")
    monkeypatch.setenv("ROMANHUB_BROKER_TOKEN", "a-workers-own")
    keys = broker.source()
    assert SECRET not in repr(keys.current()) + str(keys.current()) + repr(keys)
    sent = pickle.dumps(keys)
    assert SECRET.encode() not in sent and b"token" not in sent
    source.cache_clear()
    assert pickle.loads(sent) is source(), "it becomes that of the process that it comes to"
    source.cache_clear()


def test_keys_that_end_in_the_middle_of_a_read_are_survived(storage_server, broker: Broker) -> None:
    """The S3 server refuses the first keys, as it does at their end; the read goes on with others."""
    given = [storage_server.access.access_key, storage_server.access.secret_key]
    wrong = threading.Event()

    def answer(request: httpx.Request) -> httpx.Response:
        body = broker.answer(request).json()
        body["access_key"] = given[0].get_secret_value()
        body["secret_key"] = (
            "no-longer" if wrong.is_set() and request.method == "GET" else given[1].get_secret_value()
        )
        body["session_token"] = ""
        body["expiration"] = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        return httpx.Response(200, json=body)

    keys = CredentialSource("http://b/", SecretStr("token"), transport=httpx.MockTransport(answer))
    bucket = storage_server.access.bucket
    storage_server.writer.pipe_file(f"{bucket}/long", bytes(range(256)) * 4096)
    access = StorageAccess(endpoint=storage_server.access.endpoint, bucket=bucket, region="us-east-1")
    wrong.set()
    storage = ArchiveStorage(access, keys)
    # The kept keys are refused at once; the renewal, which is posted for, brings some that work.
    assert storage.read("long", "a long file") == bytes(range(256)) * 4096
    assert broker.asked == ["GET", "POST"]


def test_aws_libraries_get_them_from_a_process(portal, stored, tmp_path) -> None:
    """The command that the platform's AWS_CONFIG_FILE names prints what the broker answers, or says why not."""
    portal.answer("api/credentials/process", {"Version": 1, "AccessKeyId": "a"})
    command = [sys.executable, "-m", "romanhub.client.credential_process"]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
    assert (done.returncode, done.stdout) == (0, '{"Version": 1, "AccessKeyId": "a"}'), done.stderr
    portal.answer("api/credentials/process", {"detail": "The account is suspended."}, 403)
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "The account is suspended.\n")
