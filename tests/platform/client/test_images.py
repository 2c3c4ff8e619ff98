"""`archive.images` through the real search service, against every footprint; and the README's example."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("pyvo", reason="the notebook's side is tested in the analysis environment")
pytest.importorskip("roman_datamodels", reason="the notebook's side is tested in the analysis environment")

import astropy.units as u
import httpx
import numpy as np
import romanhub
from astropy.coordinates import SkyCoord
from astropy.table import QTable
from astropy.time import Time
from mocpy import MOC
from romanhub.client.archive import Archive
from romanhub.client.errors import (
    ArchiveUnavailableError,
    NotAllowedError,
    NotInArchiveError,
    OutsidePlatformError,
)

from tests.platform.client.conftest import TOKEN, _until, program
from tests.support.ports import free_port

ROOT = Path(__file__).parents[3]

#: Two places, of which only the second has an image; between them lies the field.
APART = ((269.85, 65.9), (270.235, 66.117))


@pytest.fixture(scope="module")
def search_url(tmp_path_factory: pytest.TempPathFactory, sample: Path) -> Iterator[str]:
    """The search service on a free port."""
    python = program("python")
    folder = tmp_path_factory.mktemp("search")
    port = free_port()
    log = folder / "log"
    process = subprocess.Popen(
        [
            *(python, str(Path(__file__).with_name("search_service.py")), str(port), str(folder)),
            *(str(ROOT / "hub_config" / "datasets.yaml"), str(sample), TOKEN),
        ],
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'platform'}:{ROOT / 'quota'}"},
        stdout=log.open("wb"),
        stderr=subprocess.STDOUT,
    )
    url = f"http://127.0.0.1:{port}/services/archive/"
    try:
        _until(lambda: httpx.get(f"{url}api/health", trust_env=False).raise_for_status(), process, log)
        yield url
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def finder(search_url: str, stored, monkeypatch: pytest.MonkeyPatch) -> Archive:
    monkeypatch.setenv("ROMANHUB_SEARCH_URL", search_url)
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", TOKEN)
    return Archive(stored.access)


@pytest.mark.parametrize(
    "conditions",
    [
        {},
        {"position": (270.0, 66.0)},
        {"position": "18h00m30s +66d05m00s", "radius": 0.05},
        {"position": (270.3, 66.11), "radius": 3 * u.arcmin, "filter": "F158"},
        {"filter": ["F106", "F158"], "level": 2, "after": "2027-06-02", "before": "2027-06-07T05:21:00"},
        {"level": 3},
        {"position": (90.0, -66.0)},
    ],
)
def test_images_are_those_that_a_search_of_every_footprint_finds(finder, conditions) -> None:
    found = finder.images(**conditions)
    expected = finder.exposures(**({"level": None} | conditions))
    assert isinstance(found, QTable)
    assert sorted(found["name"]) == sorted(expected.names)
    assert found.colnames[:5] == ["name", "level", "filter", "detector", "start"]
    assert list(found["start"].mjd) == sorted(found["start"].mjd)


def test_a_row_says_of_an_image_what_the_index_says(finder) -> None:
    found = finder.images((270.0, 66.0), level=2)
    exposure = finder.exposures((270.0, 66.0))[0]
    row = found[0]
    assert (row["name"], row["filter"], row["detector"]) == (exposure.name, exposure.filter, exposure.detector)
    assert abs(row["start"] - Time(exposure.start)).to_value(u.s) < 0.001
    assert row["exposure_time"].to_value(u.s) == pytest.approx(exposure.exposure_time)
    middle = SkyCoord(row["ra"], row["dec"])
    assert exposure.covers(middle)
    assert finder.images(level=3)["detector"][0] == ""


def test_a_region_is_a_polygon_or_a_moc(finder) -> None:
    neighbour = [(270.15, 66.08), (270.32, 66.08), (270.32, 66.16), (270.15, 66.16)]
    everywhere = [(269.5, 65.8), (270.6, 65.8), (270.6, 66.4), (269.5, 66.4)]
    alone = [one.name for one in finder.exposures(level=None) if "0101005" in one.name]
    assert list(finder.images(region=neighbour)["name"]) == alone
    assert len(finder.images(region=everywhere)) == len(finder.exposures(level=None))
    assert len(finder.images(region=SkyCoord(everywhere, unit="deg"), filter="F106")) == 4
    moc = MOC.from_polygon_skycoord(SkyCoord(neighbour, unit="deg"), max_depth=13)
    assert list(finder.images(region=moc)["name"]) == alone
    # Two places far apart: what lies between them is in the circle around both, and not in the MOC.
    cones = [MOC.from_cone(ra * u.deg, dec * u.deg, radius=0.01 * u.deg, max_depth=13) for ra, dec in APART]
    both = cones[0].union(cones[1])
    assert list(finder.images(region=both)["name"]) == alone


def test_adql_of_ones_own_is_answered(finder) -> None:
    found = finder.tap().search("SELECT COUNT(*) AS n FROM ivoa.obscore").to_table()
    assert found["n"][0] == len(finder.exposures(level=None))


def test_what_goes_wrong_is_said_in_a_sentence(finder, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="A radius needs a position"):
        finder.images(radius=1)
    with pytest.raises(ValueError, match="holds no Level 4"):
        finder.images(level=4)
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "somebody-elses")
    with pytest.raises(NotAllowedError, match="refused this server's token"):
        finder.images()
    monkeypatch.setenv("ROMANHUB_SEARCH_URL", "http://127.0.0.1:9/services/archive/")
    with pytest.raises(ArchiveUnavailableError, match="does not answer"):
        finder.images()
    monkeypatch.delenv("ROMANHUB_SEARCH_URL")
    with pytest.raises(OutsidePlatformError, match="no archive to search"):
        finder.images()


def test_the_readmes_example_does_what_it_says(finder, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (example,) = [block for block in blocks if "archive.images" in block]
    assert len(example.splitlines()) < 20
    assert "/" not in example, "no path"
    monkeypatch.setattr(romanhub, "archive", finder, raising=False)
    names: dict[str, object] = {}

    exec(compile(example, "README.md", "exec"), names)  # noqa: S102  -- our own page

    pictures, matched, curve = names["pictures"], names["matched"], names["light_curve"]
    assert set(pictures) == {"F106", "F158"}
    for picture in pictures.values():
        assert picture.shape == (182, 182)
        assert np.isfinite(picture).mean() > 0.95
        assert np.nanmax(picture) > 20 * np.nanstd(picture[np.abs(picture) < np.nanpercentile(picture, 90)])
    assert len(matched) >= 3
    assert matched["separation"].max() < 0.1
    assert len(curve) == 8


@pytest.fixture
def platforms(finder: Archive, portal, stored) -> Archive:
    """The archive as a server of the platform has it: by the broker's keys, with the search service."""
    portal.show_archive(stored.access)
    return Archive()


@pytest.mark.parametrize(
    "conditions",
    [
        {"level": 2},
        {"position": (270.0, 66.0), "level": 2},
        {"position": (270.3, 66.11), "radius": 3 * u.arcmin, "filter": ["F106", "F158"], "level": 2},
        {"after": "2027-06-02", "before": "2027-06-07T05:21:00", "level": 2},
        {"position": (90.0, -66.0), "level": 2},
    ],
)
def test_exposures_are_those_of_the_index_which_is_not_read(platforms, finder, moved, conditions) -> None:
    found = platforms.exposures(**conditions)
    assert moved == []
    expected = finder.exposures(**conditions)
    assert [one.record for one in found] == [one.record for one in expected]


def test_an_image_is_opened_by_its_name_without_the_index(platforms, finder, moved) -> None:
    record = finder.exposures()[0].record
    del moved[:]
    with platforms.open(record.name) as model:
        assert model.data.shape == record.shape
    assert len(moved) == 2, "the file's own index and its tree"
    with pytest.raises(NotInArchiveError, match="The nearest names are"):
        platforms.open(record.name[:-1] + "x")


def test_without_the_search_service_the_index_is_read(platforms, finder, moved, monkeypatch) -> None:
    monkeypatch.setenv("ROMANHUB_SEARCH_URL", "http://127.0.0.1:9/services/archive/")
    expected = finder.exposures((270.0, 66.0)).names
    del moved[:]
    assert platforms.exposures((270.0, 66.0)).names == expected
    assert moved
