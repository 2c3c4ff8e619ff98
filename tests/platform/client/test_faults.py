"""What goes wrong between a notebook and a real S3 server is survived, or said in one sentence."""

from __future__ import annotations

import itertools
import pickle
import re
from datetime import UTC, datetime, timedelta

import pytest

pytest.importorskip("roman_datamodels", reason="the notebook's side is tested in the analysis environment")

import asdf
import httpx
import numpy as np
from pydantic import SecretStr
from romanhub.asdf_blocks import (
    ChangedError,
    ChecksumError,
    CorruptError,
    CutShortError,
    DeniedError,
    FileSource,
    Keys,
    LazyArray,
    NotAsdfError,
    NotThereError,
    RemoteAsdf,
    S3Source,
    UnknownCompressionError,
    UnreachableError,
    build_index,
    load,
    s3,
    sidecar_key,
)
from romanhub.asdf_blocks.connection import signed
from romanhub.asdf_blocks.s3 import TRIES
from romanhub.client.archive import Archive
from romanhub.client.credentials import CredentialSource
from romanhub.client.errors import ArchiveUnavailableError
from romanhub.client.storage import ArchiveStorage
from romanhub.client.usage import usage

from tests.platform.client.conftest import READER_KEY, READER_SECRET, WRITER_KEY, WRITER_SECRET
from tests.platform.client.gate import Gate, gate_before

BUCKET = "broken"
DATA = np.random.default_rng(1).normal(0, 1, (600, 1000)).astype("f4")


@pytest.fixture(scope="module")
def contents(tmp_path_factory) -> dict[str, bytes]:
    """The same array in a file of each kind."""
    folder = tmp_path_factory.mktemp("contents")
    found = {}
    for compression in (None, "lz4", "zlib"):
        path = folder / f"{compression}.asdf"
        asdf.AsdfFile({"data": DATA}).write_to(path, all_array_compression=compression)
        found[path.name] = path.read_bytes()
        found[sidecar_key(path.name)] = build_index(FileSource(folder), path.name).to_bytes()
    return found


@pytest.fixture
def filled(storage_server, contents):
    storage_server.fill(BUCKET, contents)
    return storage_server


@pytest.fixture
def gate(filled):
    with gate_before(filled.access.endpoint) as opened:
        yield opened


def keys_for(endpoint: str, *, key: str = READER_KEY, secret: str = READER_SECRET, **more) -> Keys:
    return Keys(BUCKET, key, secret, endpoint, "us-east-1", **more)


def source(server, **options) -> S3Source:
    endpoint = server.url if isinstance(server, Gate) else server.access.endpoint
    return S3Source(lambda renew: keys_for(endpoint), sleep=lambda _: None, **options)


def data(source: S3Source, name: str = "None.asdf", **options):
    with RemoteAsdf(source, name, **options).open() as file:
        return file["data"]


def start(contents, name: str) -> int:
    return contents[name].index(b"\xd3BLK") + 54


@pytest.mark.parametrize("name", ["None.asdf", "lz4.asdf", "zlib.asdf"])
@pytest.mark.parametrize("indexed", [False, True])
def test_every_kind_is_read_whole_and_in_part(filled, name, indexed) -> None:
    array = data(source(filled), name, indexed=indexed)
    np.testing.assert_array_equal(array[100:300, 200:400], DATA[100:300, 200:400])
    np.testing.assert_array_equal(array, DATA)


def test_a_missing_object(filled) -> None:
    with pytest.raises(NotThereError, match="does not hold the file"):
        data(source(filled), "gone.asdf")


def test_an_object_that_goes_away_while_it_is_read(filled) -> None:
    array = data(source(filled))
    filled.fill(BUCKET, {})
    with pytest.raises(NotThereError):
        array[3]


@pytest.mark.parametrize("name", ["None.asdf", "lz4.asdf", "zlib.asdf"])
def test_a_file_that_is_cut_short(filled, contents, name) -> None:
    filled.fill(BUCKET, {name: contents[name][: len(contents[name]) // 2]})
    with pytest.raises(CutShortError, match="is cut short"):
        data(source(filled), name)
    with pytest.raises(CutShortError, match="is shorter than"):
        data(source(filled), name, size=len(contents[name]))


@pytest.mark.parametrize("name", ["None.asdf", "lz4.asdf", "zlib.asdf"])
def test_a_wrong_checksum_is_noticed_where_a_whole_block_is_read(filled, contents, name) -> None:
    changed = bytearray(contents[name])
    changed[start(contents, name) + 200_000] ^= 1
    filled.fill(BUCKET, {name: bytes(changed)})
    with pytest.raises(ChecksumError, match="does not have the checksum"):
        np.asarray(data(source(filled), name))
    # A part cannot be compared with the checksum of the whole: it is given as it is, where it decodes.
    if name == "None.asdf":
        np.testing.assert_array_equal(data(source(filled), name)[:10], DATA[:10])
        assert not np.array_equal(np.asarray(data(source(filled), name, verify=False)), DATA)


@pytest.mark.parametrize("indexed", [False, True])
def test_a_damaged_lz4_frame(filled, contents, indexed) -> None:
    changed = bytearray(contents["lz4.asdf"])
    place = start(contents, "lz4.asdf") + 8
    changed[place : place + 300] = bytes(300)
    filled.fill(BUCKET, contents | {"lz4.asdf": bytes(changed)})
    with pytest.raises(CorruptError, match="frame 1 of its block"):
        data(source(filled), "lz4.asdf", indexed=indexed)[:5]


def test_an_unknown_compression(filled, contents) -> None:
    filled.fill(BUCKET, {"a.asdf": contents["lz4.asdf"].replace(b"lz4\x00", b"zstd", 1)})
    with pytest.raises(UnknownCompressionError, match="'zstd'"):
        data(source(filled), "a.asdf")[0]


def test_what_is_no_asdf_file(filled) -> None:
    filled.fill(BUCKET, {"a.asdf": b"\x89HDF" + bytes(100_000)})
    with pytest.raises(NotAsdfError, match="not an ASDF file"):
        data(source(filled), "a.asdf")


@pytest.mark.parametrize("name", ["None.asdf", "lz4.asdf"])
def test_an_object_that_is_replaced_in_the_middle(filled, contents, name) -> None:
    array = data(source(filled), name, indexed=True)
    array[:3]
    other = contents[name].replace(b"asdf_library", b"ASDF_library")
    filled.fill(BUCKET, contents | {name: other})
    for read in (lambda: array[5:8], lambda: np.asarray(array)):
        with pytest.raises(ChangedError, match="was replaced in the storage after it was opened"):
            read()
    np.testing.assert_array_equal(data(source(filled), name, indexed=True)[5:8], DATA[5:8])


def test_a_credential_that_ends_in_the_middle_is_renewed(gate) -> None:
    asked: list[bool] = []

    def keys(renew: bool) -> Keys:
        asked.append(renew)
        if renew:
            return keys_for(gate.url, key=WRITER_KEY, secret=WRITER_SECRET)
        return keys_for(gate.url)

    array = data(S3Source(keys, sleep=lambda _: None))
    assert asked == [False]
    gate.refuse = lambda path: READER_KEY in path  # its life is over
    np.testing.assert_array_equal(array[5:8], DATA[5:8])
    np.testing.assert_array_equal(array, DATA)
    assert asked == [False, True]


def test_a_credential_that_ends_soon_is_renewed_before_it_does(filled) -> None:
    clock = [datetime(2027, 1, 1, tzinfo=UTC)]
    asked: list[bool] = []

    def keys(refused: bool) -> Keys:
        asked.append(refused)
        return keys_for(filled.access.endpoint, expires=clock[0] + timedelta(hours=1))

    array = data(S3Source(keys, now=lambda: clock[0]))
    clock[0] += timedelta(minutes=57)
    array[1]
    assert asked == [False]
    clock[0] += timedelta(minutes=2)
    array[2]
    assert asked == [False, False]


def test_keys_that_are_refused_for_good(filled) -> None:
    wrong = keys_for(filled.access.endpoint, secret="not-the-right-one")
    with pytest.raises(DeniedError, match="also with new keys"):
        data(S3Source(lambda renew: wrong, sleep=lambda _: None))


def test_a_connection_that_drops_is_taken_up_where_it_was(gate) -> None:
    array = data(source(gate))
    sizes = itertools.chain([1000, 0, 100_000], itertools.repeat(None))
    gate.drop = lambda path: next(sizes)
    gate.passed.clear()
    np.testing.assert_array_equal(array, DATA)
    ranges = [tuple(map(int, re.findall(r"\d+", asked))) for _, asked in gate.passed]
    assert len(ranges) == 4
    assert ranges[1][0] == ranges[0][0] + 1000
    assert ranges[3][0] == ranges[0][0] + 101_000


def test_a_storage_that_is_busy_for_a_while_is_asked_again_after_pauses(gate) -> None:
    pauses: list[float] = []
    endpoint = gate.url
    reading = S3Source(lambda renew: keys_for(endpoint), sleep=pauses.append)
    array = data(reading)
    busy = iter([True, True, True, False])
    gate.busy = lambda path: next(busy)
    np.testing.assert_array_equal(array[5:8], DATA[5:8])
    assert len(pauses) == 3
    assert pauses[2] > pauses[0]


def test_a_storage_that_stays_busy_or_away_is_given_up(gate) -> None:
    array = data(source(gate))
    gate.busy = lambda path: True
    gate.passed.clear()
    with pytest.raises(UnreachableError, match="however often it was asked"):
        array[5:8]
    assert len(gate.passed) == TRIES
    with pytest.raises(UnreachableError):
        data(S3Source(lambda renew: keys_for("http://127.0.0.1:9"), sleep=lambda _: None))


def test_what_was_read_is_counted_also_of_what_failed(gate, contents) -> None:
    counts: list[tuple[str, int, int]] = []
    reading = source(gate, count=lambda *read: counts.append(read))
    array = data(reading, indexed=True)
    assert (
        sum(size for _, _, size in counts)
        == len(contents[sidecar_key("None.asdf")]) + start(contents, "None.asdf") - 54
    )
    counts.clear()
    array[10:20]
    assert counts == [("None.asdf", 1, 10 * 1000 * 4)]
    counts.clear()
    gate.busy = lambda path: True
    with pytest.raises(UnreachableError):
        array[10:20]
    assert counts == [("None.asdf", TRIES, 0)]


def test_nothing_of_a_source_shows_its_keys(filled) -> None:
    keys = keys_for(filled.access.endpoint, session_token="a-token-too")
    for text in (repr(keys), str(keys), repr(source(filled))):
        for secret in (READER_KEY, READER_SECRET, "a-token-too", filled.access.endpoint):
            assert secret not in text
    assert READER_SECRET not in signed(keys, "a b/ü.asdf", "GET")


def said(action) -> str:
    with pytest.raises(ArchiveUnavailableError) as caught:
        action()
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "use", "words"),
    [
        (lambda raw: raw[:-300_000], np.asarray, "is shorter than it should be"),
        (lambda raw: raw[:700_000] + b"x" * 50 + raw[700_050:], np.asarray, "is damaged: its checksum is wrong"),
        (lambda raw: raw.replace(b"zlib", b"zstd", 1), np.asarray, "compressed with 'zstd'"),
        (lambda raw: raw.replace(b"roman:", b"greek:", 1), np.asarray, "understood as a Roman data model"),
    ],
)
def test_the_archive_says_it_in_its_own_words(storage_server, stored, sample, change, use, words) -> None:
    archive = Archive(stored.access)
    image = archive.exposures()[0]
    raw = (sample / image.record.key).read_bytes()
    storage_server.fill(
        BUCKET, {"index.json": (sample / "index.json").read_bytes(), image.record.key: change(raw)}
    )
    broken = Archive(stored.access.model_copy(update={"bucket": BUCKET}))

    def read() -> None:
        with broken.open(image.name) as model:
            for name in ("data", "dq", "err", "var_poisson"):
                use(model[name])

    text = said(read)
    assert words in text
    assert f"The archive's file of {image.name}" in text


def test_keys_of_the_broker_are_renewed_where_the_storage_refuses_them_and_do_not_travel(
    stored, monkeypatch
) -> None:
    access = stored.access
    answers = itertools.count()

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.method)
        first = next(answers) == 0
        level2 = {
            "bucket": access.bucket,
            "prefix": "level2/",
            "region": "us-east-1",
            "title": "t",
            "mission": "m",
        }
        level2 |= {
            "description": "d",
            "format": "asdf",
            "level": 2,
            "index": "index.json",
            "citation": {"text": "c"},
        }
        keys = {
            "access_key": access.access_key.get_secret_value(),
            "secret_key": "has-ended" if first else access.secret_key.get_secret_value(),
            "session_token": "",
            "expiration": (datetime.now(UTC) + timedelta(hours=1)).isoformat(),
            "endpoint": access.endpoint,
            "region": "us-east-1",
            "datasets": {"the-exposures": level2},
            "scratch": {},
        }
        return httpx.Response(200, json=keys)

    asked: list[str] = []
    broker = CredentialSource("http://broker/", SecretStr("t"), transport=httpx.MockTransport(answer))
    plain = access.model_copy(update={"access_key": None, "secret_key": None})
    storage = ArchiveStorage(plain, broker)
    assert b"exposures" in storage.read("index.json", "the index")
    assert asked == ["GET", "POST"]
    assert usage.total()["the-exposures", "us-east-1"].requests > 0
    sent = pickle.dumps(storage.source)
    for secret in stored.secrets[2:]:
        assert secret.encode() not in sent


@pytest.mark.parametrize("compression", [None, "lz4", "zlib"])
def test_arrays_read_at_once_come_in_parts_that_cross_from_one_to_the_next(
    filled, monkeypatch, tmp_path, compression
) -> None:
    monkeypatch.setattr(s3, "PART", 500_000)
    monkeypatch.setattr(s3, "STEP", 30_000)
    arrays = {"a": DATA, "b": DATA.astype("f2"), "c": DATA[::-1].copy(), "d": np.arange(7)}
    asdf.AsdfFile(arrays).write_to(tmp_path / "x.asdf", all_array_compression=compression)
    content = (tmp_path / "x.asdf").read_bytes()
    filled.fill(BUCKET, {"x.asdf": content})
    counts: list[tuple[str, int, int]] = []

    def opened(**options) -> list[LazyArray]:
        with RemoteAsdf(
            source(filled, count=lambda *each: counts.append(each)), "x.asdf", **options
        ).open() as file:
            return [file[name] for name in arrays]

    lazy = opened()
    if compression == "lz4":
        lazy[0][:1], lazy[1][:1], lazy[2][:1]  # the frames are found
        lazy[3][:1]
    del counts[:]
    load(lazy)
    assert len(counts) <= s3.PARTS_AT_ONCE + (compression == "lz4")
    assert sum(size for *_, size in counts) <= len(content)
    for array, expected in zip(lazy, arrays.values(), strict=True):
        np.testing.assert_array_equal(array, expected)

    changed = bytearray(content)
    changed[content.rindex(b"\xd3BLK") - 1000] ^= 1  # within the last but one
    filled.fill(BUCKET, {"x.asdf": bytes(changed)})
    lazy = opened()
    with pytest.raises(ChecksumError):
        load(lazy)
    assert not any(array.loaded for array in lazy)
    filled.fill(BUCKET, {"x.asdf": content[: len(content) // 2] + bytes(len(content) - len(content) // 2)})
    with pytest.raises(ChangedError):
        load(lazy)
