"""A file over ranged reads: right in every byte, and sparing with requests."""

from __future__ import annotations

import io
import os

import pytest

pytest.importorskip("roman_datamodels", reason="the notebook's side is tested in the analysis environment")

from hypothesis import given
from hypothesis import strategies as st
from romanhub.client.reader import FIRST_WINDOW, LARGEST_WINDOW, RangeReader

CONTENT = os.urandom(3 * FIRST_WINDOW + 17)


class Source:
    """Bytes that are fetched by range, and a record of the ranges."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.fetched: list[tuple[int, int]] = []

    def __call__(self, start: int, stop: int) -> bytes:
        assert 0 <= start < stop <= len(self.content)
        self.fetched.append((start, stop))
        return self.content[start:stop]

    @property
    def moved(self) -> int:
        return sum(stop - start for start, stop in self.fetched)


moves = st.lists(
    st.one_of(
        st.tuples(st.just("seek"), st.integers(0, len(CONTENT) + 100)),
        st.tuples(st.just("read"), st.one_of(st.integers(0, 300), st.integers(0, 2 * FIRST_WINDOW))),
    ),
    max_size=30,
)


@given(moves)
def test_it_reads_what_a_plain_file_reads(moves) -> None:
    reader, plain = RangeReader(Source(CONTENT), len(CONTENT)), io.BytesIO(CONTENT)
    for what, amount in moves:
        if what == "seek":
            assert reader.seek(amount) == plain.seek(amount)
        else:
            assert reader.read(amount) == plain.read(amount)
        assert reader.tell() == plain.tell()


def test_it_seeks_from_the_end_and_from_here() -> None:
    reader = RangeReader(Source(CONTENT), len(CONTENT))
    assert reader.seek(-5, io.SEEK_END) == len(CONTENT) - 5
    assert reader.read() == CONTENT[-5:]
    reader.seek(10)
    reader.seek(5, io.SEEK_CUR)
    assert reader.read(3) == CONTENT[15:18]
    with pytest.raises(ValueError, match="before its start"):
        reader.seek(-1)


def test_small_reads_near_each_other_take_one_request() -> None:
    source = Source(CONTENT)
    reader = RangeReader(source, len(CONTENT))
    for _ in range(600):
        reader.read(100)
    assert source.fetched == [(0, FIRST_WINDOW)]


def test_a_long_sequence_of_small_reads_takes_few_requests() -> None:
    content = bytes(40 * 1024 * 1024)
    source = Source(content)
    reader = RangeReader(source, len(content))
    while reader.read(64 * 1024):
        pass
    assert source.moved == len(content)
    assert len(source.fetched) <= 12
    assert max(stop - start for start, stop in source.fetched) <= LARGEST_WINDOW


def test_a_large_read_is_one_request_of_exactly_its_size() -> None:
    content = bytes(20 * 1024 * 1024)
    source = Source(content)
    reader = RangeReader(source, len(content))
    reader.seek(1024)
    assert len(reader.read(16 * 1024 * 1024)) == 16 * 1024 * 1024
    assert source.fetched == [(1024, 1024 + 16 * 1024 * 1024)]


def test_a_jump_starts_small_again() -> None:
    content = bytes(40 * 1024 * 1024)
    source = Source(content)
    reader = RangeReader(source, len(content))
    for _ in range(100):
        reader.read(64 * 1024)
    reader.seek(30 * 1024 * 1024)
    reader.read(10)
    assert source.fetched[-1] == (30 * 1024 * 1024, 30 * 1024 * 1024 + FIRST_WINDOW)
