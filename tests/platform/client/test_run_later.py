"""Asking for a run of a notebook of one's own. The way to a real portal is in test_runs_of_a_platform.py."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

pytest.importorskip("nbclient", reason="the notebook's side is tested in the analysis environment")

import romanhub
from romanhub.client.connection import Portal
from romanhub.client.errors import OutsidePlatformError
from romanhub.client.run_later import moment_of, path_in_home
from romanhub.client.runs import LaterRun
from romanhub.models.runs import OwnRun

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("after", "meant"),
    [
        (None, None),
        ("tonight", datetime(2027, 3, 1, 22, tzinfo=UTC)),
        (timedelta(hours=2), NOW + timedelta(hours=2)),
        ("2027-03-31 22:00", datetime(2027, 3, 31, 22, tzinfo=UTC)),
        ("2027-03-31T22:00+02:00", datetime(2027, 3, 31, 20, tzinfo=UTC)),
        (datetime(2027, 3, 31, 22), datetime(2027, 3, 31, 22, tzinfo=UTC)),
        (datetime(2027, 3, 31, 22, tzinfo=timezone(timedelta(hours=1))), datetime(2027, 3, 31, 21, tzinfo=UTC)),
    ],
)
def test_the_time_that_is_meant(after, meant):
    assert moment_of(after, NOW) == meant


def test_tonight_after_ten_is_tomorrow():
    assert moment_of("tonight", NOW.replace(hour=23)) == datetime(2027, 3, 2, 22, tzinfo=UTC)


def test_a_time_that_cannot_be_understood():
    with pytest.raises(ValueError, match="'next week' is no time"):
        moment_of("next week", NOW)


def test_the_path_is_the_one_in_the_home(tmp_path, monkeypatch):
    home, work = tmp_path / "home", tmp_path / "home" / "work"
    work.mkdir(parents=True)
    (work / "a.ipynb").touch()
    (tmp_path / "outside.ipynb").touch()
    (work / "data.csv").touch()
    monkeypatch.chdir(work)
    assert path_in_home("a.ipynb", home) == path_in_home(work / "a.ipynb", home) == "work/a.ipynb"
    with pytest.raises(FileNotFoundError, match=r"There is no notebook b\.ipynb"):
        path_in_home("b.ipynb", home)
    for name in ("../../outside.ipynb", "data.csv"):
        with pytest.raises(ValueError, match="not a notebook"):
            path_in_home(name, home)


def test_outside_the_platform_it_says_so(monkeypatch):
    monkeypatch.delenv("ROMANHUB_PORTAL_URL", raising=False)
    with pytest.raises(OutsidePlatformError):
        romanhub.run_later(Path("a.ipynb"))


def test_a_run_is_read_as_a_sentence():
    run = OwnRun(
        id=3,
        notebook="a.ipynb",
        state="failed",
        queued_at=NOW,
        not_before=NOW,
        failed_cell=2,
        error="KeyError: 'F158'",
        result="a.run-3.ipynb",
    )
    portal = Portal("http://portal/", "x")
    assert repr(LaterRun(portal, run)) == "Run 3: a.ipynb failed (code cell 2: KeyError: 'F158') → a.run-3.ipynb"
