from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from hubquota.services.ledger import Ledger
from hubquota.storage import terms
from hubquota.storage.engine import decision, make_engine, reading
from hubquota.storage.migrate import _config, is_current, migrate
from hubquota.storage.tables import VERSION_TABLE, metadata
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DatabaseError

from tests.quota import ledger_of_the_first_form
from tests.quota.support import Clock


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


def test_the_migrated_indexes_and_checks_are_those_of_the_tables(engine: Engine, tmp_path: Path) -> None:
    """What alembic's own comparison passes over: the conditions of indexes, checks, and their names."""
    with engine.connect() as connection:
        found = _indexes(connection)
        if engine.dialect.name == "sqlite":
            other = make_engine(f"sqlite:///{tmp_path / 'made.sqlite'}")
            with other.begin() as made:
                metadata.create_all(made)
                assert _indexes(made) == found
            other.dispose()
            assert len(found) > 30
            return
        checks = _checks(connection, "public")
        connection.execute(text("CREATE SCHEMA made"))
        metadata.create_all(connection.execution_options(schema_translate_map={None: "made"}))
        assert _indexes(connection, "made") == found
        assert _checks(connection, "made") == checks
        connection.rollback()
    assert len(found) > 60, "with those of primary keys and unique columns"
    assert len(checks) > 40


def _indexes(connection: Connection, schema: str = "public") -> set[str]:
    if connection.dialect.name == "sqlite":
        said = connection.execute(text("SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"))
        return {re.sub(r'[\s"()]+', " ", row[0]).replace(" = 1", "").strip() for row in said}
    said = connection.execute(
        text("SELECT indexdef FROM pg_indexes WHERE schemaname = :schema AND tablename <> :version"),
        {"schema": schema, "version": VERSION_TABLE},
    )
    return {row[0].replace(f"{schema}.", "") for row in said}


def _checks(connection: Connection, schema: str) -> set[str]:
    said = connection.execute(
        text(
            "SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint "
            "WHERE connamespace = CAST(:schema AS regnamespace) AND conrelid::regclass::text NOT LIKE :version"
        ),
        {"schema": schema, "version": f"%{VERSION_TABLE}"},
    )
    return {row[0].replace(f"{schema}.", "") for row in said}


def test_threads_may_set_up_databases_of_their_own_at_once(tmp_path: Path) -> None:
    engines = [make_engine(f"sqlite:///{tmp_path / str(number)}.sqlite") for number in range(6)]
    with ThreadPoolExecutor(len(engines)) as threads:
        list(threads.map(migrate, engines))
    assert all(is_current(engine) for engine in engines)
    for engine in engines:
        engine.dispose()


def test_two_processes_may_set_it_up_at_once(empty_url: str) -> None:
    arguments = [sys.executable, "-m", "hubquota", "migrate", "--database-url", empty_url]
    paths = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    together = [subprocess.Popen(arguments, stderr=subprocess.PIPE, env=paths) for _ in range(2)]
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


def test_what_was_granted_beside_another_is_found_out(empty_url: str, clock: Clock) -> None:
    engine = make_engine(empty_url)
    with decision(engine) as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0013")
        connection.execute(text("INSERT INTO account VALUES (1, 'ada', 'user', 'explorer', 0, 0)"))
        # The first, two beside it, what follows on the first and on one of those, and one after a gap.
        for number, start, end in ((1, 0, 10), (2, 5, 20), (3, 6, 12), (4, 10, 30), (5, 20, 40), (6, 50, None)):
            connection.execute(
                text(
                    "INSERT INTO allocation (id, account_id, tier, renewable, reason, granted_by, granted_at, "
                    "start_at, end_at, balance) VALUES (:number, 1, 'explorer', true, 'x', 'x', 0, :start, "
                    ":end, 0)"
                ),
                {"number": number, "start": start, "end": end},
            )
        for last, following in ((1, 4), (2, 5)):
            connection.execute(
                text("INSERT INTO renewal VALUES (:last, :following, 0, 'x')"),
                {"last": last, "following": following},
            )
        command.upgrade(config, "head")
        found = connection.execute(text("SELECT allocation_id FROM additional ORDER BY 1")).scalars().all()
    assert found == [2, 3, 5]
    engine.dispose()


def test_what_was_renewed_on_request_is_known_to_be_followed(empty_url: str, clock: Clock) -> None:
    engine = make_engine(empty_url)
    with decision(engine) as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        connection.execute(text("INSERT INTO account VALUES (1, 'ada', 'user', 'researcher', 0, 0)"))
        for number in (1, 2):
            connection.execute(
                text(
                    "INSERT INTO allocation (id, account_id, tier, renewable, reason, granted_by, granted_at, "
                    "start_at, balance) VALUES (:number, 1, 'researcher', true, 'x', 'x', 0, 0, 0)"
                ),
                {"number": number},
            )
        connection.execute(
            text(
                "INSERT INTO request (id, account_id, tier, amount, renews_id, justification, results, used, "
                "asked_by, asked_at, decision, decided_by, decided_at, decision_reason, allocation_id) VALUES "
                "(1, 1, 'researcher', 5, 1, 'x', 'x', 0, 'ada', 0, 'approved', 'root', 7, 'x', 2)"
            )
        )
    migrate(engine)
    with reading(engine) as connection:
        assert terms.follower(connection, 1) == 2
        assert terms.follower(connection, 2) is None
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


def test_what_the_first_form_had_is_carried_over(empty_url: str, clock: Clock) -> None:
    engine = make_engine(empty_url)
    ledger_of_the_first_form.make(engine)
    assert not is_current(engine)
    migrate(engine)
    migrate(engine)
    assert is_current(engine)
    began = datetime.fromtimestamp(ledger_of_the_first_form.BEGAN, UTC)
    clock.now = began + timedelta(seconds=1500)
    ledger = Ledger(engine, clock)
    assert ledger.verify() == []

    (allocation,) = ledger.allocations("ada")
    assert (allocation.tier, allocation.balance, allocation.start, allocation.end) == (
        "explorer",
        9400,
        began,
        None,
    )
    assert ledger.allocations("bob") == []
    assert ledger.account("bob").tiers == ("researcher",)  # type: ignore[union-attr]
    assert [row.account.name for row in ledger.accounts("DA")] == ["ada"], "names are found by their parts"
    statement = ledger.statement("ada")
    assert [(entry.kind, entry.amount, entry.balance_after) for entry in statement.entries] == [
        ("supplement", 1000, 9400),
        ("charge", -600, 8400),
        ("grant", 9000, 9000),
    ]
    assert [entry.kind for entry in ledger.statement("eve").entries] == ["grant", "correction"]
    assert ledger.balance("eve").available == -50

    # What ran goes on, with what it had set aside as its hold; what waited may still begin.
    running, waiting = statement.running
    assert (running.held, running.charged, running.person) == (1200, 0, "ada")
    assert (waiting.held, waiting.started_at) == (1800, None)
    assert ledger.balance("ada").available == 9400 - 1200 - 1800
    assert [lease.charged for lease in statement.ended] == [0, 600]
    assert ledger.begin(waiting.id).started_at == clock.now
    assert ledger.close(running.id, reason="x").charged == 2 * 490
    # What was granted once is not granted again.
    again = ledger.grant("ada", 1000, actor="root", reason="A proposal.", key="proposal-7")
    assert again.id == allocation.id
    new = ledger.open_account("new", "explorer", 7, actor="test")
    assert (new.id, ledger.balance("new").posted) == (5, 7)
    assert ledger.verify() == []
    with pytest.raises(DatabaseError, match="append-only"), decision(engine) as connection:
        connection.execute(text("UPDATE entry SET amount = 7"))
    engine.dispose()


def test_what_members_had_spent_is_counted_from_the_journal(empty_url: str) -> None:
    engine = make_engine(empty_url)
    with decision(engine) as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        for number, (name, kind) in enumerate((("survey", "project"), ("ada", "user")), start=1):
            entry = (
                "INSERT INTO entry (account_id, allocation_id, at, kind, amount, balance_after, allocation_after, "
                f"lease_id, actor, reason, idempotency_key) VALUES ({number}, {number}, "
            )
            for statement in (
                f"INSERT INTO account VALUES ({number}, '{name}', '{kind}', 'team', 70, 1000)",
                "INSERT INTO allocation (id, account_id, tier, renewable, reason, granted_by, granted_at, "
                f"start_at, balance) VALUES ({number}, {number}, 'team', true, 'x', 'admin', 1000, 1000, 70)",
                "INSERT INTO lease (id, account_id, person, kind, key, label, rate, admitted_at, started_at, "
                f"settled_at, ended_at, charged) VALUES ({number}, {number}, 'ada', 'server', 'k{number}', 'x', "
                "1, 1000, 1000, 1030, 1030, 30)",
                "INSERT INTO segment (lease_id, rate, from_at, until_at, charged) "
                f"VALUES ({number}, 1, 1000, 1030, 30)",
                f"{entry} 1000, 'grant', 100, 100, 100, NULL, 'admin', 'x', 'g{number}')",
                f"{entry} 1030, 'charge', -30, 70, 70, {number}, 'hub', 'x', 'c{number}')",
            ):
                connection.execute(text(statement))
    migrate(engine)
    ledger = Ledger(engine)
    assert [(use.member, use.spent) for use in ledger.member_use("survey")] == [("ada", 30)]
    assert ledger.verify() == []
    engine.dispose()
