"""Where things are in an ASDF file: the end of its tree, and its blocks with what their headers say.

The layout of a file and of a block header is that of the ASDF Standard, 1.6.0, "Low-level file layout".
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

import yaml

from romanhub.asdf_blocks.errors import CorruptError, CutShortError, NotAsdfError
from romanhub.asdf_blocks.plan import Costs, fetch
from romanhub.asdf_blocks.source import ByteSource

MAGIC = b"\xd3BLK"
INDEX = b"#ASDF BLOCK INDEX"
#: A block's magic, the size of its header, and the header's fields (all big-endian).
HEADER = struct.Struct(">4sHI4sQQQ16s")
STREAMED = 1

#: The first bytes that are read: the trees of Roman's Level 2 files take 23 to 43 kB.
HEAD = 48 * 1024
#: The last bytes that are read, for the block index: 4 kB hold some hundred blocks.
TAIL = 4 * 1024
#: A tree beyond this is taken for damage.
LARGEST_TREE = 256 * 1024 * 1024

_TREE_END = re.compile(rb"\r?\n\.\.\.\r?\n")


@dataclass(frozen=True)
class Block:
    """A block: its data are `used` bytes from `start`, which decode to `size` bytes.

    `compression` is empty for data as they are. `checksum` is the MD5 of the used bytes in hexadecimal digits;
    empty where the writer gave none.
    """

    start: int
    used: int
    size: int
    compression: str
    checksum: str


@dataclass(frozen=True)
class Layout:
    """A file's size in bytes, the end of its tree, and its blocks in order."""

    size: int
    tree_end: int
    blocks: tuple[Block, ...]


def read_tree(source: ByteSource, key: str, size: int) -> tuple[bytes, bytes, int | None]:
    """Read the tree and the end of the file, in one round of requests for a tree of up to 48 kB.

    :return: the file's bytes up to the end of its tree, its last bytes, and where its first block begins
        (None for a file without blocks).
    :raises NotAsdfError: where the object does not begin as an ASDF file does.
    :raises CutShortError: where it ends within its tree.
    """
    head_stop = min(HEAD, size)
    spans = [(0, head_stop), (max(size - TAIL, 0), size)]
    head, tail = (bytes(part) for part in fetch(source, key, spans, Costs(gap=0)))
    version = source.version(key)
    if not head.startswith(b"#ASDF "):
        raise NotAsdfError("The file is not an ASDF file.")
    while True:
        end = _TREE_END.search(head if len(head) < size else head + b"\n")
        # A block's magic ends the search too: a file may have no tree.
        first = head.find(MAGIC, end.end() if end else 0)
        if first >= 0 or len(head) == size:
            break
        if end and len(head) > end.end() + len(MAGIC) and head[end.end() :].strip(b"\0"):
            break
        if len(head) > LARGEST_TREE:
            raise CorruptError("The file has no end of its tree where one could be.")
        [more] = source.read_ranges(key, [(len(head), min(3 * len(head), size))], version=version)
        head += bytes(more)
    if end is None and first < 0:
        raise CutShortError("The file is cut short: it ends within its description.")
    return head[: end.end() if end else first], tail, first if first >= 0 else None


def read_layout(source: ByteSource, key: str, size: int) -> tuple[bytes, Layout]:
    """Read the tree and the headers of all blocks: two rounds of requests where the file has a block index.

    Without an index, or with one that is wrong, the headers are read one after the other.

    :return: the file's bytes up to the end of its tree, and its layout.
    :raises NotAsdfError, CutShortError, CorruptError: for a file that is none, is cut short or cannot be
        understood.
    """
    tree, tail, first = read_tree(source, key, size)
    if first is None:
        return tree, Layout(size, len(tree), ())
    version = source.version(key)
    offsets = _indexed(tail, first, size)
    blocks: list[Block] | None = None
    if offsets:
        spans = [(offset, offset + HEADER.size) for offset in offsets]
        headers = fetch(source, key, spans, Costs(gap=TAIL), version=version)
        try:
            blocks = [_block(bytes(raw), offset, size)[0] for raw, offset in zip(headers, offsets, strict=True)]
        except CorruptError:
            blocks = None  # an index that does not fit the file, left by a program that changed it
    return tree, Layout(
        size, len(tree), tuple(_walk(source, key, first, size, version) if blocks is None else blocks)
    )


def _walk(source: ByteSource, key: str, first: int, size: int, version: str | None) -> list[Block]:
    """Read one header after the other."""
    blocks: list[Block] = []
    offset = first
    while offset + HEADER.size <= size:
        [raw] = source.read_ranges(key, [(offset, offset + HEADER.size)], version=version)
        if bytes(raw[: len(INDEX)]) == INDEX or not bytes(raw).strip(b"\0"):
            return blocks
        block, offset = _block(bytes(raw), offset, size)
        blocks.append(block)
    if size - offset > 0:
        [raw] = source.read_ranges(key, [(offset, size)], version=version)
        if bytes(raw).startswith(MAGIC):
            raise CutShortError("The file is cut short: it ends within the header of a block.")
    return blocks


def _indexed(tail: bytes, first: int, size: int) -> list[int] | None:
    """Return the blocks' offsets from the index at the end of the file; None where there is none that fits."""
    place = tail.rfind(INDEX)
    if place < 0:
        return None
    try:
        offsets = yaml.safe_load(tail[place + len(INDEX) :])
    except yaml.YAMLError:
        return None
    fits = (
        isinstance(offsets, list)
        and all(isinstance(offset, int) for offset in offsets)
        and offsets == sorted(set(offsets))
        and offsets[:1] == [first]
        and offsets[-1] + HEADER.size <= size
    )
    return offsets if fits else None


def _block(raw: bytes, offset: int, size: int) -> tuple[Block, int]:
    """Return the block whose header is at `offset`, and where the next one would begin."""
    magic, header_size, flags, compression, allocated, used, data_size, checksum = HEADER.unpack(raw)
    if magic != MAGIC or header_size < HEADER.size - 6:
        raise CorruptError("The header of a block in the file cannot be understood.")
    start = offset + 6 + header_size
    if flags & STREAMED:
        used = allocated = data_size = max(size - start, 0)
    if start + used > size:
        raise CutShortError("The file is cut short: one of its blocks ends after the file does.")
    if allocated < used:
        raise CorruptError("The header of a block in the file contradicts itself.")
    label = compression.rstrip(b"\0").decode("ascii", "replace")
    if not label and used != data_size:
        raise CorruptError("The header of a block in the file contradicts itself.")
    found = Block(start, used, data_size, label, checksum.hex() if any(checksum) and not flags & STREAMED else "")
    return found, start + allocated
