"""pyvo as a client of every door; the answers compared with a search by brute force."""

from __future__ import annotations

import io
import math
import warnings

import numpy as np
import pyarrow.parquet as pq
import pytest
import pyvo
from astropy.table import Table
from astropy.time import Time
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from pyvo.dal.exceptions import DALOverflowWarning, DALQueryError
from romanhub.client.sky import Footprint, separation, unit_vectors

from tests.platform.discovery.test_geometry import flat
from tests.platform.discovery.world import PLACES, Service, polygon

MINE = "open-l2"
few = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

#: Positions near where the sky has something, poles and the meridian of 0 among them, in degrees.
NEAR = st.tuples(st.sampled_from(PLACES), st.floats(-1, 1), st.floats(-1, 1)).map(
    lambda drawn: ((drawn[0][0] + drawn[1]) % 360, max(-90.0, min(90.0, drawn[0][1] + drawn[2])))
)
RADIUS = st.floats(0.001, 3)


def margin(footprint: Footprint, point: np.ndarray, radius: float) -> bool:
    """Whether the answer is beyond doubt: the edge is not within the arithmetic's reach."""
    return abs(footprint.distance_to_edge(point) - math.radians(radius)) > 1e-8


@few
@given(NEAR, RADIUS)
@example((0.0, 90.0), 0.5)
@example((359.9999, 0.0), 0.2)
def test_tap_finds_the_images_that_cover_or_touch(
    service: Service, at: tuple[float, float], radius: float
) -> None:
    point = unit_vectors(*at)
    mine = service.sky.readable(MINE)
    assume(all(margin(service.sky.footprints[image.name], point, 0) for image in mine))
    assume(all(margin(service.sky.footprints[image.name], point, radius) for image in mine))
    tap = service.tap()
    ra, dec = at
    covering = tap.search(
        f"SELECT obs_id FROM ivoa.obscore WHERE 1 = CONTAINS(POINT('ICRS', {ra}, {dec}), s_region)"
    )
    assert set(covering["obs_id"]) == {
        image.name for image in mine if service.sky.footprints[image.name].contains(point)
    }
    touching = tap.search(
        f"SELECT name FROM roman.images WHERE INTERSECTS(s_region, CIRCLE({ra}, {dec}, {radius})) = 1", maxrec=1000
    )
    expected = {
        image.name for image in mine if service.sky.footprints[image.name].touches(point, math.radians(radius))
    }
    assert set(touching["name"]) == expected
    shown = service.get("api/images", pos=f"{ra},{dec}", radius=radius, limit=1000).json()["images"]
    assert {image["name"] for image in shown} == expected
    assert all(image["covers"] == service.sky.footprints[image["name"]].contains(point) for image in shown)


@few
@given(NEAR, RADIUS)
@example((0.0, 90.0), 1.0)
@example((0.0, -90.0), 0.3)
@example((0.0, 0.0), 0.7)
def test_tap_and_cone_search_find_the_stars(service: Service, at: tuple[float, float], radius: float) -> None:
    apart = separation(service.sky.vectors, unit_vectors(*at))
    assume((np.abs(apart - math.radians(radius)) > 1e-8).all())
    expected = service.sky.stars_within(*at, radius)
    ra, dec = at
    tap = service.tap()
    circle = tap.search(
        f"SELECT id FROM catalogs.stars WHERE 1 = CONTAINS(POINT(ra, dec), CIRCLE({ra}, {dec}, {radius}))"
    )
    assert set(circle["id"]) == expected
    nearer = tap.search(
        f"SELECT id, DISTANCE(POINT(ra, dec), POINT({ra}, {dec})) AS apart FROM catalogs.stars "
        f"WHERE DISTANCE(POINT(ra, dec), POINT({ra}, {dec})) < {radius}"
    )
    assert set(nearer["id"]) == expected
    for number, degrees in zip(nearer["id"], nearer["apart"], strict=True):
        assert degrees == pytest.approx(math.degrees(apart[number]), abs=1e-9)
    cone = pyvo.dal.SCSService(f"{service.url}cone/catalogs.stars", session=service.session())
    rows = cone.search(pos=at, radius=radius, verbosity=3)
    assert {int(row["id"]) for row in rows} == expected
    # The nearest first.
    found = [apart[int(row["id"])] for row in rows]
    assert (np.diff(found) > -1e-12).all()


@few
@given(NEAR, st.floats(0.05, 2), st.integers(3, 6), st.floats(0, 6))
def test_polygons_in_tap_and_sia(
    service: Service, at: tuple[float, float], reach: float, corners: int, turn: float
) -> None:
    shape = polygon(*at, reach, corners, turn)
    footprint = Footprint(shape)
    assume(all(footprint.distance_to_edge(star) > 1e-8 for star in service.sky.vectors[::20]))
    numbers = ", ".join(map(repr, flat(shape)))
    tap = service.tap()
    found = tap.search(f"SELECT id FROM catalogs.stars WHERE 1 = CONTAINS(POINT(ra, dec), POLYGON({numbers}))")
    near = np.flatnonzero(separation(service.sky.vectors, footprint.center) <= footprint.reach + 1e-6)
    assert set(found["id"]) == {int(star) for star in near if footprint.contains(service.sky.vectors[star])}
    images = tap.search(f"SELECT name FROM roman.images WHERE 1 = INTERSECTS(POLYGON({numbers}), s_region)")
    sia = pyvo.dal.SIA2Service(f"{service.url}sia2", session=service.session())
    same = sia.search(pos=flat(shape))
    assert set(same["obs_id"]) == set(images["name"])
    # Those of which a corner is inside, at least, and none that is too far away.
    for image in service.sky.readable(MINE):
        other = service.sky.footprints[image.name]
        if any(footprint.contains(corner) for corner in other.vertices):
            assert image.name in images["name"]
        if separation(other.center, footprint.center) > other.reach + footprint.reach:
            assert image.name not in images["name"]


@few
@given(NEAR, st.floats(0.01, 1.5), st.floats(0.01, 1.5))
def test_ranges_in_sia(service: Service, at: tuple[float, float], width: float, height: float) -> None:
    ra, dec = at
    top = min(90.0, dec + height)
    answer = service.get("sia2/query", POS=f"RANGE {ra} {ra + width} {dec} {top}", RESPONSEFORMAT="json").json()
    names = [column["name"] for column in answer["columns"]]
    found = {row[names.index("obs_id")] for row in answer["data"]}
    dice = np.random.default_rng(3)
    points = unit_vectors(ra + width * dice.random(300), dec + (top - dec) * dice.random(300))
    for image in service.sky.readable(MINE):
        footprint = service.sky.footprints[image.name]
        if any(
            footprint.contains(point) for point in points[separation(points, footprint.center) < footprint.reach]
        ):
            assert image.name in found
        if not footprint.touches(points.mean(axis=0) / np.linalg.norm(points.mean(axis=0)), math.radians(3)):
            assert image.name not in found


def test_sia_narrows_by_band_time_and_names(service: Service) -> None:
    sia = pyvo.dal.SIA2Service(f"{service.url}sia2", session=service.session())
    mine = service.sky.readable(MINE)
    # 1.70 micrometres is within F158 and F184 alone.
    band = sia.search(band=1.7e-6)
    assert set(band["obs_id"]) == {image.name for image in mine if image.optical_element in ("F158", "F184")}
    start, stop = Time("2027-01-03"), Time("2027-01-05")
    during = sia.search(time=(start, stop))
    assert set(during["obs_id"]) == {
        image.name
        for image in mine
        if Time(image.start) <= stop and Time(image.start).mjd + image.exposure_time / 86400 >= start.mjd
    }
    both = sia.search(
        collection=[MINE, "team-l3"], facility="Roman", instrument="WFI", data_type="image", calib_level=2
    )
    assert len(both) == len(mine)
    one = sia.search(publisher_did=mine[0] and f"ivo://romanhub/archive?{mine[0].name}")
    assert list(one["obs_id"]) == [mine[0].name]
    assert len(sia.search(collection="none-such")) == 0


def test_sia_and_cone_search_say_what_is_wrong_in_a_votable(service: Service) -> None:
    sia = pyvo.dal.SIA2Service(f"{service.url}sia2", session=service.session())
    with pytest.raises(DALQueryError, match="POS has to be"):
        sia.search(POS="SQUARE 1 2 3")
    answer = service.get("cone/catalogs.stars", RA=1, DEC=95, SR=1)
    assert answer.status_code == 400
    assert b'name="QUERY_STATUS" value="ERROR"' in answer.content
    assert "95" in answer.text
    assert service.get("cone/catalogs.nothing", RA=1, DEC=5, SR=1).status_code == 404
    # With a radius of nothing the answer is the table's columns.
    assert b"<FIELD" in service.get("cone/catalogs.stars", RA=1, DEC=5, SR=0).content


def test_an_answer_that_is_cut_says_so(service: Service) -> None:
    tap = service.tap()
    with pytest.warns(DALOverflowWarning):
        found = tap.search("SELECT * FROM catalogs.stars")
    assert len(found) == 2500
    asked = service.get("tap/sync", LANG="ADQL", QUERY="SELECT * FROM catalogs.stars", MAXREC=7)
    _, _, after = asked.content.partition(b"</TABLE>")
    assert b'<INFO name="QUERY_STATUS" value="OVERFLOW"/>' in after
    with warnings.catch_warnings():
        warnings.simplefilter("error", DALOverflowWarning)
        assert len(tap.search("SELECT TOP 7 * FROM catalogs.stars", maxrec=7)) == 7


def test_the_formats_say_the_same(service: Service) -> None:
    query = {
        "LANG": "ADQL",
        "QUERY": "SELECT id, ra, flux, 'ü' AS mark FROM catalogs.stars WHERE id < 20 ORDER BY id",
    }
    forms = {
        form: service.get("tap/sync", **query, RESPONSEFORMAT=form)
        for form in ("votable", "votable/td", "csv", "parquet", "json")
    }
    tables = [
        Table.read(io.BytesIO(forms["votable"].content), format="votable"),
        Table.read(io.BytesIO(forms["votable/td"].content), format="votable"),
        Table.read(io.BytesIO(forms["csv"].content), format="ascii.csv"),
        Table(pq.read_table(io.BytesIO(forms["parquet"].content)).to_pydict()),
    ]
    expected = service.sky.flux[:20]
    for table in tables:
        assert list(table["id"]) == list(range(20))
        assert np.array_equal(np.asarray(table["flux"], float), expected)
        assert set(map(str, table["mark"])) == {"ü"}
    assert [row[2] for row in forms["json"].json()["data"]] == expected.tolist()
    assert str(tables[0]["flux"].unit) == "uJy"
    assert b"How bright it is." in forms["votable"].content


def test_a_list_of_ones_own_is_cross_matched(service: Service) -> None:
    sky = service.sky
    chosen = np.arange(0, len(sky.ra), 97)
    # An arcsecond to the north (or, at the pole, the south) of some stars; and one place without any.
    mine = Table(
        {
            "number": [*chosen.tolist(), -1],
            "right": [*sky.ra[chosen], 77.0],
            "decl": [*(np.clip(sky.dec[chosen] + 1 / 3600, -90, 90)), 7.0],
        }
    )
    found = service.tap().search(
        "SELECT m.number, s.id FROM tap_upload.mine AS m JOIN catalogs.stars AS s "
        "ON 1 = CONTAINS(POINT(s.ra, s.dec), CIRCLE(m.right, m.decl, 2.0 / 3600)) ORDER BY m.number",
        uploads={"mine": mine},
    )
    pairs = set()
    for number, ra, dec in zip(mine["number"], mine["right"], mine["decl"], strict=True):
        pairs |= {(int(number), star) for star in sky.stars_within(ra, dec, 2 / 3600)}
    assert {(int(row["number"]), int(row["id"])) for row in found} == pairs
    assert len(pairs) >= len(chosen)


def test_datalink_says_how_to_open_an_image(service: Service) -> None:
    tap = service.tap()
    row = tap.search("SELECT TOP 1 obs_publisher_did, access_url, obs_id FROM ivoa.obscore")[0]
    links = pyvo.dal.adhoc.DatalinkResults.from_result_url(row["access_url"], session=service.session())
    documentation = next(links.bysemantics("#documentation", include_narrower=False))
    text = service.session().get(documentation["access_url"]).text
    assert f'archive.open("{row["obs_id"]}")' in text
    unknown = service.get("datalink/links", ID="ivo://romanhub/archive?none").text
    assert "NotFoundFault" in unknown


def test_moving_things_are_found_in_the_order_of_time(service: Service) -> None:
    found = service.tap().search(
        "SELECT name, t_start, start FROM roman.images WHERE level = 2 ORDER BY t_start DESC"
    )
    assert list(found["t_start"]) == sorted(found["t_start"], reverse=True)
    images = {image.name: image for image in service.sky.images}
    for row in found:
        assert Time(row["start"]).mjd == pytest.approx(Time(images[row["name"]].start).mjd)
        assert row["t_start"] == pytest.approx(Time(row["start"]).mjd, abs=1e-9)


def test_coverage_is_a_moc_of_what_may_be_read(service: Service) -> None:
    from astropy.coordinates import SkyCoord
    from mocpy import MOC

    answer = service.get("api/coverage", dataset=MINE, filter="F158")
    moc = MOC.from_json(answer.json())
    for image in service.sky.readable(MINE):
        if image.optical_element == "F158":
            center = service.sky.footprints[image.name].center
            at = SkyCoord(*center, representation_type="cartesian").spherical
            assert moc.contains_lonlat(at.lon, at.lat).all()
    assert service.get("api/coverage", dataset="team-l3").status_code == 404
    assert service.get("api/coverage", dataset="team-l3", token="token-of-tom").status_code == 200
