"""Blocks that are one compressed stream, zlib or bzp2: they are decoded from their start, up to a point."""

from __future__ import annotations

import bz2
import zlib
from collections.abc import Callable
from typing import Any

from romanhub.asdf_blocks.errors import CorruptError

DECODERS: dict[str, Callable[[], Any]] = {"zlib": zlib.decompressobj, "bzp2": bz2.BZ2Decompressor}

#: How many compressed bytes are read at a time where not the whole block is wanted.
STEP = 4 * 1024 * 1024


class Decoder:
    """Decodes a stream into a buffer, part by part."""

    def __init__(self, compression: str, target: memoryview) -> None:
        self._decoder = DECODERS[compression]()
        self._target = target
        self.done = 0

    def feed(self, part: memoryview) -> None:
        """Decode a part. What goes beyond the buffer is dropped. Raises CorruptError."""
        try:
            data = self._decoder.decompress(part) if not getattr(self._decoder, "eof", False) else b""
        except (zlib.error, OSError, EOFError):
            raise CorruptError(
                "A compressed block of the file is damaged: its stream cannot be decoded."
            ) from None
        count = min(len(data), len(self._target) - self.done)
        self._target[self.done : self.done + count] = data[:count]
        self.done += count

    def finish(self) -> None:
        """Raise CorruptError where the stream ended before the buffer was full."""
        if self.done < len(self._target):
            raise CorruptError("A compressed block of the file is damaged: its stream ends too early.")
