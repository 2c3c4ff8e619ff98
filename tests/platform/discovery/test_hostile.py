"""Queries that want more than to read tables: none reaches the database, which would not do it either."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from romanhub.discovery.adql.parsing import AdqlError
from romanhub.discovery.adql.translate import translate
from romanhub.discovery.engine import Engine, Limits, QueryFailedError, Statement, TooLongError
from romanhub.discovery.store import Place

from tests.platform.discovery.world import Service


@pytest.fixture(scope="module")
def engine(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """A store of its own: the service's is open in this process, with the service's settings."""
    folder = tmp_path_factory.mktemp("store") / "index"
    shutil.copytree(service.settings.folder, folder)
    return Engine(Place(folder), threads=1, memory="100MB")


HOSTILE = [
    "DROP TABLE images",
    "DELETE FROM ivoa.obscore",
    "UPDATE ivoa.obscore SET obs_id = 'x'",
    "INSERT INTO ivoa.obscore VALUES (1)",
    "CREATE TABLE x AS SELECT 1",
    "SELECT 1; DROP TABLE images",
    "ATTACH '/tmp/x.db' AS x",
    "COPY (SELECT 1) TO '/tmp/x'",
    "PRAGMA database_list",
    "SET memory_limit = '100GB'",
    "SET enable_external_access = true",
    "INSTALL httpfs",
    "LOAD httpfs",
    "CALL duckdb_settings()",
    "EXPORT DATABASE '/tmp/x'",
    "VACUUM",
    "EXPLAIN SELECT 1",
    "DESCRIBE images",
    "SHOW TABLES",
    "FROM catalog_stars",
    "VALUES (1)",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_parquet('/tmp/*.parquet')",
    "SELECT * FROM glob('/*')",
    "SELECT * FROM '/etc/passwd'",
    'SELECT * FROM "/etc/passwd"',
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM duckdb_settings",
    "SELECT * FROM duckdb_tables",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM sqlite_master",
    "SELECT * FROM pragma_database_list",
    "SELECT * FROM catalog_team_stars",
    "SELECT * FROM main.images",
    "SELECT * FROM contents",
    "SELECT * FROM store.main.images",
    "SELECT getenv('HOME') FROM ivoa.obscore",
    "SELECT current_setting('memory_limit') FROM ivoa.obscore",
    "SELECT query('SELECT 1') FROM ivoa.obscore",
    "SELECT * FROM query('SELECT 1')",
    "SELECT sky_area(s_region) FROM ivoa.obscore",
    "SELECT _cell FROM ivoa.obscore",
    'SELECT "_shape" FROM ivoa.obscore',
    "SELECT o._cell FROM ivoa.obscore o",
    "SELECT key FROM ivoa.obscore",
    "SELECT COLUMNS('.*') FROM ivoa.obscore",
    "SELECT * EXCLUDE (name) FROM ivoa.obscore",
    "SELECT * REPLACE (1 AS name) FROM ivoa.obscore",
    "SELECT name FROM ivoa.obscore TABLESAMPLE 10",
    "SELECT name FROM ivoa.obscore USING SAMPLE 10",
    "SELECT name FROM ivoa.obscore QUALIFY row_number() OVER () = 1",
    "SELECT row_number() OVER () FROM ivoa.obscore",
    "SELECT name INTO x FROM ivoa.obscore",
    "SELECT name FROM ivoa.obscore FOR UPDATE",
    "SELECT a.name FROM ivoa.obscore a NATURAL JOIN roman.images b",
    "SELECT a.name FROM ivoa.obscore a ASOF JOIN roman.images b ON a.t_min >= b.t_start",
    "SELECT name FROM ivoa.obscore, LATERAL (SELECT 1)",
    "SELECT unnest([1, 2, 3])",
    "SELECT [x FOR x IN [1, 2]]",
    "SELECT {'a': 1}",
    "SELECT x -> 1 FROM ivoa.obscore x",
    "SELECT ?",
    "SELECT $1",
    "SELECT name::BLOB FROM ivoa.obscore",
    "SELECT CAST(name AS BLOB) FROM ivoa.obscore",
    "SELECT regexp_matches(name, '(a+)+$') FROM ivoa.obscore",
    "SELECT repeat('x', 1000000000)",
    "SELECT range(1000000000)",
    "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT * FROM t",
    'SELECT "a""; DROP TABLE images; --" FROM ivoa.obscore',
    'SELECT o.name FROM ivoa.obscore AS "o"" WHERE true; --"',
    "SELECT " + "(" * 5000 + "1" + ")" * 5000,
    "SELECT " + "1 + " * 100000 + "1",
    "",
    "--",
    "\x00",
]


@pytest.mark.parametrize("query", HOSTILE, ids=range(len(HOSTILE)))
def test_it_is_refused_before_the_database_sees_it(engine: Engine, query: str) -> None:
    store = engine.store()
    with pytest.raises(AdqlError):
        translate(query, store.contents.names(), ["open-l2"], most=10)


def test_the_door_answers_a_hostile_query_with_an_error(service: Service) -> None:
    for query in HOSTILE[:12]:
        answer = service.session().post(f"{service.url}tap/sync", data={"LANG": "ADQL", "QUERY": query})
        assert answer.status_code == 400
        assert 'value="ERROR"' in answer.text


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_csv('/etc/hostname')",
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM '/etc/hostname'",
        "ATTACH '{folder}/x.duckdb'",
        "COPY (SELECT 1) TO '{folder}/x.csv'",
        "EXPORT DATABASE '{folder}/x'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
        "SET memory_limit = '100GB'",
        "SET python_enable_replacements = true",
        "RESET lock_configuration",
        "DROP TABLE images",
        "CREATE TABLE main.x AS SELECT 1",
        "DELETE FROM images",
        "SELECT * FROM a_variable_of_python",
    ],
)
def test_the_database_is_locked_up_by_itself(engine: Engine, tmp_path: Path, statement: str) -> None:
    store = engine.store()
    a_variable_of_python = duckdb.connect().execute("SELECT 1").fetchall()
    assert a_variable_of_python == [(1,)]
    with pytest.raises(QueryFailedError):
        engine.run(store, Statement(statement.format(folder=tmp_path)), Limits(20, 10))
    assert not list(tmp_path.iterdir())
    # And it still works.
    assert engine.run(store, Statement("SELECT count(*) FROM images"), Limits(20, 10)).num_rows == 1


def test_a_query_that_takes_too_long_or_too_much_is_stopped(engine: Engine) -> None:
    store = engine.store()
    with pytest.raises(TooLongError, match="longer than"):
        engine.run(store, Statement("SELECT count(*) FROM range(100000000) a, range(1000000) b"), Limits(0.3, 10))
    with pytest.raises(QueryFailedError, match="more memory"):
        engine.run(store, Statement("SELECT list(a.range) FROM range(1000000000) a"), Limits(60, 10))
    assert engine.run(store, Statement("SELECT 1"), Limits(20, 10)).num_rows == 1


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=60) | st.sampled_from(HOSTILE), st.text(max_size=60))
def test_texts_stay_texts(engine: Engine, inner: str, more: str) -> None:
    """Whatever is in quotation marks is compared with and never becomes part of the statement."""
    store = engine.store()
    text = (inner + more).replace("'", "''")
    query = f"SELECT count(*) AS n FROM ivoa.obscore WHERE obs_id = '{text}' OR 1 = 0"
    try:
        found = translate(query, store.contents.names(), ["open-l2"], most=10)
    except AdqlError:
        return
    rows = engine.run(store, Statement(found.sql), Limits(20, 10))
    assert rows.to_pydict() == {"n": [0]}
