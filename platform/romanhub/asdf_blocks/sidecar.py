"""The index of one file: what opening it would find out by many small reads, kept in a small object beside it."""

from __future__ import annotations

import hashlib
import zlib
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from romanhub.asdf_blocks.frames import Frame, Frames
from romanhub.asdf_blocks.layout import Block, Layout
from romanhub.asdf_blocks.restart import Point

#: What follows a file's key in the key of its index.
ENDING = ".idx.json.z"


def sidecar_key(key: str) -> str:
    """Return the key of the index of the object at `key`."""
    return key + ENDING


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BlockIndex(_Model):
    """One block, and its frames where it is compressed with lz4."""

    start: int = Field(ge=0, description="Where its data begin in the file.")
    used: int = Field(ge=0, description="How many bytes of the file its data take.")
    size: int = Field(ge=0, description="How many bytes they are when decoded.")
    compression: str = Field(description="As its header says; empty for none.")
    checksum: str = Field(description="The MD5 of the used bytes, in hexadecimal digits; empty for none.")
    frames: tuple[tuple[int, int, int], ...] = Field(
        default=(),
        description="For lz4: of each frame its payload's place in the file and length, and its data's.",
    )
    points: tuple[tuple[int, int, int, int, int, int, int], ...] = Field(
        default=(),
        description="Restart points: the frame's number, then the point's fields in their order; -1 for no token.",
    )


class FileIndex(_Model):
    """What there is to know of where things are in one file."""

    version: Literal[1] = Field(default=1, description="The version of this description.")
    size: int = Field(gt=0, description="The file's size in bytes.")
    tree_end: int = Field(gt=0, description="Where its tree ends.")
    tree_md5: str = Field(
        description="The MD5 of the file up to there: an index of another file is recognised by it."
    )
    blocks: tuple[BlockIndex, ...] = Field(description="The file's blocks, in order.")

    @classmethod
    def of(cls, tree: bytes, layout: Layout, frames: dict[int, Frames]) -> FileIndex:
        """Return the index of a file with this tree and layout; `frames` are by the number of the block."""
        return cls(
            size=layout.size,
            tree_end=layout.tree_end,
            tree_md5=digest(tree),
            blocks=tuple(
                BlockIndex(
                    start=block.start,
                    used=block.used,
                    size=block.size,
                    compression=block.compression,
                    checksum=block.checksum,
                    frames=tuple((each.start, each.length, each.size) for each in _frames(frames, number)),
                    points=tuple(
                        (at, p.data, p.place, p.back, -1 if p.token is None else p.token, p.left, p.match)
                        for at, each in enumerate(_frames(frames, number))
                        for p in each.points
                    ),
                )
                for number, block in enumerate(layout.blocks)
            ),
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> FileIndex | None:
        """Return an index as it is stored; None for what is none, which is only as bad as having none."""
        try:
            return cls.model_validate_json(zlib.decompress(data))
        except (ValidationError, zlib.error):
            return None

    def to_bytes(self) -> bytes:
        """Return the index as it is stored: JSON, compressed with zlib."""
        return zlib.compress(self.model_dump_json().encode(), 9)

    @property
    def layout(self) -> Layout:
        """The file's layout."""
        return Layout(
            self.size,
            self.tree_end,
            tuple(Block(b.start, b.used, b.size, b.compression, b.checksum) for b in self.blocks),
        )

    def frames(self, number: int) -> Frames | None:
        """Return the frames of a block; None where it has none."""
        block = self.blocks[number]
        if not block.frames:
            return None
        points: dict[int, list[Point]] = {}
        for at, data, place, back, token, left, match in block.points:
            points.setdefault(at, []).append(Point(data, place, back, None if token < 0 else token, left, match))
        return Frames(
            tuple(
                Frame(start, length, size, tuple(points.get(at, ())))
                for at, (start, length, size) in enumerate(block.frames)
            )
        )


def digest(tree: bytes) -> str:
    """Return the MD5 by which a tree is recognised; it guards against mistakes, not against malice."""
    return hashlib.md5(tree, usedforsecurity=False).hexdigest()


def _frames(frames: dict[int, Frames], number: int) -> tuple[Frame, ...]:
    return frames[number].frames if number in frames else ()
