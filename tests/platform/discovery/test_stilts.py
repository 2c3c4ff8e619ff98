"""TOPCAT's own code as a client: STILTS, its library without a window, at every door of the standards."""

from __future__ import annotations

import csv
import io
import math
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from romanhub.client.sky import unit_vectors

from tests.platform.discovery.world import Service

STILTS = shutil.which("stilts")
pytestmark = [
    pytest.mark.skipif(
        STILTS is None, reason="there is no stilts here: install Debian's package to try TOPCAT's code as a client"
    ),
    pytest.mark.timeout(300),
]

#: What taplint calls an error and is meant: the service fetches no table from an address that a query names,
#: because it would then ask other servers in its own name.
MEANT = {"E-CAP-MUPM"}


def stilts(*words: str) -> str:
    """Run a task as Ann, who gives her token as a password; returns what it printed."""
    assert STILTS is not None
    properties = "-Dstar.basicauth.user=anyone -Dstar.basicauth.password=token-of-ann"
    # The properties in the environment and not on the command line, where others could read a real token.
    environment = {**os.environ, "JAVA_TOOL_OPTIONS": properties}
    done = subprocess.run([STILTS, *words], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """A list of one's own, in a file: two positions, one of them a pole."""
    path = tmp_path / "mine.csv"
    path.write_text("number,ra,dec\n1,270,66\n2,0,90\n")
    return path


def expected(service: Service, radius: float) -> set[tuple[str, str]]:
    return {
        (name, str(star))
        for name, at in (("1", (270.0, 66.0)), ("2", (0.0, 90.0)))
        for star in service.sky.stars_within(*at, radius)
    }


def test_the_fields_validator_finds_no_error_that_is_not_meant(service: Service) -> None:
    # With tables of one's own, too. STILTS 3.4.7's tapquery cannot send one first: it sends no password before it
    # is asked for one, and a table that it streams not again.
    said = stilts("taplint", f"tapurl={service.url}tap", "stages=-LOC", "report=EWF")
    assert "Totals:" in said, said
    found = re.findall(r"^([EWF]-\w+-\w+)-\w+ (.*)$", said, re.MULTILINE)
    assert {code for code, _ in found} == MEANT, found


@pytest.mark.parametrize("sync", ["true", "false"])
def test_a_query_is_answered_at_once_and_as_a_job(service: Service, sync: str) -> None:
    query = "SELECT obs_id FROM ivoa.obscore WHERE 1 = CONTAINS(POINT('ICRS', 270.0, 66.0), s_region)"
    said = stilts("tapquery", f"tapurl={service.url}tap", f"adql={query}", f"sync={sync}", "ofmt=csv")
    mine = service.sky.readable("open-l2")
    here = unit_vectors(270.0, 66.0)
    covering = {image.name for image in mine if service.sky.footprints[image.name].contains(here)}
    assert {row["obs_id"] for row in rows(said)} == covering != set()


def test_a_list_is_matched_by_cone_searches(service: Service, places: Path) -> None:
    said = stilts(
        "coneskymatch",
        *("servicetype=cone", f"serviceurl={service.url}cone/catalogs.stars", f"in={places}", "ifmt=csv"),
        # Without asking a server elsewhere which part of the sky the catalogue covers.
        *("ra=ra", "dec=dec", "sr=0.2", "find=all", "usefoot=false", "ofmt=csv"),
    )
    assert {(row["number"], row["id"]) for row in rows(said)} == expected(service, 0.2)


def test_images_are_found_by_sia(service: Service, places: Path) -> None:
    said = stilts(
        "coneskymatch",
        *("servicetype=sia2", f"serviceurl={service.url}sia2/query", f"in={places}", "ifmt=csv"),
        *("ra=ra", "dec=dec", "sr=0.01", "find=all", "usefoot=false", "ofmt=csv"),
    )
    touching = {
        (number, image.name)
        for number, at in (("1", (270.0, 66.0)), ("2", (0.0, 90.0)))
        for image in service.sky.readable("open-l2")
        if service.sky.footprints[image.name].touches(unit_vectors(*at), math.radians(0.01))
    }
    assert {(row["number"], row["obs_id"]) for row in rows(said)} == touching != set()
