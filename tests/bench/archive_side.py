"""Run in the users' environment: reads files of the size of Roman's in every way that is compared.

Prints the rows as JSON.
"""

from __future__ import annotations

import http.client
import json
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import asdf
import numpy as np
import s3fs
from astropy.coordinates import SkyCoord
from pydantic import SecretStr
from roman_datamodels import datamodels
from romanhub.asdf_blocks import Keys, LazyArray, S3Source, load, write_index
from romanhub.asdf_blocks.connection import signed
from romanhub.asdf_blocks.s3 import AT_ONCE
from romanhub.client.archive import Archive
from romanhub.client.exposures import Exposure
from romanhub.client.storage import StorageAccess
from romanhub.client.usage import usage

from tests.bench.rows import ROOT, Row

BUCKET = "roman-bench"
SAMPLE = ROOT / "platform" / "romanhub" / "sample" / "small"

#: The pixels along a side of a detector's image, and of the sample's.
SIDE, SMALL = 4088, 512

#: The cutout's pixels along a side, how many places are cut, and how often each.
CUT, PLACES, CUTS = 200, 5, 3

#: How often a whole file is read in each way.
READS = 7

#: How many exposures are stacked, and how large the stack is.
LAYERS, LAYER = 100, 64

#: How often the stack is made by one worker and by two.
STACKS = 3

Request = tuple[str, int, int]


def main() -> None:
    """Make the files, and measure."""
    warnings.simplefilter("ignore")
    folder, url, key, secret = Path(sys.argv[1]), *sys.argv[2:5]
    access = StorageAccess(
        endpoint=url, bucket=BUCKET, region="us-east-1", access_key=SecretStr(key), secret_key=SecretStr(secret)
    )
    plain = s3fs.S3FileSystem(
        key=key, secret=secret, client_kwargs={"endpoint_url": url, "region_name": "us-east-1"}
    )
    _until_it_takes_writes(plain)
    sizes = {name: _put(plain, folder, name) for name in ("plain", "lz4")}
    _index(plain, sizes)
    archive = Archive(access)
    keys = Keys(BUCKET, key, secret, url, "us-east-1")
    rows = []
    for name, words, goal in (("plain", "uncompressed", "<= 0.02"), ("lz4", "lz4", "<= 0.05")):
        print(f"   cutouts, {words}", file=sys.stderr, flush=True)
        rows += _cutouts(archive, plain, keys, name, words, goal, sizes[name])
    print("   full reads", file=sys.stderr, flush=True)
    rows += _full(archive, plain, keys, sizes)
    print("   a stack", file=sys.stderr, flush=True)
    rows.append(_stack(archive))
    print(json.dumps([row.model_dump(mode="json", exclude={"ratio", "met"}) for row in rows]))


def make(path: Path, compression: str | None) -> None:
    """Make a Level 2 file of 4088 x 4088 pixels of one of the sample's: its pixels repeated, each with noise."""
    rng = np.random.default_rng(1)
    source = next((SAMPLE / "level2").glob("*.asdf"))
    with datamodels.open(source) as model:
        for name in list(model.keys()):
            if not hasattr(model[name], "dtype") or SMALL not in model[name].shape:
                continue
            small = np.asarray(model[name])
            shape = tuple(SIDE if side == SMALL else side for side in small.shape)
            repeats = [-(-new // old) for new, old in zip(shape, small.shape, strict=True)]
            large = np.tile(small, repeats)[tuple(slice(0, side) for side in shape)]
            if large.dtype.kind == "f" and large.shape == (SIDE, SIDE):
                large = (large * (1 + 1e-3 * rng.standard_normal(shape, dtype=np.float32))).astype(large.dtype)
            model[name] = np.ascontiguousarray(large)
        model.to_asdf(path, all_array_compression=compression)


def _put(plain: Any, folder: Path, name: str) -> int:
    path = folder / f"{name}.asdf"
    make(path, None if name == "plain" else name)
    for each in (path, write_index(path)):
        plain.put_file(str(each), f"{BUCKET}/level2/{each.name}")
    size = path.stat().st_size
    path.unlink()
    return size


def _index(plain: Any, sizes: dict[str, int]) -> None:
    """Write an archive's index with the two files, and with a hundred names for the lz4 one."""
    listed = json.loads((SAMPLE / "index.json").read_text())
    record = next(each for each in listed["exposures"] if each["level"] == 2)
    names = {"plain": "plain", "lz4": "lz4"} | {f"layer-{number:03}": "lz4" for number in range(LAYERS)}
    listed["exposures"] = [
        # A checksum of its own, or Dask would take the layers for the same one and read it once.
        record
        | {"name": name, "key": f"level2/{file}.asdf", "size": sizes[file], "shape": [SIDE, SIDE]}
        | {"sha256": f"{number:064}"}
        for number, (name, file) in enumerate(names.items(), 1000)
    ]
    listed["catalogs"] = []
    plain.pipe_file(f"{BUCKET}/index.json", json.dumps(listed).encode())


def _cutouts(archive: Archive, plain: Any, keys: Keys, name: str, words: str, goal: str, size: int) -> list[Row]:
    """Cut at several places: the bytes, and the time beside the very requests that were made, and other ways."""
    with archive.open(name) as model:
        wcs = model.meta.wcs
        rng = np.random.default_rng(2)
        places = [_place(wcs, *rng.uniform(CUT, SIDE - CUT, 2)) for _ in range(PLACES)]
    archive.cutout(name, places[0], CUT)
    moved, first, further = [], [], []
    pairs: list[tuple[float, float]] = []
    for place in places:
        archive.forget()
        before = _bytes()
        first.append(_seconds(lambda place=place: archive.cutout(name, place, CUT)))
        moved.append(_bytes() - before)
        # The same place again, of an image whose description is at hand, beside the requests that this makes.
        with _Recorded() as recorded:
            archive.cutout(name, place, CUT)
        gets = _Gets(keys, [key for key, _, _ in recorded.requests])
        gets.all_of(recorded.requests)
        further.append(len(recorded.requests))
        for _ in range(CUTS):
            ours = _seconds(lambda place=place: archive.cutout(name, place, CUT))
            pairs.append((ours, _seconds(lambda gets=gets, asked=recorded.requests: gets.all_of(asked))))
    ours, least = _middle(pairs)
    others = _others(plain, name, places[0])
    archive.forget()
    before = _bytes()
    assert archive.cutout(name, places[0], CUT).dq is not None
    everything = _bytes() - before
    return [
        Row(
            name=f"archive: bytes of a {CUT} x {CUT} cutout, {words}, at most",
            value=max(moved) / 1e6,
            unit="MB",
            against="the file",
            versus=size / 1e6,
            goal=goal,
            runs=PLACES,
        ),
        Row(
            name=f"archive: bytes of a cutout with its uncertainties and quality, {words}",
            value=everything / 1e6,
            unit="MB",
            against="the file",
            versus=size / 1e6,
            runs=1,
        ),
        Row(
            name=f"archive: a cutout, {words}",
            value=1e3 * ours,
            unit="ms",
            against=f"its ranged GETs ({max(further)}), plain",
            versus=1e3 * least,
            goal="<= 2",
            runs=len(pairs),
        ),
        *(
            Row(
                name=f"archive: the first cutout of an image, {words}",
                value=1e3 * median(first),
                unit="ms",
                against=way,
                versus=1e3 * seconds,
                runs=PLACES,
            )
            for way, seconds, _ in others
        ),
        *(
            Row(
                name=f"archive: bytes of a cutout, {words}",
                value=median(moved) / 1e6,
                unit="MB",
                against=way,
                versus=count / 1e6,
                runs=PLACES,
            )
            for way, _, count in others
        ),
    ]


def _others(plain: Any, name: str, place: SkyCoord) -> list[tuple[str, float, int]]:
    """Cut with asdf and with roman_datamodels from an s3fs file: each way's seconds and bytes."""
    found = []
    where = place.ra.deg, place.dec.deg
    half = CUT // 2
    for way, opening in (
        ("asdf.open on an s3fs file", asdf.open),
        ("roman_datamodels on an s3fs file", datamodels.open),
    ):
        started = time.perf_counter()
        # The cache of s3fs counts what it fetches.
        with plain.open(f"{BUCKET}/level2/{name}.asdf") as file:
            held = opening(file)
            model = held["roman"] if isinstance(held, asdf.AsdfFile) else held
            x, y = (int(v) for v in model["meta"]["wcs"].invert(*where, with_bounding_box=False))
            np.array(model["data"][y - half : y + half, x - half : x + half])
            moved = file.cache.total_requested_bytes
            held.close()
        found.append((way, time.perf_counter() - started, moved))
    return found


def _full(archive: Archive, plain: Any, keys: Keys, sizes: dict[str, int]) -> list[Row]:
    """Read every array of the files, beside the fastest plain GETs of as many bytes."""
    size = sizes["plain"]
    gets = _Gets(keys, ["level2/plain.asdf"])

    def together(parts: int) -> memoryview:
        # Into new memory, as any reader has to: that of the reader before is in somebody's use.
        target = memoryview(np.empty(size, np.uint8))
        step = -(-size // parts)
        gets.into([("level2/plain.asdf", at, min(at + step, size)) for at in range(0, size, step)], target)
        return target

    def arrays(model: Any) -> list[LazyArray]:
        return [model[key] for key in model if isinstance(model[key], LazyArray)]

    def whole(name: str, verify: bool = False) -> float:
        return _seconds(lambda: archive.open(name, verify=verify, whole=True))

    def once_open(read: Callable[[list[LazyArray]], Any]) -> float:
        with archive.open("plain", verify=False) as model:
            return _seconds(lambda: read(arrays(model)))

    def theirs() -> None:
        with plain.open(f"{BUCKET}/level2/plain.asdf") as file, asdf.open(file) as opened:
            for key in opened["roman"]:
                if hasattr(opened["roman"][key], "dtype"):
                    np.asarray(opened["roman"][key])

    whole("plain")
    ways: dict[str, Callable[[], float]] = {
        "open": lambda: once_open(load),
        "one": lambda: _seconds(lambda: together(1)),
        "ours": lambda: whole("plain"),
        "two": lambda: _seconds(lambda: together(2)),
        "checked": lambda: whole("plain", verify=True),
        "four": lambda: _seconds(lambda: together(4)),
        "lz4": lambda: whole("lz4"),
        "each": lambda: once_open(lambda found: [np.asarray(array) for array in found]),
    }
    plainly = {way: read for way, read in ways.items() if way in ("one", "two", "four")}
    times: dict[str, list[float]] = {way: [] for way in plainly}
    for _ in range(READS):
        for way, read in plainly.items():
            times[way].append(read())
    fastest = min(times, key=lambda way: median(times[way]))

    def beside(way: str, words: str, *, goal: str | None = None) -> Row:
        # By turns, so that what else the machine does falls on both.
        seconds, least = _middle([(ways[way](), ways[fastest]()) for _ in range(READS)])
        return Row(
            name=f"archive: a full read, {words}",
            value=size / 1e6 / seconds,
            unit="MB/s",
            against=f"plain GETs of the uncompressed file, {fastest} at once",
            versus=size / 1e6 / least,
            goal=goal,
            runs=READS,
        )

    ours, asdfs = _middle([(ways["ours"](), _seconds(theirs)) for _ in range(READS)])
    return [
        beside("open", "uncompressed", goal=">= 0.9"),
        beside("each", "uncompressed, one array after the other"),
        beside("ours", "uncompressed, with opening it"),
        beside("checked", "uncompressed, with opening it and comparing checksums"),
        beside("lz4", "lz4, with opening it, as MB of pixels"),
        Row(
            name="archive: a full read, uncompressed, in seconds",
            value=ours,
            unit="s",
            against="asdf.open on an s3fs file",
            versus=asdfs,
            runs=READS,
        ),
    ]


def _stack(archive: Archive) -> Row:
    """Stack cutouts of a hundred exposures with one worker and with two."""
    exposures = [each for each in archive.exposures() if each.name.startswith("layer-")]
    with exposures[0].open() as model:
        position = _place(model.meta.wcs, SIDE / 2, SIDE / 2)
    stack = archive.stack(exposures, position, LAYER)
    warm = archive.stack([_other_name(exposures[0], number) for number in range(4)], position, 8).mean()
    pairs = [(_stacked(stack, warm, workers=2), _stacked(stack, warm, workers=1)) for _ in range(STACKS)]
    two, one = _middle(pairs)
    return Row(
        name=f"archive: a stack of {LAYERS} exposures, two workers",
        value=two,
        unit="s",
        against="one worker",
        versus=one,
        goal="<= 0.7",
        runs=STACKS,
    )


def _stacked(stack: Any, warm: Any, *, workers: int) -> float:
    """Return how long the mean of a stack takes on a cluster of so many workers that have worked before."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster),
    ):
        warm.compute()
        return _seconds(lambda: stack.mean().compute())


def _other_name(exposure: Exposure, number: int) -> Exposure:
    return Exposure(exposure.record.model_copy(update={"sha256": f"{number:064}"}), exposure._archive)


class _Recorded:
    """Notes the requests of every S3Source while it is entered."""

    def __enter__(self) -> _Recorded:
        self.requests: list[Request] = []
        self._original = S3Source._request
        original, requests = self._original, self.requests

        def noted(source: S3Source, job: Any) -> None:
            original(source, job)
            requests.append((job.key, job.start, job.start + job.size))

        S3Source._request = noted  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        S3Source._request = self._original  # type: ignore[method-assign]


class _Gets:
    """Plain ranged GETs over kept connections, as many at once as our reader makes, at addresses signed before."""

    def __init__(self, keys: Keys, objects: list[str]) -> None:
        self._host = urlsplit(keys.endpoint or "").netloc
        self._urls = {key: signed(keys, key, "GET").partition(self._host)[2] for key in set(objects)}
        self._idle: list[http.client.HTTPConnection] = []
        self._threads = ThreadPoolExecutor(AT_ONCE)

    def all_of(self, requests: list[Request]) -> None:
        """Make the requests."""
        list(self._threads.map(lambda r: self._get(*r, memoryview(bytearray(r[2] - r[1]))), requests))

    def into(self, requests: list[Request], target: memoryview) -> None:
        """Make the requests, each into its own place of the target."""
        list(self._threads.map(lambda r: self._get(*r, target[r[1] : r[2]]), requests))

    def _get(self, key: str, start: int, stop: int, target: memoryview) -> None:
        connection = self._idle.pop() if self._idle else http.client.HTTPConnection(self._host)
        connection.request("GET", self._urls[key], headers={"Range": f"bytes={start}-{stop - 1}"})
        answer = connection.getresponse()
        done = 0
        while done < len(target):
            done += answer.readinto(target[done:])
        answer.read()
        self._idle.append(connection)


def _place(wcs: Any, x: float, y: float) -> SkyCoord:
    # The sample's images are smaller, and so is the box in which their coordinates are said to hold.
    return SkyCoord(*wcs(x, y, with_bounding_box=False), unit="deg")


def _bytes() -> int:
    return sum(amount.bytes for amount in usage.total().values())


def _seconds(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    held = action()
    seconds = time.perf_counter() - started
    # Memory is given back after the clock has stopped, on every side.
    del held
    return seconds


def _middle(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    """Return the pair of figures, each measured one after the other, whose ratio is the median of all."""
    ordered = sorted(pairs, key=lambda pair: pair[0] / pair[1])
    return ordered[len(ordered) // 2]


def _until_it_takes_writes(plain: Any) -> None:
    """Return once the server takes writes, which it does some seconds after it answers."""
    deadline = datetime.now(UTC).timestamp() + 90
    while True:
        try:
            plain.mkdir(BUCKET)
            plain.pipe_file(f"{BUCKET}/x", b"x")
            return
        except OSError:
            if datetime.now(UTC).timestamp() > deadline:
                raise
            time.sleep(0.2)


if __name__ == "__main__":
    main()
