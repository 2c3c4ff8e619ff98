"""The hub's way to the ledger, with a database that is slow, locked or gone."""

from __future__ import annotations

import asyncio
import logging
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from hubquota.hub.desk import LedgerDesk, LedgerDownError
from hubquota.models.ledger import Lease, Refused
from hubquota.models.money import to_units
from hubquota.services.ledger import Ledger
from hubquota.services.starts import Start
from hubquota.services.tiersfile import TiersFile
from hubquota.storage.engine import decision, make_engine
from prometheus_client import REGISTRY
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from tests.quota.support import HERE, Clock, eventually

DEADLINE = 0.3


# The hub's tiers, in which a small server costs a unit a second. The folder lasts for as long as this is used.
_FOLDER = tempfile.TemporaryDirectory()
_PATH = Path(_FOLDER.name) / "tiers.yaml"
_PATH.write_text((HERE / "hub_tiers.yaml").read_text().replace("price: 0.04", "price: 0.000001", 1))
TIERS = TiersFile(_PATH)


def start(name: str = "ada", server: str = "", **more: Any) -> Start:
    """A start of a small server, which costs a unit a second."""
    wanted: dict[str, Any] = {
        "person": name,
        "payer": name,
        "key": f"server:{name}/{server}",
        "tiers": TIERS,
        "groups": (),
        "claims": None,
        "size": "small",
    }
    return Start(**(wanted | more))


class Lock:
    """Holds the database's only write lock, as another process would."""

    def __init__(self, url: str) -> None:
        self._engine = make_engine(url)
        self._held, self._enough = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._hold)

    def __enter__(self) -> None:
        self._thread.start()
        assert self._held.wait(10)

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join()
        self._engine.dispose()

    def _hold(self) -> None:
        with decision(self._engine):
            self._held.set()
            self._enough.wait(30)


@pytest.fixture
def url(sqlite_template: Path, tmp_path: Path) -> str:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(sqlite_template.read_bytes())
    return f"sqlite:///{path}"


@pytest.fixture
def engine(url: str) -> Engine:
    # Patient: what the desk gives up waiting for goes on in its thread.
    return make_engine(url, timeout=20)


@pytest.fixture
async def desk(ledger: Ledger) -> AsyncIterator[LedgerDesk]:
    ledger.open_account("ada", "explorer", to_units(1), actor="test")
    yield LedgerDesk(ledger, deadline=DEADLINE, pause=0.05)


async def until(look: Callable[[], object], what: str) -> None:
    await asyncio.to_thread(eventually, look, what)


async def test_an_answer_and_a_refusal_come_through(desk: LedgerDesk) -> None:
    assert (await desk.admit(start())).key == "server:ada/"
    with pytest.raises(Refused):
        await desk.admit(start(payer="nobody"))
    with pytest.raises(LookupError):
        await desk.ask(lambda ledger: ledger.balance("nobody"))


async def test_the_loop_goes_on_while_the_database_makes_a_question_wait(desk: LedgerDesk, url: str) -> None:
    with Lock(url):
        question = desk.admit(start())
        turns = 0
        while not question.done():
            await asyncio.sleep(0.01)
            turns += 1
        with pytest.raises(LedgerDownError, match=r"did not answer within 0\.3 s"):
            await question
    assert turns > 5


async def test_an_admission_that_comes_too_late_is_cancelled(desk: LedgerDesk, ledger: Ledger, url: str) -> None:
    with Lock(url), pytest.raises(LedgerDownError):
        await desk.admit(start())
    await until(lambda: ledger.statement("ada").ended, "the end of the late admission")
    (lease,) = ledger.statement("ada").ended
    assert (lease.charged, lease.reason) == (0, "Nobody waited for the admission.")
    assert ledger.open_leases() == []


async def test_an_admission_that_nobody_waits_for_any_more_is_cancelled(
    desk: LedgerDesk, ledger: Ledger, url: str
) -> None:
    with Lock(url):
        asked = desk.admit(start())
        await asyncio.sleep(0.05)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
    await until(lambda: ledger.statement("ada").ended, "the end of the abandoned admission")
    assert ledger.balance("ada").available == to_units(1)


async def test_what_cannot_be_written_is_written_later_in_order_and_with_its_time(
    desk: LedgerDesk, ledger: Ledger, clock: Clock, url: str
) -> None:
    lease = ledger.lease((await desk.admit(start())).lease_id)
    with Lock(url):
        begun = clock.now
        await desk.settle(lease.key, lambda ledger: ledger.begin(lease.id, at=begun))
        ended = clock.turn(100)
        await desk.settle(lease.key, lambda ledger: ledger.close(lease.id, reason="Stopped.", at=ended))
        clock.turn(1000)
        assert ledger.lease(lease.id) == lease
    await until(lambda: ledger.statement("ada").ended, "the end of the lease")
    (closed,) = ledger.statement("ada").ended
    assert closed.charged == 100


async def test_what_is_owed_about_a_key_is_written_before_what_comes_after_it(
    ledger: Ledger, clock: Clock
) -> None:
    ledger.open_account("ada", "explorer", to_units(1), actor="test")
    desk = LedgerDesk(ledger, deadline=5, pause=0.05)
    lease = ledger.lease((await desk.admit(start())).lease_id)
    down = True

    def begin(ledger: Ledger) -> Lease:
        if down:
            raise OperationalError("BEGIN", {}, Exception("the database is gone"))
        return ledger.begin(lease.id)

    await desk.settle(lease.key, begin)
    down = False
    ended = clock.turn(100)
    await desk.settle(lease.key, lambda ledger: ledger.close(lease.id, reason="Stopped.", at=ended))
    await until(lambda: ledger.statement("ada").ended, "the end of the lease")
    # Begun when the database was back; without the begin there would be no time of it at all.
    assert ledger.statement("ada").ended[0].started_at is not None


async def test_what_the_ledger_turns_down_is_logged_and_does_not_stop_the_rest(
    desk: LedgerDesk, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    lease = ledger.lease((await desk.admit(start())).lease_id)
    with caplog.at_level(logging.ERROR):
        desk.owe("server:nobody/", lambda ledger: ledger.close(99, reason="x"))
        desk.owe(lease.key, lambda ledger: ledger.close(lease.id, reason="x"))
        await until(lambda: not ledger.open_leases(), "the end of the lease")
    assert "What was owed about server:nobody/ cannot be written." in caplog.text


async def test_sightings_are_written_together(desk: LedgerDesk, ledger: Ledger, clock: Clock) -> None:
    lease = ledger.lease((await desk.admit(start())).lease_id)
    await desk.ask(lambda ledger: ledger.begin(lease.id))
    for _ in range(5):
        desk.sighted(lease.key, clock.turn(1))
    last = clock.now

    def look() -> bool:
        found = ledger.lease(lease.id)
        return found is not None and found.seen_at == last

    await until(look, "the last sighting")


async def test_a_database_that_is_not_there_is_down(tmp_path: Path) -> None:
    ledger = Ledger(make_engine(f"sqlite:///{tmp_path}/nowhere/ledger.sqlite"))
    with pytest.raises(LedgerDownError, match="failed"):
        await LedgerDesk(ledger, deadline=5).ask(lambda ledger: ledger.account("ada"))
    ledger = Ledger(make_engine(f"sqlite:///{tmp_path}/empty.sqlite"))
    with pytest.raises(LedgerDownError, match="failed"):
        await LedgerDesk(ledger, deadline=5).ask(lambda ledger: ledger.account("ada"))


def _measured(name: str) -> float:
    value = REGISTRY.get_sample_value(name)
    assert value is not None
    return value


async def test_timeouts_failures_and_what_is_owed_are_measured(
    desk: LedgerDesk, ledger: Ledger, url: str, tmp_path: Path
) -> None:
    lease = ledger.lease((await desk.admit(start())).lease_id)
    owed, timeouts = _measured("hubquota_desk_owed_writes"), _measured("hubquota_desk_timeouts_total")
    with Lock(url):
        await desk.settle(lease.key, lambda ledger: ledger.begin(lease.id))
        await desk.settle(lease.key, lambda ledger: ledger.close(lease.id, reason="Stopped."))
        assert _measured("hubquota_desk_owed_writes") == owed + 2
        assert _measured("hubquota_desk_timeouts_total") > timeouts
    await until(lambda: _measured("hubquota_desk_owed_writes") == owed, "the end of what is owed")
    failures = _measured("hubquota_desk_failures_total")
    away = Ledger(make_engine(f"sqlite:///{tmp_path}/nowhere/ledger.sqlite"))
    with pytest.raises(LedgerDownError):
        await LedgerDesk(away, deadline=5).ask(lambda ledger: ledger.account("ada"))
    assert _measured("hubquota_desk_failures_total") == failures + 1
