"""Which images a search finds."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

pytest.importorskip("roman_datamodels", reason="the notebook's side is tested in the analysis environment")

import astropy.units as u
from astropy.coordinates import SkyCoord
from astropy.time import Time
from romanhub.client.errors import NotInArchiveError
from romanhub.client.search import Conditions, Records, as_moment
from romanhub.models.archive import ExposureRecord

FIRST = datetime(2027, 6, 1, tzinfo=UTC)


def record(name: str, **changes) -> ExposureRecord:
    facts = {
        "name": name,
        "level": 2,
        "key": f"level2/{name}.asdf",
        "optical_element": "F158",
        "detector": "WFI01",
        "start": FIRST,
        "exposure_time": 139.0,
        "footprint": ((9.9, -0.1), (10.1, -0.1), (10.1, 0.1), (9.9, 0.1)),
        "shape": (100, 100),
        "size": 1000,
        "sha256": "0" * 64,
    }
    return ExposureRecord.model_validate(facts | changes)


AWAY = ((19.9, -0.1), (20.1, -0.1), (20.1, 0.1), (19.9, 0.1))
RECORDS = Records(
    [
        record("late", start=FIRST + timedelta(days=9)),
        record("early"),
        record("blue", optical_element="F106", start=FIRST + timedelta(days=1)),
        record("away", footprint=AWAY, start=FIRST + timedelta(days=2)),
        record("mosaic", level=3, detector=None, start=FIRST + timedelta(days=3)),
    ]
)


def names(**conditions) -> list[str]:
    return [found.name for found in RECORDS.find(Conditions.of(**conditions))]


def test_without_conditions_every_level_2_exposure_is_found_in_order_of_time() -> None:
    assert names() == ["early", "blue", "away", "late"]


def test_a_position_finds_what_covers_it() -> None:
    assert names(position=(10, 0)) == ["early", "blue", "late"]
    assert names(position=SkyCoord(20, 0, unit="deg")) == ["away"]
    assert names(position="15 0") == []


def test_a_radius_finds_what_it_reaches() -> None:
    assert names(position=(10.5, 0), radius=0.3) == []
    assert names(position=(10.5, 0), radius=0.41) == ["early", "blue", "late"]
    assert names(position=(10.5, 0), radius=25 * u.arcmin) == ["early", "blue", "late"]
    assert names(position=(15, 0), radius=5) == ["early", "blue", "away", "late"]


def test_a_radius_without_a_position_is_refused() -> None:
    with pytest.raises(ValueError, match="A radius needs a position"):
        names(radius=1)


def test_levels() -> None:
    assert names(level=3) == ["mosaic"]
    assert names(level=None, position=(10, 0)) == ["early", "blue", "mosaic", "late"]
    with pytest.raises(ValueError, match="holds no Level 4"):
        names(level=4)


def test_filters() -> None:
    assert names(filter="f106") == ["blue"]
    assert names(filter=["F106", "F158"], position=(10, 0)) == ["early", "blue", "late"]
    assert names(filter="F213") == []
    with pytest.raises(ValueError, match=r"Roman has no filter F150\. Its filters are F062, F087"):
        names(filter="F150")


def test_after_includes_its_moment_and_before_does_not() -> None:
    assert names(after="2027-06-02", before="2027-06-03") == ["blue"]
    assert names(after="2027-06-02", before="2027-06-02") == []
    assert names(before=FIRST) == []


@pytest.mark.parametrize(
    "moment",
    [
        "2027-06-02",
        "2027-06-02T00:00:00Z",
        "2027-06-02T02:00:00+02:00",
        date(2027, 6, 2),
        datetime(2027, 6, 2),
        datetime(2027, 6, 2, 2, tzinfo=timezone(timedelta(hours=2))),
        Time("2027-06-02"),
        Time("2027-06-02", scale="utc").tai,
    ],
)
def test_a_moment_can_be_written_in_many_ways(moment) -> None:
    assert abs(as_moment(moment, "after") - datetime(2027, 6, 2, tzinfo=UTC)) < timedelta(microseconds=2)


@pytest.mark.parametrize("moment", ["yesterday", 2027, Time(["2027-01-01", "2027-01-02"])])
def test_what_is_no_moment_is_said_to_be_none(moment) -> None:
    with pytest.raises(ValueError, match="cannot be the time for `after`"):
        as_moment(moment, "after")


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(NotInArchiveError, match=r"no image named 'mosaik'\. The nearest names are: mosaic\."):
        RECORDS.named("mosaik")
    with pytest.raises(NotInArchiveError, match="lists the images"):
        RECORDS.named("zzzzzz")


def test_an_empty_archive_is_searched_without_a_find() -> None:
    assert Records([]).find(Conditions.of(position=(1, 2), radius=3)) == []
