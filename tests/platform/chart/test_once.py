"""What must not be done twice is not, though two processes of it run: on a real PostgreSQL.

The chart runs one watch and one runner (`Recreate`), and Kubernetes promises no more than that: where a node is
silent, a second pod may begin while the first one still runs. So it is the database that decides.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from hubquota.services.ledger import Ledger
from hubquota.services.notices import Notices
from hubquota.services.tiersfile import load_tiers
from hubquota.storage.engine import make_engine
from hubquota.storage.migrate import migrate
from romanhub.community.proof.queue import Queue
from romanhub.community.proof.settings import RunSettings
from romanhub.community.storage.tables import MIGRATIONS as CATALOGUE

from tests.quota.conftest import postgres
from tests.quota.support import Postgres

__all__ = ["postgres"]  # the fixture

ROOT = Path(__file__).resolve().parents[3]
TIERS = ROOT / "hub_config" / "tiers.yaml"

#: How many processes do the same at once, and how often each begins again.
PROCESSES, ROUNDS = 2, 5

#: How many people have an account.
PEOPLE = 40

#: What each process of the watch does, over and over: the parts of a pass that write, and the upkeep.
SWEEPS = """
import sys
from hubquota.services.ledger import Ledger
from hubquota.services.terms import Terms
from hubquota.services.tiersfile import load_tiers
from hubquota.storage.engine import make_engine

url, tiers, rounds = sys.argv[1:]
engine, found = make_engine(url), load_tiers(tiers)
print("ready", flush=True)
sys.stdin.readline()
lapsed = ended = 0
for _ in range(int(rounds)):
    lapsed += Ledger(engine, tiers=lambda: found).sweep().lapsed
    ended += Terms(engine, lambda: found).sweep().ended
print(lapsed, ended)
"""

#: What each process of the runner does: it takes what there is room for.
CLAIMS = """
import sys
from datetime import UTC, datetime
from hubquota.storage.engine import make_engine
from romanhub.community.proof.queue import Queue
from romanhub.community.proof.settings import RunSettings

url, most, rounds = sys.argv[1:]
queue = Queue(make_engine(url), RunSettings(own_at_once=int(most)), lambda: datetime.now(UTC))
print("ready", flush=True)
sys.stdin.readline()
taken = [run.id for _ in range(int(rounds)) for run in queue.claim()]
print(*taken)
"""


@contextmanager
def database(postgres: Postgres) -> Iterator[str]:
    """A new database; yields its address."""
    name = f"once_{uuid4().hex[:8]}"
    postgres.new_database(name)
    yield postgres.url(name)


def at_once(program: str, *arguments: str) -> list[list[int]]:
    """Run a program in several processes that begin at the same moment; return the numbers that each prints."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        for _ in range(PROCESSES)
    ]
    for one in processes:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in processes:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    said = [one.communicate(timeout=120)[0] for one in processes]
    assert [one.returncode for one in processes] == [0] * PROCESSES
    return [[int(word) for word in text.split()] for text in said]


@pytest.fixture
def ledger_url(postgres: Postgres) -> Iterator[str]:
    """A ledger in which everybody's term ended yesterday."""
    tiers = load_tiers(TIERS)
    with database(postgres) as url:
        engine = make_engine(url)
        migrate(engine)
        past = datetime.now(UTC) - timedelta(days=2)
        ledger = Ledger(engine, lambda: past)
        for number in range(PEOPLE):
            ledger.open_account(
                f"person-{number}",
                "explorer",
                tiers.tiers["explorer"].budget_units,
                actor="test",
                term_days=1,
            )
        engine.dispose()
        yield url


def test_two_watches_close_each_term_once_and_tell_each_person_once(ledger_url: str) -> None:
    counted = at_once(SWEEPS, ledger_url, str(TIERS), str(ROUNDS))
    engine = make_engine(ledger_url)
    ledger, notices = Ledger(engine), Notices(engine)
    assert sum(lapsed for lapsed, _ in counted) == PEOPLE, "between them they saw to all, and to each once"
    for number in range(PEOPLE):
        name = f"person-{number}"
        assert [entry.kind for entry in ledger.statement(name).entries] == ["expiry", "grant"]
        subjects = [notice.subject for notice in notices.notices(name)]
        assert len(subjects) == len(set(subjects)) == 2, subjects
    assert ledger.verify() == []
    engine.dispose()


def test_two_runners_take_each_run_once(postgres: Postgres) -> None:
    with database(postgres) as url:
        engine = make_engine(url)
        migrate(engine, CATALOGUE)
        queue = Queue(engine, RunSettings(own_at_once=7, own_queued=100), lambda: datetime.now(UTC))
        for number in range(30):
            queue.later("ada", f"survey-{number}.ipynb", None, account=None, size=None)
        taken = at_once(CLAIMS, url, "7", str(ROUNDS))
        everything = [run for one in taken for run in one]
        assert len(everything) == len(set(everything)), "nothing is started twice"
        assert len(everything) >= 7, "there is room for so many"
        assert sorted(run.id for run in queue.unsettled()) == sorted(everything)
        engine.dispose()
