"""Previews of the sample's images: what they show, and that few are made at a time and kept."""

from __future__ import annotations

import asyncio
import struct
import threading
import zlib
from pathlib import Path

import asdf
import numpy as np
import pytest
from romanhub.asdf_blocks import FileSource
from romanhub.models.archive import ArchiveIndex
from romanhub.portal.previews import NoPreviewError, Previews, Subject, make_preview, png, stretched
from romanhub.sample import small_archive

INDEX = ArchiveIndex.model_validate_json((small_archive() / "index.json").read_bytes())


def shades_of(picture: bytes) -> np.ndarray:
    """The shades of a PNG file as `png` writes it: one part of data, no filters of lines."""
    columns, rows = struct.unpack(">II", picture[16:24])
    start = picture.index(b"IDAT")
    (length,) = struct.unpack(">I", picture[start - 4 : start])
    lines = zlib.decompress(picture[start + 4 : start + 4 + length])
    return np.frombuffer(lines, np.uint8).reshape(rows, columns + 1)[:, 1:]


def test_a_preview_has_the_brightest_star_where_the_image_has_it() -> None:
    record = next(one for one in INDEX.exposures if one.level == 2)
    shades = shades_of(make_preview(FileSource(small_archive()), record.key))
    assert shades.shape == (256, 256)
    assert shades.max() == 255
    assert 1 <= np.median(shades) < 80, "the sky is dark"


def test_what_has_no_value_is_transparent_and_the_rest_goes_from_black_to_white() -> None:
    data = np.linspace(0, 1, 10_000, dtype=np.float32).reshape(100, 100)
    data[0, :50] = np.nan
    shades = shades_of(png(stretched(data)))
    assert set(shades[0, :50]) == {0}
    rest = shades.ravel()[50:].astype(int)
    assert (np.diff(rest) >= 0).all()
    assert (rest.min(), rest.max()) == (1, 255)
    assert not stretched(np.full((2, 2), np.nan, np.float32)).any()


@pytest.mark.parametrize("file", [b"", b"#ASDF 1.0.0\n", b"\x89PNG" * 100])
def test_a_file_that_is_no_image_has_no_preview(file: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.asdf").write_bytes(file)
    with pytest.raises(NoPreviewError, match="cannot be understood"):
        make_preview(FileSource(tmp_path), "x.asdf")
    with pytest.raises(NoPreviewError, match="did not give"):
        make_preview(FileSource(tmp_path), "y.asdf")


class Counted(FileSource):
    """A folder that counts the bytes that are read of it."""

    moved = 0

    def read_into(self, key, start, targets, *, version=None):
        self.moved += sum(len(target) for target in targets)
        return super().read_into(key, start, targets, version=version)


@pytest.mark.parametrize("compression", [None, "lz4"])
def test_a_preview_reads_the_image_and_nothing_else_of_its_file(tmp_path: Path, compression: str | None) -> None:
    image = np.random.default_rng(1).normal(10, 1, (1024, 1024)).astype(np.float32)
    others = {name: image.astype(kind) for name, kind in (("err", "f2"), ("dq", "u4"), ("var_poisson", "f4"))}
    path = tmp_path / "x.asdf"
    asdf.AsdfFile({"roman": {"data": image} | others}).write_to(path, all_array_compression=compression)
    objects = Counted(tmp_path)
    shades = shades_of(make_preview(objects, "x.asdf"))
    assert shades.shape == (256, 256)
    # Beside the image, its description, the end of the file and the lengths of its frames.
    assert objects.moved < image.nbytes + 128 * 1024
    assert objects.moved < 0.4 * path.stat().st_size or compression


async def test_previews_are_made_once_few_at_a_time_and_kept_up_to_a_size() -> None:
    key = next(one for one in INDEX.exposures if one.level == 2).key
    folder = FileSource(small_archive())
    lock, now, most, reads = threading.Lock(), 0, 0, 0

    def objects(_token: str, _dataset: str) -> FileSource:
        nonlocal now, most, reads
        with lock:
            now, reads = now + 1, reads + 1
            most = max(most, now)
        with lock:
            now -= 1
        return folder

    previews = Previews(objects, kept_bytes=3 * len(make_preview(folder, key)), at_once=1)
    subjects = [Subject(dataset="roman-l2", key=key, sha256=str(number), size=1) for number in range(5)]
    await asyncio.gather(*(previews.of(each, "token") for each in subjects for _ in range(3)))
    assert reads == 5, "those who ask at once wait for the same one"
    assert most == 1
    await previews.of(subjects[-1], "token")
    assert reads == 5
    await previews.of(subjects[0], "token")
    assert reads == 6, "the oldest made room"
    with pytest.raises(NoPreviewError, match="too large"):
        await previews.of(Subject(dataset="roman-l2", key=key, sha256="x", size=2_000_000_000), "token")
