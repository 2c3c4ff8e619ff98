"""Small pictures of images in the archive, made on the server and kept for a while.

Of a file only the image is read, not its uncertainties and quality: a fifth of an uncompressed Level 2 file. Rows
are not left out, or stars would be.
"""

from __future__ import annotations

import asyncio
import logging
import struct
import warnings
import zlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import anyio.to_thread
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from romanhub.asdf_blocks import (
    BlocksError,
    ByteSource,
    DeniedError,
    NotThereError,
    RemoteAsdf,
    UnreachableError,
)

log = logging.getLogger(__name__)

#: A preview's longer side, in pixels, at most.
SIDE = 256
#: An image whose file is larger has no preview: a whole Level 2 file has 313 MB, a large mosaic a few times that.
LARGEST_FILE = 1_000_000_000
#: An image is made into a preview only up to so many pixels.
MOST_PIXELS = 200_000_000
#: How many previews are made at once: each may hold a whole image in memory.
AT_ONCE = 2
#: How many may wait for their turn; more are sent away for now.
WAITING = 200
#: How much memory the kept previews may take, in bytes.
KEPT_BYTES = 64_000_000

#: Where the stretch begins to be logarithmic, as a share of what is shown as white; and what is shown as black and
#: as white, in percent of the pixels.
_SOFTENING, _BLACK, _WHITE = 0.1, 25.0, 99.7


class NoPreviewError(Exception):
    """There is no preview of this image; the message says why."""


class Subject(BaseModel):
    """The image that a preview is of: its object in the archive, and what that holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: str
    key: str
    sha256: str
    size: int


#: Returns the objects of a data set as the owner of a token may read them; may wait, and raises OSError.
Objects = Callable[[str, str], ByteSource]


class Previews:
    """Makes previews, few at once, and keeps the last ones.

    A preview is kept under the checksum of its image, so that one of an image that changed is never shown.
    """

    def __init__(self, objects: Objects, *, kept_bytes: int = KEPT_BYTES, at_once: int = AT_ONCE) -> None:
        self._objects = objects
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0
        self._most = kept_bytes
        self._making: dict[str, asyncio.Task[bytes]] = {}
        self._turn = asyncio.Semaphore(at_once)

    async def of(self, subject: Subject, token: str) -> bytes:
        """Return the PNG file of an image's preview for the owner of a token. Raises NoPreviewError."""
        kept = self._kept.get(subject.sha256)
        if kept is not None:
            self._kept.move_to_end(subject.sha256)
            return kept
        task = self._making.get(subject.sha256)
        if task is None:
            if len(self._making) >= WAITING:
                raise NoPreviewError("Too many previews are being made. Load the page again in a minute.")
            task = asyncio.create_task(self._make(subject, token))
            self._making[subject.sha256] = task
            task.add_done_callback(lambda _done: self._making.pop(subject.sha256, None))
        # Somebody who goes away does not take the preview from others who wait for it.
        return await asyncio.shield(task)

    async def _make(self, subject: Subject, token: str) -> bytes:
        if subject.size > LARGEST_FILE:
            raise NoPreviewError("The image is too large for a preview.")
        async with self._turn:
            try:
                picture = await anyio.to_thread.run_sync(
                    lambda: make_preview(self._objects(token, subject.dataset), subject.key)
                )
            except OSError as error:
                log.warning("No image for a preview: %s", error)
                raise NoPreviewError(f"There is no preview: {error}") from error
        self._kept[subject.sha256] = picture
        self._bytes += len(picture)
        while self._bytes > self._most:
            self._bytes -= len(self._kept.popitem(last=False)[1])
        return picture


def make_preview(objects: ByteSource, key: str) -> bytes:
    """Return the PNG file of the preview of an image, which is a Roman data model in ASDF.

    Raises NoPreviewError where the file is no such thing or cannot be read.
    """
    try:
        with warnings.catch_warnings():
            # The extensions that make Roman's data models of the tree are not here, nor is any needed.
            warnings.simplefilter("ignore")
            with RemoteAsdf(objects, key, indexed=True).open() as tree:
                data = tree["roman"]["data"]
                if len(data.shape) != 2 or not 0 < data.shape[0] * data.shape[1] <= MOST_PIXELS:
                    raise NoPreviewError("The image has a shape that no preview is made of.")
                small = _averaged(np.asarray(data))
    except (NotThereError, DeniedError, UnreachableError) as error:
        raise NoPreviewError("The archive's storage did not give the image.") from error
    except (BlocksError, ValueError, TypeError, KeyError, AttributeError, OSError, RuntimeError) as error:
        raise NoPreviewError("The image's file cannot be understood.") from error
    return png(stretched(small))


def _averaged(data: NDArray[Any]) -> NDArray[np.float32]:
    """Return the image with its longer side at most SIDE: means of squares of pixels, rows from the top."""
    step = -(-max(data.shape) // SIDE)
    rows, columns = (side // step for side in data.shape)
    if not rows or not columns:
        raise NoPreviewError("The image is too narrow for a preview.")
    squares = np.asarray(data[: rows * step, : columns * step], dtype=np.float32)
    squares = squares.reshape(rows, step, columns, step)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a square without a pixel that counts is not-a-number
        means: NDArray[np.float32] = np.nanmean(np.where(np.isfinite(squares), squares, np.nan), axis=(1, 3))
    return means[::-1]


def stretched(data: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return an image as shades from 1, black, to 255, white, by an inverse hyperbolic sine (Lupton et al. 1999).

    0 is for pixels without a value.
    """
    good = np.isfinite(data)
    if not good.any():
        return np.zeros(data.shape, np.uint8)
    low, high = np.percentile(data[good], [_BLACK, _WHITE])
    share = np.clip((data - low) / max(float(high - low), 1e-30), 0, 1)
    curve = np.arcsinh(share / _SOFTENING) / np.arcsinh(1 / _SOFTENING)
    return np.where(good, 1 + np.rint(254 * np.nan_to_num(curve)), 0).astype(np.uint8)


def png(shades: NDArray[np.uint8]) -> bytes:
    """Return shades of grey, shape (rows, columns), as a PNG file (ISO/IEC 15948); shade 0 is transparent."""
    rows, columns = shades.shape
    lines = np.hstack([np.zeros((rows, 1), np.uint8), shades]).tobytes()  # each line begins with its filter: none
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)),
        (b"tRNS", struct.pack(">H", 0)),
        (b"IDAT", zlib.compress(lines, 6)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )
