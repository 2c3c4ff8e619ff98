"""ASDF files in pieces: the bytes are right, few, and fetched by few requests."""

from __future__ import annotations

import copy
import itertools
import pickle
from pathlib import Path

import pytest

pytest.importorskip("roman_datamodels", reason="the notebook's side is tested in the analysis environment")

import asdf
import lz4.block
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from romanhub.asdf_blocks import (
    CorruptError,
    CutShortError,
    FileIndex,
    FileSource,
    LazyArray,
    RemoteAsdf,
    UnknownCompressionError,
    build_index,
    read_together,
    sidecar_key,
    to_dask,
    write_index,
)
from romanhub.asdf_blocks.frames import Frame, Frames
from romanhub.asdf_blocks.plan import Costs, join
from romanhub.asdf_blocks.restart import points
from romanhub.asdf_blocks.window import as_window
from romanhub.models.archive import FILE_INDEX_ENDING

COMPRESSIONS = (None, "lz4", "zlib", "bzp2")


def noisy(shape: tuple[int, ...], kind: str) -> np.ndarray:
    """Numbers as an image has them: noise, some of it in few digits, so that it compresses a little."""
    numbers = np.random.default_rng(5).normal(100, 10, shape)
    return np.round(numbers, 1).astype(kind)


ARRAYS = {
    "data": noisy((500, 1100), "f4"),
    "err": noisy((500, 1100), "f2"),
    "dq": (np.random.default_rng(6).random((500, 1100)) > 0.99).astype("u4"),
    "cube": noisy((3, 200, 300), ">f8"),
    "few": np.arange(7.0),
}


class Counted(FileSource):
    """A folder that counts what is read of it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.spans: list[tuple[int, int]] = []

    def read_into(self, key, start, targets, *, version=None):
        self.spans.append((start, start + sum(len(target) for target in targets)))
        return super().read_into(key, start, targets, version=version)

    @property
    def moved(self) -> int:
        return sum(stop - start for start, stop in self.spans)


@pytest.fixture(scope="session")
def files(tmp_path_factory) -> Path:
    """A folder with the same arrays in a file of each compression, with small lz4 frames too."""
    folder = tmp_path_factory.mktemp("files")
    for compression in COMPRESSIONS:
        asdf.AsdfFile({"arrays": ARRAYS, "listed": np.arange(3)}).write_to(
            folder / f"{compression}.asdf", all_array_compression=compression
        )
    with asdf.config_context() as config:
        config.all_array_compression = "lz4"
        config.all_array_compression_kwargs = {"compression_block_size": 300_000}
        asdf.AsdfFile({"arrays": ARRAYS}).write_to(folder / "frames.asdf")
    return folder


def opened(folder: Path, name: str, **options) -> tuple[dict[str, LazyArray], Counted]:
    source = Counted(folder)
    remote = RemoteAsdf(source, f"{name}.asdf", **options)
    with remote.open() as file:
        arrays = {key: file["arrays"][key] for key in ARRAYS}
    source.spans.clear()
    return arrays, source


part = st.one_of(
    st.integers(-600, 600),
    st.builds(
        slice, *[st.one_of(st.none(), st.integers(-900, 900))] * 2, st.sampled_from([None, 1, 2, 7, -1, -3])
    ),
)


@pytest.mark.parametrize("name", ["None", "lz4", "frames", "zlib"])
@settings(max_examples=15, deadline=None)
@given(index=st.one_of(part, st.tuples(part, part), st.tuples(st.just(...), part), st.just(...), st.just(())))
def test_any_slice_is_what_numpy_gives(files, name, index) -> None:
    for key in ("data", "cube"):
        array = opened(files, name)[0][key]
        try:
            expected = ARRAYS[key][index]
        except IndexError:
            with pytest.raises(IndexError):
                array[index]
            continue
        found = array[index]
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype


@pytest.mark.parametrize("name", ["None", "lz4", "frames", "zlib", "bzp2"])
def test_whole_arrays_and_whatever_numpy_does_with_them(files, name) -> None:
    arrays, _ = opened(files, name)
    for key, expected in ARRAYS.items():
        array = arrays[key]
        assert isinstance(array, LazyArray)
        assert (array.shape, array.dtype, array.ndim) == (expected.shape, expected.dtype, expected.ndim)
        np.testing.assert_array_equal(array, expected)
        assert array.loaded
        np.testing.assert_array_equal(array * 2 + 1, expected * 2 + 1)
        assert np.max(array) == expected.max() == array.max()
    data = opened(files, name)[0]["data"]
    np.testing.assert_array_equal(data[[3, 5], 10], ARRAYS["data"][[3, 5], 10])
    np.testing.assert_array_equal(data[data > 130], ARRAYS["data"][ARRAYS["data"] > 130])


def test_only_the_rows_that_are_asked_for_are_read(files) -> None:
    arrays, source = opened(files, "None")
    arrays["data"][100:110, 5:25]
    assert len(source.spans) == 1  # the gaps between rows cost less than a request
    assert source.moved == (9 * 1100 + 20) * 4
    pieces = read_together([arrays["data"], arrays["err"]], np.s_[100:110, 5:25])
    np.testing.assert_array_equal(pieces[1], ARRAYS["err"][100:110, 5:25])


def test_only_the_frames_that_are_touched_are_read_and_less_with_an_index(files, tmp_path) -> None:
    arrays, source = opened(files, "frames")
    arrays["data"][:2, :2]  # finds the frames
    source.spans.clear()
    piece = arrays["data"][350:360]
    np.testing.assert_array_equal(piece, ARRAYS["data"][350:360])
    whole = source.moved
    assert whole < 0.3 * ARRAYS["data"].nbytes

    (tmp_path / "lz4.asdf").write_bytes((files / "lz4.asdf").read_bytes())
    assert write_index(tmp_path / "lz4.asdf") == tmp_path / sidecar_key("lz4.asdf")
    plain, unaided = opened(files, "lz4")
    aided, indexed = opened(tmp_path, "lz4", indexed=True)
    for arrays, source in ((plain, unaided), (aided, indexed)):
        arrays["data"][:2, :2]
        source.spans.clear()
        np.testing.assert_array_equal(arrays["data"][480:490], ARRAYS["data"][480:490])
    assert len(indexed.spans) == 1
    assert indexed.moved < 0.4 * unaided.moved


def test_an_index_is_read_back_as_it_was_and_another_files_index_is_passed_over(files, tmp_path) -> None:
    assert sidecar_key("") == FILE_INDEX_ENDING
    index = build_index(FileSource(files), "lz4.asdf")
    assert FileIndex.from_bytes(index.to_bytes()) == index
    assert FileIndex.from_bytes(b"nonsense") is None
    content = (files / "lz4.asdf").read_bytes()
    (tmp_path / "a.asdf").write_bytes(content.replace(b"listed", b"LISTED"))
    (tmp_path / sidecar_key("a.asdf")).write_bytes(index.to_bytes())
    np.testing.assert_array_equal(opened(tmp_path, "a", indexed=True)[0]["data"][5:9], ARRAYS["data"][5:9])


def test_what_had_to_be_found_out_is_kept_for_the_next_time(files, tmp_path) -> None:
    for requests in (2, 1):
        arrays, source = opened(files, "lz4", cache=tmp_path / "cache")
        arrays["data"][5]
        assert len(source.spans) == requests
    assert len(list((tmp_path / "cache").iterdir())) == 1


noise = st.builds(
    lambda seed, digits, repeat: np.tile(
        np.round(np.random.default_rng(seed).normal(0, 1, 40_000), digits).astype("f4"), repeat
    ).tobytes(),
    st.integers(0, 2**32 - 1),
    st.integers(0, 8),
    st.integers(1, 3),
)


@settings(max_examples=12, deadline=None)
@given(data=noise, dice=st.randoms(use_true_random=False))
def test_a_part_of_a_frame_decodes_from_its_restart_points_to_the_same_bytes(data, dice) -> None:
    payload = lz4.block.compress(data, store_size=False)
    found = points(payload, len(data), stride=7_000)
    frames = Frames((Frame(0, len(payload), len(data), found),))
    assert found
    for _ in range(10):
        start = dice.randrange(len(data))
        stop = dice.randrange(start + 1, min(start + 30_000, len(data)) + 1)
        [piece] = frames.pieces(start, stop)
        begin, end = frames.span(piece)
        origin, decoded = frames.decode(piece, memoryview(payload)[begin:end])
        assert bytes(decoded)[start - origin : stop - origin] == data[start:stop]


spans = st.lists(
    st.tuples(st.integers(0, 5000), st.integers(1, 300)).map(lambda s: (s[0], s[0] + s[1])), min_size=1
)


@given(spans, st.integers(0, 500))
def test_requests_cover_what_is_asked_for_and_join_no_more_than_small_gaps(wanted, gap) -> None:
    requests = join(wanted, Costs(gap))
    for start, stop in wanted:
        assert any(first <= start and stop <= last for first, last in requests)
    assert all(before[1] < after[0] for before, after in itertools.pairwise(requests))
    asked = sum(last - first for first, last in join(wanted, Costs(0)))
    moved = sum(last - first for first, last in requests)
    pieces = len(join(wanted, Costs(0)))
    assert asked <= moved <= asked + gap * (pieces - len(requests))


def test_an_index_of_all_elements_is_no_window() -> None:
    assert as_window(np.s_[:, :], (4, 5), np.dtype("f4"), 0) is None
    assert as_window(np.s_[::-1], (4,), np.dtype("f4"), 0) is None
    window = as_window(np.s_[1:3], (4, 5), np.dtype("f4"), 8)
    assert window.runs == ((28, 68),)


def test_a_copy_is_ones_own_and_a_pickle_reads_for_itself(files) -> None:
    arrays, _ = opened(files, "None")
    data = arrays["data"]
    data[0, 0] = -1
    other = copy.deepcopy(data)
    other[0, 0] = -2
    assert (data[0, 0], other[0, 0]) == (-1, -2)
    sent = pickle.loads(pickle.dumps(arrays["err"]))
    assert not sent.loaded
    np.testing.assert_array_equal(sent[3:5], ARRAYS["err"][3:5])


def test_a_file_with_lazy_arrays_can_be_written(files, tmp_path) -> None:
    with RemoteAsdf(FileSource(files), "lz4.asdf").open() as file:
        asdf.AsdfFile({"arrays": dict(file["arrays"])}).write_to(tmp_path / "again.asdf")
    with asdf.open(tmp_path / "again.asdf") as file:
        for key, expected in ARRAYS.items():
            np.testing.assert_array_equal(file["arrays"][key], expected)


@pytest.mark.parametrize("name", ["None", "lz4", "frames", "zlib"])
def test_a_dask_array_has_chunks_of_rows_and_the_same_name_each_time(files, name) -> None:
    arrays, source = opened(files, name)
    chunked = to_dask(arrays["data"], chunk_bytes=1_000_000)
    assert source.moved < 200_000
    assert (chunked.shape, chunked.dtype) == (ARRAYS["data"].shape, ARRAYS["data"].dtype)
    assert chunked.numblocks[1] == 1
    if name == "zlib":
        assert chunked.numblocks[0] == 1
    elif name != "lz4":  # of one frame
        assert chunked.numblocks[0] >= 2
    assert chunked.name == to_dask(opened(files, name)[0]["data"], chunk_bytes=1_000_000).name
    assert chunked.name != to_dask(arrays["err"], chunk_bytes=1_000_000).name
    np.testing.assert_array_equal(chunked.compute(scheduler="threads"), ARRAYS["data"])
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(chunked))[20:40, 7:9].compute(), ARRAYS["data"][20:40, 7:9]
    )


def test_a_slice_of_a_dask_array_reads_no_more_than_its_rows(files) -> None:
    arrays, source = opened(files, "None")
    to_dask(arrays["data"], chunk_bytes=1_000_000)[20:40, 7:9].compute(scheduler="synchronous")
    assert source.moved <= 20 * 1100 * 4


def test_a_file_without_a_block_index_or_with_a_wrong_one_is_read_header_by_header(files, tmp_path) -> None:
    content = (files / "None.asdf").read_bytes()
    at = content.index(b"#ASDF BLOCK INDEX")
    wrong = content[:at] + content[at:].replace(b"\n- ", b"\n- 1", 2)
    for changed in (content[:at], wrong):
        (tmp_path / "a.asdf").write_bytes(changed)
        arrays, _ = opened(tmp_path, "a")
        np.testing.assert_array_equal(arrays["cube"], ARRAYS["cube"])


def test_a_streamed_block_ends_with_the_file(tmp_path) -> None:
    from asdf.tags.core import Stream

    stream = Stream([5], np.float64)
    with (tmp_path / "a.asdf").open("wb") as out:
        asdf.AsdfFile({"arrays": dict.fromkeys(ARRAYS, stream)}).write_to(out)
        out.write(np.arange(20.0).tobytes())
    array = opened(tmp_path, "a")[0]["data"]
    np.testing.assert_array_equal(array, np.arange(20.0).reshape(4, 5))


def test_what_only_looks_like_a_file(files, tmp_path) -> None:
    content = (files / "lz4.asdf").read_bytes()
    (tmp_path / "a.asdf").write_bytes(content.replace(b"lz4\x00", b"zstd", 1))
    with pytest.raises(UnknownCompressionError, match=r"compressed with 'zstd', which this software cannot read"):
        opened(tmp_path, "a")[0]["data"][3]
    (tmp_path / "a.asdf").write_bytes(content[:300])
    with pytest.raises(CutShortError, match="ends within its description"):
        opened(tmp_path, "a")
    (tmp_path / "a.asdf").write_bytes(content[: len(content) // 2])
    with pytest.raises(CutShortError, match="one of its blocks ends after the file does"):
        opened(tmp_path, "a")


def test_frames_that_do_not_add_up_are_said_to_be_damaged(files, tmp_path) -> None:
    content = bytearray((files / "frames.asdf").read_bytes())
    start = build_index(FileSource(files), "frames.asdf").blocks[0].start
    content[start + 3] ^= 0x55  # the length of the first frame
    (tmp_path / "a.asdf").write_bytes(content)
    with pytest.raises(CorruptError, match="do not add up"):
        opened(tmp_path, "a")[0]["data"][3]
