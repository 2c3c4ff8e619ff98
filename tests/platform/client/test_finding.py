"""Catalogues, cross-matches, light curves and paths, compared with a search of every row."""

from __future__ import annotations

import json
import traceback

import pytest

pytest.importorskip("lsdb", reason="the notebook's side is tested in the analysis environment")

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Table
from astropy.time import Time
from astropy.timeseries import TimeSeries
from mocpy import MOC
from romanhub.client.archive import Archive
from romanhub.client.errors import ArchiveUnavailableError, NotInArchiveError
from romanhub.client.regions import as_region
from romanhub.client.sky import Footprint, unit_vectors
from romanhub.models.archive import ArchiveIndex
from romanhub.sample.plan import FIELD_CENTER, MOVING_SOURCE, PLACED_STARS, VARIABLE_STAR, sample_plan

CENTER = (FIELD_CENTER.ra, FIELD_CENTER.dec)
STARS = [FIELD_CENTER.offset(star.east, star.north) for star in PLACED_STARS]


@pytest.fixture(scope="module")
def finder(stored) -> Archive:
    """One archive for the module: what it has read of the index is used again."""
    return Archive(stored.access)


@pytest.fixture(scope="module")
def everything(finder) -> dict[str, Table]:
    """Every row of every catalogue."""
    return {name: finder.catalog(name).to_table() for name in finder.catalogs()}


def on_sky(rows: Table) -> SkyCoord:
    return SkyCoord(rows["ra"], rows["dec"], unit="deg")


def test_a_whole_catalogue_has_its_rows_units_and_descriptions(everything, stored, sample) -> None:
    index = ArchiveIndex.model_validate_json((sample / "index.json").read_bytes())
    assert {record.name: record.rows for record in index.hats} == {
        name: len(rows) for name, rows in everything.items()
    }
    flux = everything["roman-detections"]["flux"]
    assert flux.unit == u.uJy
    assert flux.dtype == np.float32
    assert "0.4 arcseconds" in flux.description
    assert everything["roman-detections"]["optical_element"].dtype.kind == "U"


@pytest.mark.parametrize("radius", [0.0005, 0.2])
@pytest.mark.parametrize("name", ["roman-sources", "gaia"])
def test_a_cone_has_what_every_row_compared_has(finder, everything, name: str, radius: float) -> None:
    rows = everything[name]
    inside = on_sky(rows).separation(SkyCoord(*CENTER, unit="deg")).deg <= radius

    found = finder.catalog(name, cone=(CENTER, radius), columns=["dec"]).to_table()

    assert found.colnames == ["ra", "dec"]
    assert sorted(found["ra"]) == sorted(rows["ra"][inside])


def test_a_box_and_a_condition_have_what_every_row_compared_has(finder, everything) -> None:
    rows = everything["roman-sources"]
    (west, east), (south, north) = box = ((269.995, 270.01), (65.995, 66.003))
    inside = (rows["ra"] >= west) & (rows["ra"] <= east) & (rows["dec"] >= south) & (rows["dec"] <= north)
    inside &= rows["fwhm"] < 0.4

    found = finder.catalog("roman-sources", box=box, where="fwhm < 0.4", columns=["label"]).to_table()

    assert found.colnames == ["label", "ra", "dec"]
    assert inside.sum() > 3
    assert sorted(found["label"]) == sorted(rows["label"][inside])


def test_a_polygon_and_a_moc_have_what_every_row_compared_has(finder, everything) -> None:
    rows = everything["gaia"]
    # Concave, so that nothing that takes a convex one passes.
    corners = [(269.7, 65.9), (270.4, 65.85), (270.05, 66.0), (270.3, 66.2), (269.8, 66.15)]
    footprint = Footprint(corners)
    inside = [footprint.contains(unit_vectors(row["ra"], row["dec"])) for row in rows]
    found = finder.catalog("gaia", region=corners).to_table()
    assert 100 < sum(inside) < len(rows)
    assert sorted(found["source_id"]) == sorted(rows["source_id"][inside])

    moc = MOC.from_cone(270.1 * u.deg, 66.05 * u.deg, radius=0.1 * u.deg, max_depth=12)
    found = finder.catalog("gaia", region=moc).to_table()
    assert sorted(found["source_id"]) == sorted(rows["source_id"][moc.contains_skycoords(on_sky(rows))])


def test_a_polygon_may_hold_a_pole_or_the_meridian() -> None:
    rng = np.random.default_rng(5)
    ra, dec = rng.uniform(0, 360, 500), np.degrees(np.arcsin(rng.uniform(0.9, 1, 500)))
    for corners in ([(0, 75), (90, 70), (180, 72), (270, 68)], [(350, 64), (20, 66), (15, 80), (355, 78)]):
        region, footprint = as_region(corners), Footprint(corners)
        expected = [footprint.contains(point) for point in unit_vectors(ra, dec)]
        assert list(region.contains(ra, dec)) == expected
        assert region.moc.contains_skycoords(SkyCoord(ra, dec, unit="deg"))[expected].all()
        assert 5 < sum(expected) < 495


@pytest.mark.parametrize("radius", [0.1, 9.0])
def test_a_cross_match_is_astropys(finder, everything, radius: float) -> None:
    left, right = everything["roman-sources"], everything["gaia"]
    nearest, away, _ = on_sky(left).match_to_catalog_sky(on_sky(right))
    near = away.arcsec <= radius

    matched = finder.crossmatch("roman-sources", "gaia", radius * u.arcsec).to_table()

    assert near.sum() >= 3
    pairs = zip(left["label"][near], right["source_id"][nearest[near]], strict=True)
    assert sorted(zip(matched["label"], matched["source_id"], strict=True)) == sorted(pairs)
    assert matched["separation"].unit == u.arcsec
    ours = on_sky(matched).separation(SkyCoord(matched["ra_gaia"], matched["dec_gaia"], unit="deg"))
    np.testing.assert_allclose(matched["separation"], ours.arcsec, atol=1e-4)
    assert matched["ra_gaia"].unit == u.deg


def test_a_match_beyond_the_margin_is_refused_rather_than_incomplete(finder) -> None:
    with pytest.raises(ValueError, match="can be matched within 10 arcseconds"):
        finder.crossmatch("roman-sources", "gaia", 11 * u.arcsec)


@pytest.mark.parametrize("place", [STARS[2], FIELD_CENTER])
def test_a_light_curve_is_every_detection_there_in_order(finder, everything, place) -> None:
    rows = everything["roman-detections"]
    here = SkyCoord(place.ra, place.dec, unit="deg")
    inside = on_sky(rows).separation(here).arcsec <= 2.0

    curve = finder.light_curve(here, 2 * u.arcsec)

    assert isinstance(curve, TimeSeries)
    assert len(curve) == inside.sum()
    assert sorted(curve["detection"]) == sorted(rows["detection"][inside])
    assert list(curve.time.mjd) == sorted(rows["mjd"][inside])
    assert np.all(curve["separation"] <= 2 * u.arcsec)


def test_a_star_that_does_not_vary_has_a_flat_light_curve(finder) -> None:
    curve = finder.light_curve((STARS[0].ra, STARS[0].dec), 0.2 * u.arcsec)
    assert list(curve["filter"]) == ["F158"] * 2 + ["F106"] * 2 + ["F158"] * 2 + ["F106"] * 2
    for name in ("F106", "F158"):
        flux = curve["flux"][curve["filter"] == name]
        assert flux.std() < 0.03 * flux.mean()
    assert len(finder.light_curve((STARS[0].ra, STARS[0].dec), 0.2 * u.arcsec, filter="F106")) == 4
    assert curve.time.scale == "utc"
    assert str(curve.time[0].isot).startswith("2027-06-01T03:21:09")


def test_a_star_that_varies_has_the_light_curve_that_was_put_there(finder) -> None:
    plan = sample_plan(size=512, seed=42)
    place = FIELD_CENTER.offset(VARIABLE_STAR.east, VARIABLE_STAR.north)

    curve = finder.light_curve((place.ra, place.dec), 0.2 * u.arcsec)

    days = [(each.middle - plan.scene.epoch).total_seconds() / 86400 for each in plan.exposures[:8]]
    expected = np.array([VARIABLE_STAR.at(one).magnitude for one in days])
    measured = -2.5 * np.log10(curve["flux"].to_value(u.uJy)) + 23.9
    # The aperture holds about five sixths of a star's light.
    assert np.all(np.abs(measured - expected - 0.17) < 0.08)
    assert np.ptp(measured) > 0.4


def test_what_moves_is_found_once_in_every_exposure_along_its_ephemeris(finder) -> None:
    plan = sample_plan(size=512, seed=42)
    begin, end = MOVING_SOURCE.at(0), MOVING_SOURCE.at(7)
    places = [FIELD_CENTER.offset(one.east, one.north) for one in (begin, end)]
    epoch = Time(plan.scene.epoch)
    ephemeris = Table(
        {"time": epoch + [0, 7] * u.day, "ra": [one.ra for one in places], "dec": [one.dec for one in places]}
    )

    found = finder.detections(ephemeris, 0.2 * u.arcsec)

    assert list(found["exposure"]) == [each.name for each in plan.exposures[:8]]
    moved = SkyCoord(found["ra"][0], found["dec"][0], unit="deg").separation(
        SkyCoord(found["ra"][-1], found["dec"][-1], unit="deg")
    )
    assert 18 < moved.arcsec < 19
    # Who looks in one place sees it in one visit alone.
    assert len(finder.light_curve((places[0].ra, places[0].dec), 0.2 * u.arcsec)) == 2


def test_nothing_at_a_place_is_an_empty_light_curve(finder) -> None:
    assert len(finder.light_curve((10.0, -30.0))) == 0


def test_what_moves_is_found_along_its_path_and_at_its_time_only(finder, everything) -> None:
    """Something that is at one star in the first visit and at another in the third stands for a moving source."""
    rows = everything["roman-detections"]
    first, second = (SkyCoord(star.ra, star.dec, unit="deg") for star in STARS[:2])
    visits = sorted(set(rows["mjd"]))
    times = Time([visits[0] - 0.01, visits[1] + 0.01, visits[4] - 0.01, visits[5] + 0.01], format="mjd")
    places = SkyCoord([first, first, second, second])
    path = Table({"time": times, "ra": places.ra, "dec": places.dec})

    found = finder.detections(path, 0.3 * u.arcsec)

    expected = [
        row["detection"]
        for row in rows
        for star, when in ((first, visits[:2]), (second, visits[4:6]))
        if row["mjd"] in when and SkyCoord(row["ra"], row["dec"], unit="deg").separation(star).arcsec <= 0.3
    ]
    assert len(expected) == 4
    assert sorted(found["detection"]) == sorted(expected)
    assert list(found.time.mjd) == sorted(found.time.mjd)
    # Beyond the path's times there is nothing, however near.
    assert found.time.max() <= times[-1]


def test_a_path_is_even_along_a_great_circle(finder, everything) -> None:
    rows = everything["roman-detections"]
    start, stop = SkyCoord(269.98, 65.994, unit="deg"), SkyCoord(270.02, 66.006, unit="deg")
    begin, end = float(min(rows["mjd"])), float(max(rows["mjd"]))
    angle, bearing = start.separation(stop), start.position_angle(stop)
    share = (np.asarray(rows["mjd"]) - begin) / (end - begin)
    there = start.directional_offset_by(bearing, share * angle)
    near = there.separation(on_sky(rows)).arcsec <= 9
    path = Table({"time": [end, begin], "ra": [stop.ra.deg, start.ra.deg], "dec": [stop.dec.deg, start.dec.deg]})

    found = finder.detections(path, 9 * u.arcsec)

    assert near.sum() > 3
    assert sorted(found["detection"]) == sorted(rows["detection"][near])


def test_a_dask_cluster_reads_it_when_there_is_one(finder, everything) -> None:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        ran = client.submit(lambda: 1).result()
        found = finder.catalog("gaia", cone=(CENTER, 0.1), client=client).to_table()
        tasks = client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.task_prefixes))
    assert ran == 1
    assert tasks > 1, "the cluster has seen more than the first call"
    assert 0 < len(found) < len(everything["gaia"])


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        ({"columns": ["colour"]}, "gaia has no column 'colour'"),
        ({"where": "colour < 1"}, "cannot be a condition on the columns of gaia"),
        ({"cone": CENTER}, "`cone` is a pair|cannot be the radius|not a position"),
        ({"box": (1, 2)}, "`box` is two pairs"),
        ({"cone": (CENTER, 1), "box": ((1, 2), (3, 4))}, "not several"),
        ({"region": [(1, 2), (3, 4)]}, "not a region of the sky"),
        ({"region": MOC.new_empty(5)}, "empty"),
    ],
)
def test_a_condition_that_is_none_is_refused_in_a_sentence(finder, conditions, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        finder.catalog("gaia", **conditions)


@pytest.mark.parametrize("table", [{"time": [1.0]}, Table({"time": [1.0], "ra": [1.0], "dec": [2.0]}), 3])
def test_a_table_that_is_no_path_is_refused_in_a_sentence(finder, table) -> None:
    with pytest.raises(ValueError, match="not a path on the sky"):
        finder.detections(table)


def test_an_unknown_catalogue_is_answered_with_the_nearest(finder) -> None:
    with pytest.raises(NotInArchiveError, match=r"nearest names are: roman-sources"):
        finder.catalog("roman-source")


def test_a_catalogue_that_is_gone_is_said_to_be_and_shows_no_place(storage_server, stored, sample) -> None:
    storage_server.fill("broken", {"index.json": (sample / "index.json").read_bytes()})
    access = stored.access.model_copy(update={"bucket": "broken"})
    with pytest.raises(ArchiveUnavailableError, match="does not hold the catalogue gaia") as caught:
        Archive(access).catalog("gaia")
    shown = "".join(traceback.format_exception(caught.value))
    opened = Archive(stored.access).catalog("gaia", cone=(CENTER, 0.01))
    shown += repr(opened) + repr(opened.lsdb) + json.dumps(opened.to_table().meta)
    for secret in stored.secrets:
        assert secret not in shown
