"""Who sees what: rows, tables, coverage and jobs of embargoed and closed data sets."""

from __future__ import annotations

import base64
import json

import pytest
from pyvo.dal.exceptions import DALQueryError

from tests.platform.discovery.world import UNSCOPED, Service, Sky, serve

SEEN = {
    "token-of-ann": {"open-l2"},
    "token-of-mia": {"open-l2", "embargoed-l2"},
    "token-of-tom": {"open-l2", "team-l3"},
}


@pytest.mark.parametrize("token", SEEN)
def test_each_sees_what_they_may_read_at_every_door(service: Service, token: str) -> None:
    names = {image.name for image in service.sky.readable(*SEEN[token])}
    tap = service.tap(token)
    assert set(tap.search("SELECT name FROM roman.images")["name"]) == names
    counted = tap.search("SELECT dataset, count(*) AS n FROM ivoa.obscore GROUP BY dataset")
    assert {row["dataset"]: row["n"] for row in counted} == {
        dataset: len(service.sky.readable(dataset)) for dataset in SEEN[token]
    }
    # Also where a query looks from within a query, or joins.
    inner = tap.search(
        "WITH everything AS (SELECT * FROM ivoa.obscore) SELECT DISTINCT e.dataset FROM everything e "
        "UNION SELECT dataset FROM roman.images "
        "WHERE EXISTS (SELECT 1 FROM ivoa.obscore o WHERE o.dataset = 'team-l3')"
    )
    assert set(inner["dataset"]) == SEEN[token]
    shown = service.get("api/images", token=token, limit=1000).json()["images"]
    assert {image["name"] for image in shown} == names
    answer = service.get("sia2/query", token=token, RESPONSEFORMAT="json", MAXREC=1000).json()
    place = [column["name"] for column in answer["columns"]].index("obs_id")
    assert {row[place] for row in answer["data"]} == names
    cone = service.get("cone/ivoa.obscore", token=token, RA=0, DEC=0, SR=180, RESPONSEFORMAT="json", MAXREC=1000)
    assert len(cone.json()["data"]) == len(names)


def test_a_closed_catalogue_is_not_there_for_others(service: Service) -> None:
    query = "SELECT count(*) AS n FROM catalogs.team_stars"
    assert service.tap("token-of-tom").search(query)["n"][0] == 10
    for token in ("token-of-ann", "token-of-mia"):
        with pytest.raises(DALQueryError, match=r"no table catalogs\.team_stars that you may read"):
            service.tap(token).search(query)
        assert "team_stars" not in service.get("tap/tables", token=token).text
        assert service.get("tap/tables/catalogs.team_stars", token=token).status_code == 404
        assert service.get("cone/catalogs.team_stars", token=token, RA=0, DEC=0, SR=1).status_code == 404
        assert "team_stars" not in service.get("api/tables", token=token).text
        listed = service.tap(token).search("SELECT table_name FROM tap_schema.tables")
        assert "catalogs.team_stars" not in set(listed["table_name"])
    assert "team_stars" in service.get("tap/tables", token="token-of-tom").text


def test_numbers_tell_nothing_of_what_one_may_not_read(service: Service) -> None:
    hidden = service.sky.readable("team-l3")[0].name
    assert "NotFoundFault" in service.get("datalink/links", ID=f"ivo://romanhub/archive?{hidden}").text
    assert service.get(f"datalink/open/{hidden}").status_code == 404
    tables = service.get("api/tables").json()["tables"]
    assert next(table for table in tables if table["name"] == "ivoa.obscore")["rows"] is None


def test_without_a_token_nobody_is_let_in(service: Service) -> None:
    for path in (
        "tap/sync?LANG=ADQL&QUERY=SELECT+1",
        "tap/async",
        "tap/tables",
        "sia2/query",
        "cone/catalogs.stars",
    ):
        answer = service.get(path, token=None)
        assert answer.status_code == 401
        assert "Basic" in answer.headers["WWW-Authenticate"]
        assert 'value="ERROR"' in answer.text
        assert service.get(path, token="somebody-elses").status_code == 401
        assert service.get(path, token=UNSCOPED).status_code == 403
    problem = service.get("api/images", token=None)
    assert problem.headers["content-type"] == "application/problem+json"
    # What a service is may be known by anybody: clients ask for it before they sign in.
    for path in ("tap/capabilities", "tap/availability", "sia2/capabilities", "api/health"):
        assert service.get(path, token=None).status_code == 200


def test_basic_with_the_token_as_password_is_a_sign_in(service: Service) -> None:
    session = service.session(None)
    session.auth = ("whoever", "token-of-tom")
    answer = session.get(f"{service.url}api/images", params={"dataset": "team-l3"})
    assert len(answer.json()["images"]) == len(service.sky.readable("team-l3"))
    for wrong in (
        "Basic !!!",
        "Basic " + base64.b64encode(b"no-colon").decode(),
        "Digest x",
        "Bearer",
        "Bearer a b",
    ):
        session = service.session(None)
        session.headers["Authorization"] = wrong
        assert session.get(f"{service.url}api/images").status_code == 401


def test_an_embargo_that_ends_and_a_group_that_changes_take_effect_at_once(tmp_path_factory, sky: Sky) -> None:
    folder = tmp_path_factory.mktemp("changing")
    with serve(folder, sky, ROMANHUB_SEARCH_ANONYMOUS="true") as service:
        # Without signing in, what is public and nothing else.
        shown = service.get("api/images", token=None, limit=1000).json()["images"]
        assert {image["dataset"] for image in shown} == {"open-l2"}
        # Jobs belong to somebody.
        assert service.get("tap/async", token=None).status_code == 401
        text = service.datasets.read_text()
        service.datasets.write_text(text.replace("until: 2027-10-01", "until: 2027-06-30"))
        shown = service.get("api/images", limit=1000).json()["images"]
        assert {image["dataset"] for image in shown} == {"open-l2", "embargoed-l2"}
        # A data set that the file does not name any more is nobody's, though the index still has it.
        service.datasets.write_text(text.replace("embargoed-l2:", "another-l2:"))
        shown = service.get("api/images", token="token-of-mia", limit=1000).json()["images"]
        assert {image["dataset"] for image in shown} == {"open-l2"}
        # A file with mistakes changes nothing.
        service.datasets.write_text("datasets: []")
        assert json.loads(service.get("api/images", token="token-of-mia", limit=1000).text)["images"] == shown
