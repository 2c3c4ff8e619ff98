"""One ASDF file in a byte source: its layout, its tree with lazy arrays, and the bytes of its blocks."""

from __future__ import annotations

import contextlib
import hashlib
import io
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import asdf

from romanhub.asdf_blocks import streams
from romanhub.asdf_blocks.converter import extension
from romanhub.asdf_blocks.errors import BlocksError, CorruptError, UnknownCompressionError
from romanhub.asdf_blocks.frames import Frames, walk
from romanhub.asdf_blocks.layout import Block, Layout, read_layout
from romanhub.asdf_blocks.plan import Costs, fetch
from romanhub.asdf_blocks.sidecar import FileIndex, digest, sidecar_key
from romanhub.asdf_blocks.source import ByteSource, Span

#: What blocks may be compressed with. The first two can be read in parts.
KNOWN = ("", "lz4", *streams.DECODERS)

#: An index is not larger than this, in bytes: that of a Level 2 file takes 14 kB.
LARGEST_INDEX = 1024 * 1024


class RemoteAsdf:
    """An ASDF file that is read in pieces, as they are needed. Picklable: another process reads its own pieces.

    :param source: what the bytes come from.
    :param key: the file's key there.
    :param size: its size in bytes where it is known, which saves asking.
    :param indexed: whether an index may lie beside it (`sidecar_key`), which is looked for first.
    :param cache: a folder where an index that had to be found out is kept for the next time; None for nowhere.
    :param verify: whether blocks that are read as a whole are compared with the checksum in their header.
    :param costs: which ranges are joined to one request.
    :param says: makes of an error another one, in the words of those who read it; must be picklable.
    """

    def __init__(
        self,
        source: ByteSource,
        key: str,
        *,
        size: int | None = None,
        indexed: bool = False,
        cache: Path | None = None,
        verify: bool = True,
        costs: Costs | None = None,
        says: Callable[[BlocksError], Exception] | None = None,
    ) -> None:
        self.source = source
        self.key = key
        self.verify = verify
        self.costs = costs or Costs()
        self._says = says
        self._cache = cache
        self._lock = threading.Lock()
        with self.spoken():
            self._index = self._stored(size) if indexed else None
            if self._index is None:
                size = source.size(key) if size is None else size
                self.tree, self.layout = read_layout(source, key, size)
            else:
                self.tree, self.layout = self._by_index(self._index, size)
            self.version = source.version(key)
        self._frames: dict[int, Frames] = {}

    def __getstate__(self) -> dict[str, Any]:
        # Another process needs no tree to read arrays.
        return {**self.__dict__, "_lock": None, "tree": b""}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def __dask_tokenize__(self) -> tuple[str, int, str | None]:
        return self.key, self.layout.size, self.version

    def open(self) -> asdf.AsdfFile:
        """Return the file with a lazy array for each of its arrays; it may be closed before they are read.

        :raises NotAsdfError: where asdf cannot understand the tree.
        """
        return asdf.open(io.BytesIO(self.tree), lazy_tree=True, memmap=False, extensions=[extension(self)])

    def block(self, number: int) -> Block:
        """Return a block by its number in the tree. Raises UnknownCompressionError or CorruptError."""
        try:
            block = self.layout.blocks[number]
        except IndexError:
            raise CorruptError("The file's description names a block that the file does not have.") from None
        if block.compression not in KNOWN:
            raise UnknownCompressionError(
                f"The file has an array compressed with {block.compression!r}, which this software cannot read: "
                "it knows lz4, zlib and bzp2."
            )
        return block

    def frames(self, number: int) -> Frames:
        """Return the frames of an lz4 block; where no index has them they are found once, and kept."""
        with self._lock:
            if number not in self._frames:
                found = self._index.frames(number) if self._index else None
                if found is None:
                    found = self._kept(number) or self._walked(number)
                self._frames[number] = found
            return self._frames[number]

    def fetch(self, spans: list[Span]) -> list[memoryview]:
        """Return the bytes of ranges of the file. Raises what the source raises."""
        return fetch(self.source, self.key, spans, self.costs, version=self.version)

    def stream(self, start: int, targets: Sequence[memoryview]) -> Iterator[Span]:
        """Fill targets one after the other with the file's bytes from `start` on; see `ByteSource.read_into`."""
        return self.source.read_into(self.key, start, targets, version=self.version)

    @contextlib.contextmanager
    def spoken(self) -> Iterator[None]:
        """Raise errors in the words of those who read them, and without what they came from."""
        try:
            yield
        except BlocksError as error:
            if self._says is None:
                raise
            raise self._says(error) from None

    def _stored(self, size: int | None) -> FileIndex | None:
        """Return the index beside the file, where there is one that may be this file's."""
        key = sidecar_key(self.key)
        with contextlib.suppress(BlocksError):
            found = FileIndex.from_bytes(bytes(self.source.read_start(key, LARGEST_INDEX)))
            if found and size in (None, found.size):
                return found
        return None

    def _by_index(self, index: FileIndex, size: int | None) -> tuple[bytes, Layout]:
        """Read the tree where the index says that it is; an index of another file is passed over."""
        [raw] = self.source.read_ranges(self.key, [(0, index.tree_end)])
        tree = bytes(raw)
        if digest(tree) == index.tree_md5:
            return tree, index.layout
        self._index = None
        return read_layout(self.source, self.key, self.source.size(self.key) if size is None else size)

    def _kept(self, number: int) -> Frames | None:
        """Return a block's frames from the folder where they were kept."""
        path = self._place()
        if path is None:
            return None
        with contextlib.suppress(OSError):
            found = FileIndex.from_bytes(path.read_bytes())
            if found and found.size == self.layout.size and number < len(found.blocks):
                return found.frames(number)
        return None

    def _walked(self, number: int) -> Frames:
        """Find a block's frames and keep them, beside those that were kept before."""
        frames = walk(self.source, self.key, self.block(number), version=self.version)
        path = self._place()
        if path is not None:
            numbers = [n for n, block in enumerate(self.layout.blocks) if block.compression == "lz4"]
            known = {n: kept for n in numbers if (kept := self._frames.get(n) or self._kept(n))} | {number: frames}
            # Nobody else's, and no reason to fail: a home that is full or read-only has no cache.
            with contextlib.suppress(OSError):
                path.parent.mkdir(parents=True, exist_ok=True)
                half = path.with_suffix(f".{threading.get_ident()}")
                half.write_bytes(FileIndex.of(self.tree or b"-", self.layout, known).to_bytes())
                half.replace(path)
        return frames

    def _place(self) -> Path | None:
        """Return where the index is kept: by key and version, so that another state of the file has its own."""
        if self._cache is None or self.version is None:
            return None
        name = hashlib.sha256(f"{self.key}\n{self.version}\n{self.layout.size}".encode()).hexdigest()
        return self._cache / f"{name}.idx"
