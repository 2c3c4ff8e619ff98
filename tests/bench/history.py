"""Ledgers with a long past, made in bulk and not by decisions: SQLite fills the tables by itself.

Every account has one allocation of many credits. In turn the accounts are charged for ten minutes at a time, ten
times for each lease; all leases have ended. Every balance, date, charge and segment is as the ledger's own
decisions would leave it, so that `verify` finds nothing; only the texts are the same everywhere.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from hubquota.storage.engine import make_engine
from hubquota.storage.migrate import migrate

#: What each allocation is granted, in units; what one line of the journal charges; and how long that ran.
GRANT, RATE, SECONDS = 10**15, 40_000, 600

#: How many charges a lease has.
CHARGES = 10

#: 2026-01-01, in seconds since 1970.
BEGAN = 1_767_225_600


def _up_to(limit: str) -> str:
    """SQL for the numbers from 1 up to a limit as a table, in a column n."""
    return (
        f"(WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {limit}) "
        "SELECT n FROM numbers)"
    )


_ACCOUNTS = f"""
INSERT INTO account (id, name, kind, tier, balance, created_at)
SELECT n, printf('user-%06d', n), 'user', 'explorer', :grant - :charges * :rate * :seconds, :began
FROM {_up_to(":accounts")};
INSERT INTO allocation (id, account_id, tier, renewable, reason, granted_by, granted_at, start_at, balance,
                        end_at)
SELECT n, n, 'explorer', 1, 'A term.', 'benchmark', :began, :began, :grant - :charges * :rate * :seconds, :end
FROM {_up_to(":accounts")};
INSERT INTO entry (id, account_id, allocation_id, at, kind, amount, balance_after, allocation_after, end_at, actor,
                   reason, idempotency_key)
SELECT n, n, n, :began, 'grant', :grant, :grant, :grant, :end, 'benchmark', 'A term.', printf('a:%010d', n)
FROM {_up_to(":accounts")};
"""

# Of an account's charges, number k is of its lease k / 10; leases are numbered round by round, as charges are.
_LEASES = f"""
INSERT INTO lease (id, account_id, person, kind, "key", label, rate, admitted_at, started_at, seen_at, settled_at,
                   ended_at, charged, reason)
SELECT n, a, printf('user-%06d', a), 'server', printf('server:user-%06d/', a), 'Small server', :rate, began, began,
       began + ran, began + ran, began + ran, :rate * ran, 'The server was stopped.'
FROM (SELECT n, (n - 1) % :accounts + 1 AS a, :began + (n - 1) / :accounts * :per * :seconds AS began,
             min(:per, :charges - (n - 1) / :accounts * :per) * :seconds AS ran
      FROM {_up_to(":accounts * ((:charges + :per - 1) / :per)")});
INSERT INTO segment (id, lease_id, rate, from_at, until_at, charged)
SELECT id, id, rate, started_at, ended_at, charged FROM lease;
"""

_CHARGES = f"""
INSERT INTO entry (id, account_id, allocation_id, at, kind, amount, balance_after, allocation_after, lease_id,
                   actor, reason, idempotency_key)
SELECT :accounts + n, a, a, :began + (k + 1) * :seconds, 'charge', -:rate * :seconds,
       :grant - (k + 1) * :rate * :seconds, :grant - (k + 1) * :rate * :seconds, k / :per * :accounts + a,
       'hubquota', 'Small server, 600 s at 0.04 credits an hour', printf('c:%010d', n)
FROM (SELECT n, (n - 1) % :accounts + 1 AS a, (n - 1) / :accounts AS k
      FROM {_up_to(":accounts * :charges")});
"""


def make(path: Path, *, accounts: int, entries: int, end: int | None = None) -> str:
    """Make a ledger with a past; return its address.

    Parameters
    ----------
    path
        A file that is not there yet.
    accounts
        How many accounts, of the names user-000001 and so on.
    entries
        How many charges in the journal at least, above zero, rounded up so that every account has as many.
    end
        When every allocation ends, in seconds since 1970; None for never.
    """
    url = f"sqlite:///{path}"
    engine = make_engine(url)
    migrate(engine)
    engine.dispose()
    values = {
        "accounts": accounts, "charges": -(-entries // accounts), "per": CHARGES,
        "grant": GRANT, "rate": RATE, "seconds": SECONDS, "began": BEGAN, "end": end,
    }  # fmt: skip
    with sqlite3.connect(path, isolation_level=None) as database:
        # Nothing here has to survive a fall of the machine, and an index is made faster at the end.
        for pragma in ("synchronous = OFF", "cache_size = -400000", "temp_store = FILE"):
            database.execute(f"PRAGMA {pragma}")
        database.execute("BEGIN")
        rows = database.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL "
            "AND tbl_name IN ('entry', 'lease', 'segment')"
        ).fetchall()
        for name, _ in rows:
            database.execute(f"DROP INDEX {name}")
        for part in (_ACCOUNTS, _LEASES, _CHARGES):
            for statement in filter(str.strip, part.split(";")):
                database.execute(statement, values)
        for _, statement in rows:
            database.execute(statement)
        database.execute("COMMIT")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    return url
