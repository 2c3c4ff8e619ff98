"""Blocks that are read as a whole, several at once: few large requests, whose bytes are used as they arrive.

A request has a cost, and some storages read ahead of what is asked for; so blocks that lie next to each other are
read by the same requests, each block straight into its own memory. Checksums are computed and frames decoded in
other threads meanwhile.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from romanhub.asdf_blocks.errors import BlocksError, ChecksumError
from romanhub.asdf_blocks.frames import Frames, Piece
from romanhub.asdf_blocks.source import room
from romanhub.asdf_blocks.streams import Decoder

if TYPE_CHECKING:
    from romanhub.asdf_blocks.layout import Block
    from romanhub.asdf_blocks.remote import RemoteAsdf


class Whole:
    """An uncompressed block: its bytes are its data.

    `target` is the memory for the block's bytes as they are in the file, `data` that for its data.
    """

    def __init__(self, block: Block) -> None:
        self.block = block
        self.target = room(block.size)
        self.data: Any = np.asarray(self.target)
        self._islands: dict[int, int] = {}
        self._front = 0

    def arrived(self, first: int, last: int) -> memoryview:
        """Note that the target is filled from `first` up to `last`; return what is now filled without a gap."""
        self._islands[first] = last
        before = self._front
        while self._front in self._islands:
            self._front = self._islands.pop(self._front)
        return self.target[before : self._front]

    def use(self, part: memoryview) -> None:
        """Begin to use the next part of the target. Raises CorruptError."""

    def settle(self) -> None:
        """Wait until nothing writes into the data any more."""

    def finish(self) -> None:
        """Raise CorruptError where the bytes could not be decoded."""


class Lz4Whole(Whole):
    """A block of lz4 frames, which are decoded in other threads."""

    def __init__(self, block: Block, frames: Frames) -> None:
        super().__init__(block)
        self.target = room(block.used)
        self._frames = frames
        self._waiting = deque(range(len(frames.frames)))
        self._running: list[Future[None]] = []
        self._arrived = 0

    def use(self, part: memoryview) -> None:
        """Have the frames decoded that are there now."""
        self._arrived += len(part)
        while self._waiting:
            frame = self._frames.frames[self._waiting[0]]
            if frame.start + frame.length - self.block.start > self._arrived:
                return
            self._running.append(_workers().submit(self._decode, self._waiting.popleft()))

    def _decode(self, number: int) -> None:
        frame = self._frames.frames[number]
        start = frame.start - self.block.start
        origin, data = self._frames.decode(Piece(number, None, None), self.target[start : start + frame.length])
        memoryview(self.data)[origin : origin + len(data)] = data

    def settle(self) -> None:
        """Wait until nothing writes into the data any more."""
        for each in self._running:
            each.exception()

    def finish(self) -> None:
        """Raise CorruptError where a frame could not be decoded."""
        for each in self._running:
            each.result()


class StreamWhole(Whole):
    """A block that is one compressed stream, of whose data the first `stop` bytes are wanted."""

    def __init__(self, block: Block, stop: int) -> None:
        super().__init__(block)
        self.target = room(block.used)
        self.data = self.data[:stop]
        self._decoder = Decoder(block.compression, memoryview(self.data))
        self._problem: BlocksError | None = None

    def use(self, part: memoryview) -> None:
        """Decode the next part."""
        if self._problem is None:
            try:
                self._decoder.feed(part)
            except BlocksError as error:
                self._problem = error

    def finish(self) -> None:
        """Raise CorruptError where the stream could not be decoded."""
        if self._problem:
            raise self._problem
        self._decoder.finish()


def read_wholes(remote: RemoteAsdf, wanted: Sequence[Whole]) -> None:
    """Read blocks of one file into their targets, and compare their checksums.

    :raises ChecksumError: where a block does not have the checksum that its header gives.
    :raises CorruptError: where one cannot be decoded.
    """
    sums = {id(each): _Sum(each.target) for each in wanted if remote.verify and each.block.checksum}
    try:
        for run in _runs(wanted, remote.costs.gap):
            for whole, first, last in _arrivals(remote, run):
                part = whole.arrived(first, last)
                if len(part):
                    if id(whole) in sums:
                        sums[id(whole)].advance(len(part))
                    whole.use(part)
    finally:
        for each in wanted:
            each.settle()
    # A wrong checksum explains why something could not be decoded, so it comes first.
    for each in wanted:
        if id(each) in sums and sums[id(each)].result() != each.block.checksum:
            raise ChecksumError(
                "A block of the file is damaged: it does not have the checksum that it should have."
            )
    for each in wanted:
        each.finish()


def _runs(wanted: Sequence[Whole], gap: int) -> Iterator[list[Whole]]:
    """Yield the blocks in the order of the file, those together that lie close enough for one request."""
    run: list[Whole] = []
    for each in sorted(wanted, key=lambda whole: whole.block.start):
        if run and not 0 <= each.block.start - (run[-1].block.start + run[-1].block.used) <= gap:
            yield run
            run = []
        run.append(each)
    if run:
        yield run


def _arrivals(remote: RemoteAsdf, run: Sequence[Whole]) -> Iterator[tuple[Whole, int, int]]:
    """Read blocks that lie one after the other; yield of which of them what has arrived, from where to where."""
    begin = place = run[0].block.start
    targets: list[memoryview] = []
    for whole in run:
        if whole.block.start > place:
            targets.append(room(whole.block.start - place))
        targets.append(whole.target)
        place = whole.block.start + len(whole.target)
    for first, last in remote.stream(begin, targets):
        for whole in run:
            origin = whole.block.start - begin
            low, high = max(first - origin, 0), min(last - origin, len(whole.target))
            if low < high:
                yield whole, low, high


class _Sum:
    """The MD5 of memory that is being filled from its beginning on, computed in another thread."""

    def __init__(self, target: memoryview) -> None:
        self._target = target
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._lock = threading.Lock()
        self._done = self._filled = 0
        self._running: Future[None] | None = None

    def advance(self, count: int) -> None:
        """Note that `count` more bytes are there."""
        with self._lock:
            self._filled += count
            if self._running is None:
                self._running = _workers().submit(self._go)

    def _go(self) -> None:
        while True:
            with self._lock:
                done, filled = self._done, self._filled
                if done == filled:
                    self._running = None
                    return
            self._md5.update(self._target[done:filled])
            self._done = filled

    def result(self) -> str:
        """Return the sum, in hexadecimal digits, of what is there."""
        with self._lock:
            running = self._running
        if running is not None:
            running.result()
        return self._md5.hexdigest()


@cache
def _workers() -> ThreadPoolExecutor:
    """Return the threads that decode and compute checksums; lz4 and MD5 let others run meanwhile."""
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="asdf-blocks-work")
