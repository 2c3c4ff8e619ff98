"""What the database reads for a decision or a sweep: never a whole table, however long the past is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from hubquota.models.admissions import Admission
from hubquota.models.ledger import Refused
from hubquota.services.ledger import Ledger
from hubquota.storage.engine import make_engine
from sqlalchemy import Engine, event, text

from tests.quota.support import Clock

#: The tables that grow with the years.
TABLES = "account|allocation|lease|segment|hold|entry|membership|request|cap|spending"

Noted = list[tuple[str, Any]]


@contextmanager
def statements(engine: Engine) -> Iterator[Noted]:
    """Note what the database is sent, whoever sends it: by the driver's own means."""
    noted: Noted = []

    class Cursor(psycopg.Cursor[Any]):
        def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
            noted.append((str(query), params))
            return super().execute(query, params, **options)

    def watch(connection: Any, *_: object) -> None:
        if isinstance(connection, psycopg.Connection):
            connection.cursor_factory = Cursor
        else:
            connection.set_trace_callback(lambda statement: noted.append((statement, None)))

    engine.dispose()
    event.listen(engine, "connect", watch)
    try:
        yield noted
    finally:
        event.remove(engine, "connect", watch)
        engine.dispose()


def plans(engine: Engine, noted: Noted) -> Iterator[tuple[str, str]]:
    """Return each statement that reads, with each line of the database's plan for it."""
    explain = "EXPLAIN QUERY PLAN" if engine.dialect.name == "sqlite" else "EXPLAIN"
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            # On tables as small as these it would rather read them whole; here the question is whether it must.
            connection.execute(text("SET enable_seqscan = off"))
        driver: Any = connection.connection.dbapi_connection
        for statement, parameters in noted:
            if re.match(r"\s*(SELECT|UPDATE|DELETE)", statement) and "pg_" not in statement:
                for row in driver.execute(f"{explain} {statement}", *([parameters] if parameters else [])):
                    yield statement, str(row[-1])


def read_whole(engine: Engine, noted: Noted) -> list[str]:
    """Return the statements that read a whole table, with how."""
    whole = re.compile(rf"\bSCAN ({TABLES})\b(?! USING (COVERING )?INDEX \w+_(open|waiting)\w*)|Seq Scan")
    return [f"{line}: {statement}" for statement, line in plans(engine, noted) if whole.search(line)]


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """An engine whose statements nobody else sends."""
    made = make_engine(url)
    yield made
    made.dispose()


def test_no_decision_reads_a_whole_table(engine: Engine, clock: Clock) -> None:
    ledger = Ledger(engine, clock)
    ledger.open_account("ada", "explorer", 10**9, actor="test")
    ledger.open_account("bob", "explorer", 10**9, actor="test")
    ada, bob = (ledger.allocations(name)[0].id for name in ("ada", "bob"))
    ledger.open_project("survey", "team", pi="ada", actor="test")
    ledger.grant("survey", 10**9, actor="test", reason="x", key="survey")
    ledger.set_cap("survey", "ada", credits=10**6, actor="test", reason="x")
    with statements(engine) as noted:
        ledger.open_account("ada", "explorer", 10**9, actor="test")
        lease = ledger.admit("ada", kind="server", key="k", label="x", rate=1, limit=3)
        with pytest.raises(Refused):
            ledger.admit("ada", kind="server", key="k", label="x", rate=1)
        together = [
            Admission(account=name, person="ada", kind="server", key=name, label="x", rate=1)
            for name in ("ada", "survey")
        ]
        assert len(ledger.admit_many(together)) == 2
        ledger.begin(lease.id)
        clock.turn(60)
        ledger.seen([lease.key])
        ledger.extend(lease.id)
        ledger.set_rate(lease.id, 2)
        clock.turn(60)
        ledger.close(lease.id, reason="x")
        ledger.transfer(ada, bob, 5, actor="test", reason="x", key="x")
        ledger.grant("ada", 5, actor="test", reason="x", key="x")
        ledger.balance("ada")
        ledger.exhausts_at("ada")
        ledger.statement("ada")
    assert len(noted) > 40
    assert "\n\n".join(read_whole(engine, noted)) == ""


def test_no_sweep_reads_a_whole_table(engine: Engine, clock: Clock) -> None:
    """What has ended or lapsed is not read again: only what is open, by the date that it is due."""
    ledger = Ledger(engine, clock)
    for name in ("ada", "bob", "eve"):
        ledger.open_account(name, "explorer", 0, actor="test")
        end = clock.now + timedelta(days=1)
        ledger.grant(name, 10**6, actor="test", reason="x", key=name, end=end)
    ledger.admit("ada", kind="server", key="never told of", label="x", rate=1)
    lost = ledger.admit("bob", kind="server", key="lost", label="x", rate=1)
    ledger.begin(lost.id)
    with statements(engine) as noted:
        ledger.extend_due(within=4000)
        clock.turn(7200)
        swept = ledger.sweep()
        assert (swept.abandoned, swept.released) == (1, 1)
        ledger.close(lost.id, reason="x", at=lost.admitted_at)
        clock.turn(86_400)
        assert ledger.sweep().lapsed == 3
    assert len(noted) > 40
    assert "\n\n".join(read_whole(engine, noted)) == ""


def test_a_plan_that_reads_a_whole_table_is_noticed(engine: Engine) -> None:
    with statements(engine) as noted, engine.connect() as connection:
        connection.execute(text("SELECT id FROM entry WHERE reason = 'x'"))
    assert len(read_whole(engine, noted)) == 1
