"""Processes that do whatever can be done to a ledger, each by a seed, until somebody kills them.

For each line on the input, a name and a seed, it forks such a process and prints its number: a fork is there at
once. What the ledger has answered yes to is noted in a file, so that whoever killed the process can tell what must
be there.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import time
from random import Random

from hubquota.models.ledger import ConflictingKeyError, ImpossibleError, LeaseStartedError, Refused
from hubquota.services.ledger import Ledger
from hubquota.storage.engine import make_engine
from sqlalchemy.exc import SQLAlchemyError

url, notes = sys.argv[1], os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
name, dice, numbers = "", Random(), itertools.count()
# Connected in the children only: no two processes can share a connection.
ledger = Ledger(make_engine(url, timeout=20))
ACCOUNTS = ("ada", "bob", "survey")
RATES = (0, 1, 7, 1_000)


def lease_of_mine() -> int:
    """Return an open lease, rather one of this process's own."""
    found = ledger.open_leases()
    own = [lease for lease in found if f"/{name}-" in lease.key] or found
    return dice.choice(own).id if own else 1


def admit() -> None:
    """Ask for a start, and mostly tell that it began."""
    account = dice.choice(ACCOUNTS)
    person = "bob" if account == "bob" else "ada"
    lease = ledger.admit(
        account,
        person=person,
        kind="server",
        key=f"server:{person}/{name}-{dice.randint(0, 9)}",
        label="A server",
        rate=dice.choice(RATES),
        # More than the whole test takes, so that nothing runs past what it holds.
        minimum_seconds=dice.choice((120, 600)),
        limit=dice.choice((None, 6)),
        settle_leftover=dice.random() < 0.3,
    )
    if dice.random() < 0.8:
        ledger.begin(lease.id)


#: What the journal calls the lines of each act.
LINES = {"grant": ("grant",), "correct": ("correction",), "transfer": ("transfer-out", "transfer-in")}


def once(act: str, *arguments: object) -> None:
    """Do what a key makes count once, and note the keys of its lines when it is done."""
    key = f"{name}-{next(numbers)}"
    getattr(ledger, act)(*arguments, actor=name, reason="x", key=key)
    os.write(notes, "".join(f"{line}:{key}\n" for line in LINES[act]).encode())


def transfer() -> None:
    """Move a little from one account to another."""
    source, target = (ledger.allocations(one)[0].id for one in dice.sample(ACCOUNTS, 2))
    once("transfer", source, target, dice.randint(1, 500))


ACTS = {
    "admit": (8, admit),
    "begin": (2, lambda: ledger.begin(lease_of_mine())),
    "seen": (4, lambda: ledger.seen([lease.key for lease in ledger.open_leases()])),
    "extend": (4, lambda: ledger.extend(lease_of_mine(), ahead=dice.randint(0, 4000))),
    "scale": (4, lambda: ledger.set_rate(lease_of_mine(), dice.choice(RATES))),
    "close": (5, lambda: ledger.close(lease_of_mine(), reason="x")),
    "cancel": (1, lambda: ledger.cancel(lease_of_mine(), "x")),
    "grant": (1, lambda: once("grant", dice.choice(ACCOUNTS), 5_000)),
    "correct": (1, lambda: once("correct", dice.choice(ACCOUNTS), 3)),
    "transfer": (2, transfer),
    "sweep": (1, ledger.sweep),
}


def run() -> None:
    """Act until the end."""
    while True:
        what = dice.choices(list(ACTS), [weight for weight, _ in ACTS.values()])[0]
        try:
            ACTS[what][1]()
        except (Refused, ImpossibleError, LeaseStartedError, ConflictingKeyError, LookupError):
            continue
        except SQLAlchemyError:
            # The database went away under it; it goes on once that is back, as a hub would.
            time.sleep(0.02)


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    for line in sys.stdin:
        name, seed = line.split()
        child = os.fork()
        if child == 0:
            dice = Random(int(seed))
            run()
        print(child, flush=True)
