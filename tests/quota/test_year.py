"""A year of many accounts by a clock that the test turns, and what a decision reads when there are many."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from hubquota.services.ledger import Ledger
from hubquota.storage.engine import make_engine
from sqlalchemy import Engine, event, text

from tests.quota.support import Clock

BUDGET, RATE, SESSION = 5_000, 1, 1_200


def test_a_year_of_many_accounts_is_exact(url: str, clock: Clock) -> None:
    """Every quarter each account is granted a term, runs three sessions, and loses what it did not spend."""
    number = 40 if url.startswith("sqlite") else 10
    engine = make_engine(url)
    ledger = Ledger(engine, clock)
    names = [f"user-{index:03}" for index in range(number)]
    for name in names:
        ledger.open_account(name, "explorer", 0, actor="test")
    began = clock.now
    for quarter in range(4):
        clock.now = began + timedelta(days=91 * quarter)
        end = clock.now + timedelta(days=90)
        for name in names:
            ledger.grant(
                name, BUDGET, actor="clock", reason="A term.", key=f"{name}-{quarter}", end=end, renewable=True
            )
        for month in range(3):
            clock.now = began + timedelta(days=91 * quarter + 30 * month)
            leases = [
                ledger.begin(
                    ledger.admit(name, kind="server", key=f"server:{name}/", label="A server", rate=RATE).id
                )
                for name in names
            ]
            clock.turn(SESSION)
            for lease in leases:
                ledger.close(lease.id, reason="The server was stopped.")
            ledger.sweep()
        clock.now = end
        assert ledger.sweep().lapsed == number
        assert ledger.sweep().lapsed == 0
    assert ledger.verify() == []
    for row in ledger.accounts(limit=number):
        assert row.account.balance == 0
        sums = {line.amount for line in ledger.explain(row.account.name).lines}
        assert sums == {0}  # every term is over
        entries = ledger.statement(row.account.name, limit=100).entries
        charged = sum(entry.amount for entry in entries if entry.kind == "charge")
        lapsed = sum(entry.amount for entry in entries if entry.kind == "expiry")
        assert (charged, lapsed) == (-12 * RATE * SESSION, -4 * (BUDGET - 3 * RATE * SESSION))
    engine.dispose()


@contextmanager
def statements(engine: Engine) -> Iterator[list[tuple[str, object]]]:
    """Note the statements that are sent to a database."""
    noted: list[tuple[str, object]] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        noted.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield noted
    finally:
        event.remove(engine, "before_cursor_execute", note)


def test_no_decision_reads_a_whole_table(url: str, clock: Clock) -> None:
    engine = make_engine(url)
    ledger = Ledger(engine, clock)
    ledger.open_account("ada", "explorer", 10**9, actor="test")
    if engine.dialect.name == "postgresql":
        # On tables as small as these it would rather read them whole; here the question is whether it must.
        event.listen(engine, "begin", lambda connection: connection.execute(text("SET enable_seqscan = off")))
    with statements(engine) as noted:
        lease = ledger.admit("ada", kind="server", key="k", label="x", rate=1, limit=3)
        ledger.begin(lease.id)
        clock.turn(60)
        ledger.seen([lease.key])
        ledger.extend(lease.id)
        ledger.set_rate(lease.id, 2)
        ledger.close(lease.id, reason="x")
        ledger.balance("ada")
        ledger.exhausts_at("ada")
        ledger.statement("ada")
    explain = "EXPLAIN QUERY PLAN" if engine.dialect.name == "sqlite" else "EXPLAIN"
    whole: list[str] = []
    with engine.connect() as connection:
        for statement, parameters in noted:
            if not re.match(r"\s*(SELECT|UPDATE|DELETE)", statement) or "FROM pg_" in statement:
                continue
            plan = connection.exec_driver_sql(f"{explain} {statement}", parameters)  # type: ignore[arg-type]
            for row in plan:
                line = str(row[-1])
                if re.search(r"\bSCAN (account|allocation|lease|segment|hold|entry|membership)\b|Seq Scan", line):
                    whole.append(f"{line}: {statement}")
    assert len(noted) > 40
    assert whole == []
    engine.dispose()
