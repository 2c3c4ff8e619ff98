"""A read-only file over ranged reads, for formats that are read in pieces.

ASDF files are read in two ways: a tree and a block index of some ten kilobytes, and array blocks of up to
67 MB, which come either in one large read or, compressed, in many small ones. A fixed read-ahead
suits only one of these. This reader starts small and doubles its read-ahead while the reading is
sequential, so that opening a file moves little and reading an array takes few requests.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

#: Reads the bytes from the first position up to, not including, the second.
Fetch = Callable[[int, int], bytes]

#: The first read-ahead, in bytes: the trees of the sample archive's files, 23 to 43 kB, fit into one window.
FIRST_WINDOW = 64 * 1024

#: The largest read-ahead, in bytes. It bounds the memory that an open file holds.
LARGEST_WINDOW = 8 * 1024 * 1024


class RangeReader(io.RawIOBase):
    """A seekable binary file of `size` bytes whose bytes come from `fetch`.

    At most one window of bytes is held: a read that is larger than the read-ahead is passed on, not kept.
    """

    def __init__(self, fetch: Fetch, size: int) -> None:
        super().__init__()
        self._fetch = fetch
        self._size = size
        self._position = 0
        self._window = b""
        self._start = 0
        self._fetched_to = -1
        self._ahead = FIRST_WINDOW

    def readable(self) -> bool:
        """Return True: the file can be read."""
        return True

    def seekable(self) -> bool:
        """Return True: the file can be read from any position."""
        return True

    def tell(self) -> int:
        """Return the position of the next read, in bytes from the start."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the position of the next read and return it.

        Raises ValueError for a position before the start.
        """
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if origin + offset < 0:
            raise ValueError("A file has no position before its start.")
        self._position = origin + offset
        return self._position

    def readinto(self, buffer: Buffer) -> int:
        """Fill the buffer from the current position and return the number of bytes written."""
        view = memoryview(buffer).cast("B")
        start = self._position
        stop = min(start + len(view), self._size)
        if stop <= start:
            return 0
        done = start + self._from_window(view, start, stop)
        if done < stop:
            self._read_on(view[done - start :], done, stop)
        self._position = stop
        return stop - start

    def _from_window(self, view: memoryview, start: int, stop: int) -> int:
        """Copy what the window holds of the range's beginning; return how many bytes that is."""
        first = start - self._start
        piece = self._window[first : stop - self._start] if 0 <= first < len(self._window) else b""
        view[: len(piece)] = piece
        return len(piece)

    def _read_on(self, view: memoryview, start: int, stop: int) -> None:
        """Fetch the range into the view, and after a small one keep a window of what follows it."""
        sequential = start == self._fetched_to
        self._ahead = min(self._ahead * 2, LARGEST_WINDOW) if sequential else FIRST_WINDOW
        end = min(max(stop, start + self._ahead), self._size)
        data = self._fetch(start, end)
        view[: stop - start] = data[: stop - start]
        self._window, self._start = (data, start) if end > stop else (b"", end)
        self._fetched_to = end
