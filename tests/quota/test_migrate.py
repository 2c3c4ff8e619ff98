from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from hubquota.services.ledger import Ledger
from hubquota.storage.engine import decision, make_engine, reading
from hubquota.storage.migrate import is_current, migrate
from hubquota.storage.tables import VERSION_TABLE, metadata
from sqlalchemy import Engine, text
from sqlalchemy.exc import DatabaseError


def test_a_database_is_set_up_once_and_again_does_no_harm(empty_url: str) -> None:
    engine = make_engine(empty_url)
    assert not is_current(engine)
    migrate(engine)
    assert is_current(engine)
    ledger = Ledger(engine)
    ledger.open_account("ada", "explorer", 5, actor="test")
    migrate(engine)
    assert ledger.balance("ada").posted == 5
    engine.dispose()


def test_the_migrations_make_the_tables_that_the_code_expects(engine: Engine) -> None:
    with reading(engine) as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "compare_type": True}
        )
        assert compare_metadata(context, metadata) == []


def test_two_processes_may_set_it_up_at_once(empty_url: str) -> None:
    command = [sys.executable, "-m", "hubquota", "migrate", "--database-url", empty_url]
    paths = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    together = [subprocess.Popen(command, stderr=subprocess.PIPE, env=paths) for _ in range(2)]
    errors = [process.communicate(timeout=60)[1].decode() for process in together]
    assert [process.returncode for process in together] == [0, 0], errors
    engine = make_engine(empty_url)
    assert is_current(engine)
    engine.dispose()


@pytest.mark.parametrize("statement", ["UPDATE entry SET amount = 7", "DELETE FROM entry"])
def test_the_database_itself_keeps_the_journal_from_being_changed(
    engine: Engine, ledger: Ledger, statement: str
) -> None:
    ledger.open_account("ada", "explorer", 5, actor="test")
    with pytest.raises(DatabaseError, match="append-only"), decision(engine) as connection:
        connection.execute(text(statement))
    assert ledger.verify() == []


def test_a_migration_that_fails_leaves_nothing_behind(empty_url: str) -> None:
    engine = make_engine(empty_url)
    with decision(engine) as connection:
        connection.execute(text("CREATE TABLE entry (id INTEGER)"))
    with pytest.raises(DatabaseError):
        migrate(engine)
    with decision(engine) as connection:
        connection.execute(text("DROP TABLE entry"))
    migrate(engine)
    assert is_current(engine)
    engine.dispose()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://a@b/c"])
def test_a_database_that_cannot_be_shared_is_turned_down(url: str) -> None:
    with pytest.raises(ValueError, match="ledger"):
        make_engine(url)


def test_a_path_with_odd_characters_works(tmp_path: Path) -> None:
    folder = tmp_path / "100% odd"
    folder.mkdir()
    engine = make_engine(f"sqlite:///{folder / 'ledger.sqlite'}")
    migrate(engine)
    assert is_current(engine)
    engine.dispose()
