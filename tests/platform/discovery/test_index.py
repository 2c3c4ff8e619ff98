"""Building the index: what becomes of it when data sets change, and of what cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest
from romanhub.discovery.engine import Engine, Limits, NotReadyError, Statement
from romanhub.discovery.index import IndexBuildError
from romanhub.discovery.settings import DiscoverySettings
from romanhub.discovery.store import Place
from romanhub.discovery.survey import properties
from romanhub.local.sample_archive import SMALL
from romanhub.portal.settings import SettingsError
from romanhub.services.datasetsfile import load_datasets, parse_datasets

from tests.platform.discovery.world import FILE, make_index, make_sky, write_archive

DATASETS = parse_datasets(FILE, name="test")
#: The deployment's own file.
OURS = Path(__file__).resolve().parents[3] / "hub_config" / "datasets.yaml"


def count(engine: Engine, what: str = "images") -> int:
    rows = engine.run(engine.store(), Statement(f'SELECT count(*) AS n FROM "{what}"'), Limits(60, 10))
    return int(rows["n"][0].as_py())


def test_a_new_index_is_used_from_the_next_query_on(tmp_path: Path) -> None:
    root, place = tmp_path / "archive", Place(tmp_path / "index")
    root.mkdir()
    engine = Engine(place, threads=1, memory="200MB")
    with pytest.raises(NotReadyError):
        engine.store()
    write_archive(make_sky(images=20, stars=60), root)
    assert make_index(root, place, DATASETS)
    before = engine.store()
    assert count(engine) == 20
    assert not make_index(root, place, DATASETS)
    write_archive(make_sky(images=30, stars=90), root)
    assert make_index(root, place, DATASETS)
    assert count(engine) == 30
    assert count(engine, "catalog_stars") == 90
    # What ran on the one before may end on it.
    rows = engine.run(before, Statement("SELECT count(*) AS n FROM images"), Limits(60, 10))
    assert rows["n"][0].as_py() == 20
    footprints = (
        duckdb.connect().execute("SELECT count(*) FROM read_parquet($1)", [str(place.footprints)]).fetchone()
    )
    assert footprints == (30,)
    make_index(root, place, parse_datasets(FILE.replace("Stars", "Suns"), name="test"))
    assert len(list(place.root.glob("store-*"))) == 2


def test_an_index_that_cannot_be_built_leaves_the_one_before(tmp_path: Path) -> None:
    root, place = tmp_path / "archive", Place(tmp_path / "index")
    root.mkdir()
    write_archive(make_sky(images=20, stars=60), root)
    make_index(root, place, DATASETS)
    (root / "index.json").write_text("{}")
    with pytest.raises(IndexBuildError, match="could not be built"):
        make_index(root, place, DATASETS)
    (root / "index.json").unlink()
    (root / "stars" / "0.parquet").write_bytes(b"no Parquet at all")
    with pytest.raises(IndexBuildError):
        make_index(root, place, DATASETS)
    assert count(Engine(place, threads=1, memory="200MB")) == 20
    assert not list(place.root.glob("building-*"))


def test_the_sample_is_indexed_as_it_is(tmp_path: Path) -> None:
    place = Place(tmp_path / "index")
    datasets = load_datasets(OURS)
    make_index(SMALL, place, datasets)
    engine = Engine(place, threads=1, memory="200MB")
    index = json.loads((SMALL / "index.json").read_text())
    assert count(engine) == len(index["exposures"])
    tables = engine.store().contents.names()
    for catalog in index["catalogs"]:
        assert tables["catalogs.roman_l4"].rows == catalog["rows"]
    # HATS catalogues without their margins, which have rows twice.
    for catalog in index.get("hats", ()):
        assert tables[f"catalogs.{catalog['name'].replace('-', '_')}"].rows == catalog["rows"]


def test_properties_of_hats() -> None:
    said = properties("#HATS catalog\nobs_collection=gaia\nhats_col_ra = ra\n\ndataproduct_type=margin\n")
    assert said == {"obs_collection": "gaia", "hats_col_ra": "ra", "dataproduct_type": "margin"}


def test_settings_that_are_missing_are_named() -> None:
    with pytest.raises(SettingsError, match=r"JUPYTERHUB_API_TOKEN: is not set") as error:
        DiscoverySettings.from_environment({"ROMANHUB_SEARCH_MEMORY": "much"})
    assert "ROMANHUB_SEARCH_MEMORY" in str(error.value)
    assert "ROMANHUB_DATASETS" in str(error.value)
