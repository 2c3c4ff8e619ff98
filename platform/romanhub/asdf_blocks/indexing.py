"""Make the index of a file, once, where the whole file is at hand: when data enter an archive."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from romanhub.asdf_blocks.frames import Frames, walk
from romanhub.asdf_blocks.layout import read_layout
from romanhub.asdf_blocks.restart import points
from romanhub.asdf_blocks.sidecar import FileIndex, sidecar_key
from romanhub.asdf_blocks.source import ByteSource, FileSource

#: A frame shorter than this, in bytes, gets no restart points: it is read as a whole at little cost.
WORTH = 512 * 1024


def build_index(source: ByteSource, key: str) -> FileIndex:
    """Return the index of one file. Reads every lz4 block; a Level 2 file of 155 MB takes about 5 s on one core.

    Raises what reading the file raises: see `romanhub.asdf_blocks.errors`.
    """
    tree, layout = read_layout(source, key, source.size(key))
    frames = {
        number: _with_points(source, key, walk(source, key, block))
        for number, block in enumerate(layout.blocks)
        if block.compression == "lz4"
    }
    return FileIndex.of(tree, layout, frames)


def write_index(path: Path) -> Path:
    """Write the index of a file on a disk beside it, whole or not at all, and return where it is.

    Raises what reading the file raises.
    """
    found = build_index(FileSource(path.parent), path.name)
    target = path.with_name(sidecar_key(path.name))
    half = target.with_name(f".{target.name}")
    half.write_bytes(found.to_bytes())
    half.replace(target)
    return target


def _with_points(source: ByteSource, key: str, frames: Frames) -> Frames:
    found = []
    for frame in frames.frames:
        if frame.length >= WORTH:
            [raw] = source.read_ranges(key, [(frame.start, frame.start + frame.length)])
            frame = replace(frame, points=points(bytes(raw), frame.size))
        found.append(frame)
    return Frames(tuple(found))
