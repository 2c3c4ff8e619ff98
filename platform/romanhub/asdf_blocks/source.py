"""Where bytes come from: one small protocol, and files on a disk as its simplest case."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from romanhub.asdf_blocks.errors import ChangedError, CutShortError, NotThereError

#: Bytes from the first position up to, not including, the second.
Span = tuple[int, int]


def room(size: int) -> memoryview:
    """Return memory for so many bytes, which holds anything: unlike a bytearray's it is not filled with zeros."""
    memory: Any = np.empty(size, np.uint8)
    return memoryview(memory)


class ByteSource(Protocol):
    """Answers with bytes of objects. Implementations are picklable and safe to use from several threads.

    `version` is what tells one state of an object from another, such as an ETag; None is not compared. Raises
    NotThereError, ChangedError, CutShortError, DeniedError or UnreachableError.
    """

    def size(self, key: str) -> int:
        """Return the object's size in bytes."""
        ...

    def version(self, key: str) -> str | None:
        """Return the object's version as it was last seen; None where the source has none."""
        ...

    def read_start(self, key: str, most: int) -> memoryview:
        """Return the object's first bytes: `most`, or all where it has fewer."""
        ...

    def read_ranges(self, key: str, ranges: Sequence[Span], *, version: str | None = None) -> list[memoryview]:
        """Return the bytes of each range, in order. Each range is one request; they may be under way at once."""
        ...

    def read_into(
        self, key: str, start: int, targets: Sequence[memoryview], *, version: str | None = None
    ) -> Iterator[Span]:
        """Fill `targets` one after the other with the bytes from `start` on; yield what is filled as it is.

        Each stretch that is yielded is counted from `start` and yielded once. They come in any order, but one
        begins at 0, or where another ends.
        """
        ...


class FileSource:
    """Files under a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def size(self, key: str) -> int:
        """Return the file's size in bytes."""
        try:
            return (self._root / key).stat().st_size
        except FileNotFoundError:
            raise NotThereError("The file is not there.") from None

    def version(self, key: str) -> str | None:
        """Return the file's time of change and size."""
        try:
            found = (self._root / key).stat()
        except FileNotFoundError:
            raise NotThereError("The file is not there.") from None
        return f"{found.st_mtime_ns}-{found.st_size}"

    def read_start(self, key: str, most: int) -> memoryview:
        """Return the file's first bytes: `most`, or all where it has fewer."""
        [data] = self.read_ranges(key, [(0, min(most, self.size(key)))])
        return data

    def read_ranges(self, key: str, ranges: Sequence[Span], *, version: str | None = None) -> list[memoryview]:
        """Return the bytes of each range, in order."""
        parts = []
        for start, stop in ranges:
            target = room(stop - start)
            for _ in self.read_into(key, start, [target], version=version):
                pass
            parts.append(target)
        return parts

    def read_into(
        self, key: str, start: int, targets: Sequence[memoryview], *, version: str | None = None
    ) -> Iterator[Span]:
        """Fill `targets` one after the other with the bytes from `start` on; yield each as it is filled."""
        if version is not None and self.version(key) != version:
            raise ChangedError("The file was changed after it was opened; open it again.")
        try:
            with (self._root / key).open("rb", buffering=0) as file:
                file.seek(start)
                place = 0
                for target in targets:
                    done = 0
                    while done < len(target):
                        count = file.readinto(target[done:])
                        if not count:
                            raise CutShortError("The file is shorter than what it says that it holds.")
                        done += count
                    yield place, place + done
                    place += done
        except FileNotFoundError:
            raise NotThereError("The file is not there.") from None
