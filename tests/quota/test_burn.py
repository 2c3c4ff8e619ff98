"""What is spent first, and until when it lasts, against counting second by second."""

from __future__ import annotations

from copy import deepcopy

from hubquota.models.burn import Part, Pool, available, drain, draw, exhausts_at, in_order, lasts
from hypothesis import given
from hypothesis import strategies as st

pools = st.lists(
    st.builds(
        lambda free, start, length, suspended: (free, start, None if length == 0 else start + length, suspended),
        st.integers(-20, 60),
        st.integers(0, 12),
        st.integers(0, 15),
        st.booleans(),
    ),
    max_size=4,
).map(lambda found: [Pool(number, *one) for number, one in enumerate(found, 1)])


def second_by_second(found: list[Pool], rate: int, since: int, until: int) -> tuple[dict[int, int], int]:
    paid: dict[int, int] = {}
    short = 0
    for second in range(since, until):
        need = rate
        for pool in in_order(found):
            if pool.pays_at(second) and pool.free > 0:
                taken = min(need, pool.free)
                pool.free -= taken
                need -= taken
                paid[pool.id] = paid.get(pool.id, 0) + taken
        short += need
    return {number: amount for number, amount in paid.items() if amount}, short


@given(pools, st.integers(0, 9), st.integers(0, 15), st.integers(0, 20))
def test_a_draw_is_what_counting_each_second_comes_to(
    found: list[Pool], rate: int, since: int, length: int
) -> None:
    drawn, counted = deepcopy(found), deepcopy(found)
    parts, short = draw(drawn, rate, since, since + length)
    expected, missing = second_by_second(counted, rate, since, since + length)
    assert {part.pool: part.amount for part in parts} == expected
    assert short == missing
    assert drawn == counted


@given(pools, st.integers(1, 9), st.integers(0, 15), st.integers(0, 30))
def test_it_lasts_until_the_first_second_that_cannot_be_paid(
    found: list[Pool], rate: int, since: int, length: int
) -> None:
    if any(pool.free < 0 for pool in found):
        return
    before = deepcopy(found)
    seconds = lasts(found, rate, since, since + length)
    assert found == before
    assert draw(deepcopy(found), rate, since, since + seconds)[1] == 0
    if seconds < length:
        assert draw(deepcopy(found), rate, since, since + seconds + 1)[1] > 0


@given(pools, st.integers(1, 9), st.integers(0, 15))
def test_the_end_is_the_first_second_that_cannot_be_paid(found: list[Pool], rate: int, now: int) -> None:
    if any(pool.free < 0 for pool in found):
        return
    end = exhausts_at(found, rate, now)
    assert end is not None
    assert draw(deepcopy(found), rate, now, end)[1] == 0
    assert draw(deepcopy(found), rate, now, end + 1)[1] > 0


def test_a_debt_takes_from_what_the_others_can_pay() -> None:
    found = [Pool(1, -10, 0, 5), Pool(2, 30, 0, None)]
    assert available(found, 0) == 20
    assert lasts(found, 1, 0, 100) == 30  # the debt ends with the term of the allocation that has it
    assert lasts(found, 10, 0, 100) == 2
    assert exhausts_at(found, 10, 0) == 2


def test_what_costs_nothing_never_ends() -> None:
    assert exhausts_at([], 0, 0) is None
    assert exhausts_at([], 1, 7) == 7
    assert lasts([], 0, 0, 9) == 9


def test_what_nobody_can_pay_is_left_over() -> None:
    found = [Pool(1, 3, 0, None), Pool(2, 4, 0, 9), Pool(3, 5, 0, None, suspended=True)]
    assert drain(found, 10, 0) == 3
    assert [pool.free for pool in found] == [0, 0, 5]
    assert draw([Pool(1, 3, 0, None), Pool(2, 4, 0, 9)], 1, 0, 6) == ([Part(2, 4), Part(1, 2)], 0)
