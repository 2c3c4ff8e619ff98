"""Notices: each person has one of a key, and reads it in the hub."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hubquota.services.notices import Notices
from hubquota.storage import notices as stored
from hubquota.storage.engine import decision
from sqlalchemy import Engine

from tests.quota.support import Clock

ONE = {"kind": "maintenance", "subject": "Tomorrow", "text": "The hub is down for an hour."}


@pytest.fixture
def notices(engine: Engine, clock: Clock) -> Notices:
    return Notices(engine, clock)


def test_a_person_is_told_once_and_reads_it(notices: Notices, clock: Clock) -> None:
    assert notices.tell("ada", key="down-1", **ONE)
    assert not notices.tell("ada", key="down-1", **{**ONE, "text": "Other words."})
    assert notices.tell("eve", key="down-1", **ONE)
    (seen,) = notices.notices("ada")
    assert (seen.subject, seen.text, seen.made_at, seen.read_at, seen.optional) == (
        "Tomorrow",
        "The hub is down for an hour.",
        clock.now,
        None,
        False,
    )
    (others,) = notices.notices("eve")
    assert notices.mark_read("ada", [seen.id, others.id]) == 1
    assert (notices.unread("ada"), notices.unread("eve")) == (0, 1)
    assert notices.notices("ada", unread_only=True) == []
    assert notices.notices("ada", read_only=True) == notices.notices("ada")
    assert notices.notices("eve", read_only=True) == []
    assert notices.notices("ada")[0].read_at == clock.now
    assert notices.mark_read("eve") == 1
    assert notices.mark_read("eve") == 0


def test_notices_are_read_page_by_page(notices: Notices) -> None:
    for number in range(5):
        notices.tell("ada", key=f"down-{number}", **ONE)
    first = notices.notices("ada", limit=2)
    second = notices.notices("ada", limit=9, before=first[-1].id)
    assert [notice.key for notice in [*first, *second]] == [f"down-{number}" for number in (4, 3, 2, 1, 0)]


def test_many_who_tell_the_same_at_once_tell_it_once(notices: Notices) -> None:
    together = threading.Barrier(6)

    def tell(_: int) -> bool:
        together.wait()
        return notices.tell("ada", key="down-1", **ONE)

    with ThreadPoolExecutor(6) as threads:
        assert sorted(threads.map(tell, range(6))) == [False] * 5 + [True]
    assert len(notices.notices("ada")) == 1


def test_a_notice_goes_with_the_transaction_that_it_is_a_part_of(engine: Engine, notices: Notices) -> None:
    with pytest.raises(RuntimeError), decision(engine) as connection:
        assert stored.add(connection, person="ada", key="down-1", at=7, **ONE)
        raise RuntimeError
    assert notices.notices("ada") == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"subject": "Two\nlines"}, "one line"),
        ({"subject": "x" * 201}, "one line"),
        ({"text": " "}, "needs its text"),
        ({"kind": ""}, "needs its kind"),
    ],
)
def test_a_notice_that_nobody_could_read_is_turned_down(
    notices: Notices, wrong: dict[str, str], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        notices.tell("ada", key="down-1", **{**ONE, **wrong})
    assert notices.notices("ada") == []
