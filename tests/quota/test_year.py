"""A year of many accounts by a clock that the test turns."""

from __future__ import annotations

from datetime import timedelta

from hubquota.services.ledger import Ledger
from hubquota.storage.engine import make_engine

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
