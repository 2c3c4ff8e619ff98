"""Objects in an S3 bucket as a byte source: many requests at once, renewed keys, second and further tries."""

from __future__ import annotations

import functools
import http.client
import itertools
import queue
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from romanhub.asdf_blocks.connection import USED, Connections, Keys, body_text, read_body, signed, whole_size
from romanhub.asdf_blocks.errors import (
    BlocksError,
    ChangedError,
    CutShortError,
    DeniedError,
    NotThereError,
    UnreachableError,
)
from romanhub.asdf_blocks.source import Span, room

#: How many requests are under way at once, over all that a process reads.
AT_ONCE = 16

#: A large range is read in parts of so many bytes or more, several at once. Amazon advises 8 to 16 MB at least;
#: SeaweedFS, which reads ahead, needs half as much time again for parts of 16 MB as for a few large ones.
PART = 16 * 1024 * 1024

#: So many parts is a large range read in, all at once. More would only wait for one another's turn.
PARTS_AT_ONCE = 4

#: What has arrived of a part is told after so many bytes.
STEP = 2 * 1024 * 1024

#: How often a request is tried, and the wait after the first failure in seconds; it doubles each time.
TRIES, PAUSE = 6, 0.1

#: Keys that end within so long a time are asked for again before they are used.
SOON = timedelta(minutes=2)


class S3Source:
    """Reads objects of one bucket.

    A request that fails for a passing reason (a connection that drops, a storage that says it is busy) is sent
    again after a pause, at most `TRIES` times, and a body that broke off is taken up where it did. A request
    that is refused is sent once more with new keys. It is picklable if `keys` is; connections are not taken
    along.

    :param keys: returns the keys; asked again when they end soon, and called with True when they were refused.
    :param count: called with the key, the number of requests and of bytes of each read, also of one that failed.
    :param sleep: waits so many seconds.
    :param now: the time, for the end of keys and of signed addresses.
    """

    def __init__(
        self,
        keys: Callable[[bool], Keys],
        *,
        count: Callable[[str, int, int], None] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self._ask = keys
        self._count = count
        self._sleep = sleep
        self._now = now
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._keys: Keys | None = None
        self._signed: dict[tuple[str, str], tuple[str, datetime]] = {}
        self._seen: dict[str, tuple[int, str | None]] = {}
        self._connections: Connections | None = None

    def __reduce__(self) -> Any:
        return functools.partial(S3Source, count=self._count, sleep=self._sleep, now=self._now), (self._ask,)

    def __repr__(self) -> str:
        return "<objects in a storage>"

    def size(self, key: str) -> int:
        """Return the object's size in bytes. Raises NotThereError, DeniedError or UnreachableError."""
        if key not in self._seen:
            self._request(_Job("HEAD", key, 0, [], None))
        return self._seen[key][0]

    def version(self, key: str) -> str | None:
        """Return the object's ETag as it was last seen; None where the storage gives none."""
        if key not in self._seen:
            self.size(key)
        return self._seen[key][1]

    def read_start(self, key: str, most: int) -> memoryview:
        """Return the object's first bytes: `most`, or all where it has fewer."""
        job = _Job("GET", key, 0, [room(most)], None, short=True)
        self._request(job)
        return job.targets[0]

    def read_ranges(self, key: str, ranges: Sequence[Span], *, version: str | None = None) -> list[memoryview]:
        """Return the bytes of each range, in order; up to `AT_ONCE` requests are under way at once."""
        targets = [room(stop - start) for start, stop in ranges]
        if len(ranges) == 1 and len(targets[0]) <= PART:
            self._fill(key, ranges[0][0], targets[0], version)
            return targets
        parts = [
            (start + at, target[at : at + PART])
            for (start, _), target in zip(ranges, targets, strict=True)
            for at in range(0, max(len(target), 1), PART)
        ]
        for done in [_threads().submit(self._fill, key, start, part, version) for start, part in parts]:
            done.result()
        return targets

    def read_into(
        self, key: str, start: int, targets: Sequence[memoryview], *, version: str | None = None
    ) -> Iterator[Span]:
        """Fill `targets` one after the other with the bytes from `start` on; yield what is filled as it is."""
        total = sum(len(target) for target in targets)
        count = min(max(total // PART, 1), PARTS_AT_ONCE)
        edges = [total * number // count for number in range(count + 1)]
        news: queue.SimpleQueue[Span | BaseException | None] = queue.SimpleQueue()
        ended = threading.Event()

        def read(first: int, last: int) -> None:
            def arrived(begin: int, end: int) -> None:
                news.put((first + begin, first + end))
                if ended.is_set():
                    raise _EndedError

            try:
                part = _between(targets, first, last)
                self._request(_Job("GET", key, start + first, part, version, arrived=arrived))
            except BaseException as error:
                news.put(error)
            else:
                news.put(None)

        spans = [(first, last) for first, last in itertools.pairwise(edges) if first < last]
        running = [_threads().submit(read, *span) for span in spans]
        try:
            left = len(running)
            while left:
                said = news.get()
                if isinstance(said, tuple):
                    yield said
                elif said is None:
                    left -= 1
                else:
                    raise said
        finally:
            # Nobody writes into the targets any more once this has ended, however it ends.
            ended.set()
            for each in running:
                if not each.cancel():
                    each.exception()

    def _fill(self, key: str, start: int, target: memoryview, version: str | None) -> None:
        if len(target):
            self._request(_Job("GET", key, start, [target], version))

    def _request(self, job: _Job) -> None:
        """Fill the job's target, trying again where that may help."""
        requests = failed = 0
        renewed = False
        try:
            while True:
                keys, url, connections = self._address(job.key, job.method)
                requests += 1
                before = job.done
                try:
                    self._once(connections, url, job)
                    if job.done == job.size:
                        return
                    failed = 0 if job.done > before else failed  # it got further, so it is worth going on
                except _RefusedError:
                    if renewed:
                        raise DeniedError(
                            "The storage refuses to let this file be read, also with new keys."
                        ) from None
                    renewed = True
                    self._renew(keys)
                    continue
                except _PassingError:
                    pass
                failed += 1
                if failed >= TRIES:
                    raise UnreachableError("The storage did not answer, however often it was asked.") from None
                self._sleep(PAUSE * 2 ** (failed - 1) * (0.5 + random.random()))
        finally:
            if self._count:
                self._count(job.key, requests, job.done)

    def _once(self, connections: Connections, url: str, job: _Job) -> None:
        """Send one request, and fill of the job's targets what comes."""
        headers = {}
        if job.method == "GET":
            headers["Range"] = f"bytes={job.start + job.done}-{job.start + job.size - 1}"
        if job.version is not None:
            headers["If-Match"] = job.version
        try:
            answer, connection = connections.ask(job.method, url, headers)
        except (OSError, ValueError, http.client.HTTPException):
            raise _PassingError from None
        kept = False
        try:
            if answer.status not in (200, 206):
                raise _failure(answer.status, body_text(answer) if job.method == "GET" else "")
            if job.method == "HEAD":
                answer.reply.read()
                self._see(job, int(answer.headers.get("Content-Length", 0)), answer.headers.get("ETag"))
                kept = True
                return
            size = whole_size(answer, job.size - job.done)
            if size is not None:
                self._see(job, size, answer.headers.get("ETag"))
                if size < job.start + job.size:
                    if not job.short:
                        raise CutShortError("The file is shorter than what it says that it holds.")
                    job.targets = [job.targets[0][: size - job.start]]
            while job.done < job.size and (count := read_body(answer, job.rest())):
                job.fill(count)
            kept = job.done == job.size and not answer.reply.read(1)
        finally:
            if kept:
                connections.give_back(connection)
            else:
                connection.close()

    def _see(self, job: _Job, size: int, tag: str | None) -> None:
        """Note an object's size and ETag. A storage that does not know If-Match is caught here."""
        if job.version is not None and tag is not None and tag != job.version:
            raise _changed()
        self._seen[job.key] = (size, tag)

    def _address(self, key: str, method: str) -> tuple[Keys, str, Connections]:
        """Return a signed address that is still valid for a while."""
        now = self._now() if self._now else datetime.now(UTC)
        with self._lock:
            if self._keys is None or (self._keys.expires and self._keys.expires - now < SOON):
                self._take(self._ask(False))
            keys, connections = self._keys, self._connections
            assert keys is not None
            assert connections is not None
            url, until = self._signed.get((key, method), ("", now))
            if until <= now:
                url = signed(keys, key, method)
                self._signed[key, method] = (url, now + timedelta(seconds=USED))
            return keys, url, connections

    def _renew(self, refused: Keys) -> None:
        """Take new keys, unless another thread has done so meanwhile."""
        with self._lock:
            if self._keys is refused:
                self._take(self._ask(True))

    def _take(self, keys: Keys) -> None:
        if keys is self._keys:
            return
        if self._keys is None or keys.base() != self._keys.base():
            self._connections = Connections(keys.base())
        self._keys = keys
        self._signed.clear()


@dataclass
class _Job:
    """What is to be read: targets that are filled one after the other from `start` on, of which `done` bytes are.

    With `short`, the object may end before the target does, which is then cut to what there is. `arrived` is told
    from where up to where the targets have been filled.
    """

    method: str
    key: str
    start: int
    targets: list[memoryview]
    version: str | None
    short: bool = False
    arrived: Callable[[int, int], None] | None = None
    done: int = 0

    @property
    def size(self) -> int:
        """The bytes of all targets."""
        return sum(len(target) for target in self.targets)

    def rest(self) -> memoryview:
        """Return where the next bytes go, as many as lie together and are worth telling of."""
        [rest, *_] = _between(self.targets, self.done, min(self.done + STEP, self.size))
        return rest

    def fill(self, count: int) -> None:
        """Note that so many bytes have come."""
        self.done += count
        if self.arrived:
            self.arrived(self.done - count, self.done)


def _between(targets: Sequence[memoryview], first: int, last: int) -> list[memoryview]:
    """Return the part from `first` up to `last` of targets that are one after the other."""
    found = []
    for target in targets:
        if first < len(target) and last > 0:
            found.append(target[max(first, 0) : last])
        first, last = first - len(target), last - len(target)
    return found


class _EndedError(Exception):
    """Nobody wants any more what is being read."""


class _RefusedError(Exception):
    """The storage refused the keys, or said that they have ended."""


class _PassingError(Exception):
    """Something failed that may work when it is tried again."""


def _changed() -> BlocksError:
    return ChangedError("The file was replaced in the storage after it was opened; open it again.")


def _failure(status: int, body: str) -> Exception:
    """Return what an answer means that is not the bytes."""
    if status in (401, 403) or (status == 400 and "Token" in body):
        return _RefusedError()
    if status == 404:
        return NotThereError("The storage does not hold the file.")
    if status == 412:
        return _changed()
    if status == 416:
        return CutShortError("The file is shorter than what it says that it holds.")
    if status >= 500 or status in (408, 429):
        return _PassingError()
    return UnreachableError(f"The storage answered in a way that was not expected (HTTP status {status}).")


@functools.cache
def _threads() -> ThreadPoolExecutor:
    """Return the threads that wait for the storage, shared by all sources of this process."""
    return ThreadPoolExecutor(AT_ONCE, thread_name_prefix="asdf-blocks-read")
