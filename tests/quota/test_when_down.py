"""Starts while the ledger's database hangs or is gone: in a real hub, with a real PostgreSQL."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import psutil
import pytest
from hubquota.hub.keys import server_key
from hubquota.models.ledger import Lease
from hubquota.models.money import to_units
from hubquota.services.ledger import Ledger
from hubquota.storage.allowance import AllowanceFile
from hubquota.storage.engine import make_engine
from hubquota.storage.migrate import migrate

from tests.quota.support import HERE, Clock, Hub, Postgres, eventually
from tests.support.ports import free_port

TIERS = (HERE / "hub_tiers.yaml").read_text()


@pytest.fixture(scope="module")
def down_hub(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Iterator[Hub]:
    """A hub on PostgreSQL that may start two servers a user without it, for a minute each."""
    folder = tmp_path_factory.mktemp("hub")
    (folder / "tiers.yaml").write_text(TIERS + "when_down: {starts: 2, minutes: 1}\nclean_up: {size: small}\n")
    settings = {
        "quota_when_down": "allowance",
        "quota_deadline": 1.5,
        # The tests' server says by a file that it saved.
        "quota_clean_up_home": "writable",
    }
    (folder / "more.json").write_text(json.dumps({"Spawner": settings}))
    postgres.new_database("down")
    engine = make_engine(postgres.url("down"))
    migrate(engine)
    hub = Hub(
        folder=folder,
        port=free_port(),
        inner_ports=(free_port(), free_port()),
        token="a-token-of-the-tests",
        ledger=Ledger(engine),
        database_url=postgres.url("down"),
    )
    try:
        hub.start()
        yield hub
    finally:
        hub.close()
        engine.dispose()


@contextmanager
def hanging(postgres: Postgres) -> Iterator[None]:
    """Make the database hang: it takes connections and never answers."""
    assert postgres.process is not None
    server = psutil.Process(postgres.process.pid)
    frozen = [server, *server.children(recursive=True)]
    for process in frozen:
        process.suspend()
    try:
        yield
    finally:
        for process in reversed(frozen):
            process.resume()


@contextmanager
def gone(postgres: Postgres) -> Iterator[None]:
    """End the database as a crash would."""
    with postgres.connect() as connection:
        # Whatever the tests before have written would have to be recovered, and that can take its time.
        connection.execute("CHECKPOINT")
    postgres.stop()
    try:
        yield
    finally:
        postgres.start()


def asked(hub: Hub, user: str, **options: str) -> httpx.Response:
    """Ask for a start. That there is an answer while the database hangs says that a start does not."""
    return hub.api().post(f"users/{user}/server", json=options)


def run_once(hub: Hub, user: str) -> tuple[datetime, datetime]:
    """Start a server and stop it. Return when it was asked to start, and when it was gone."""
    began = hub.ledger._clock()
    assert asked(hub, user, size="small").status_code in (201, 202)
    eventually(lambda: hub.server(user, ready=True), f"a server of {user}")
    time.sleep(1.1)  # it is charged by the second, so it has to run for one
    hub.stop(user)
    return began, hub.ledger._clock()


def ended(hub: Hub, user: str, number: int) -> list[Lease]:
    """What ran and has ended. An admission that nobody waited for may get through later, and is cancelled then."""

    def look() -> list[Lease] | None:
        if hub.ledger.account(user) is None:
            return None
        found = [lease for lease in hub.ledger.statement(user).ended if lease.started_at is not None]
        return found if len(found) >= number else None

    return eventually(look, f"{number} leases of {user}")


def check_exact(hub: Hub, leases: list[Lease], spans: list[tuple[datetime, datetime]]) -> None:
    """Check that each lease is one of the runs, charged to the second."""
    assert len(leases) == len(spans)
    second = timedelta(seconds=1)
    for lease, (began, over) in zip(reversed(leases), spans, strict=True):
        assert lease.started_at is not None
        assert lease.ended_at is not None
        assert began - second <= lease.started_at < lease.ended_at <= over
        assert lease.charged == 40_000 * int((lease.ended_at - lease.started_at).total_seconds())
        assert (lease.reason, lease.end_kind) == ("The server was stopped.", "stopped")
    assert hub.ledger.verify() == []


def test_a_database_that_hangs_allows_a_little_that_is_written_later(down_hub: Hub, postgres: Postgres) -> None:
    hub = down_hub
    hub.api().post("users/ada")
    with hanging(postgres):
        spans = [run_once(hub, "ada"), run_once(hub, "ada")]
        refused = asked(hub, "ada", size="small")
        assert refused.status_code == 503
        assert "you have started as much as is allowed until they can: 2 starts" in refused.json()["message"]
        # A hub that is killed and started again does not begin to count anew.
        hub.kill()
        hub.start()
        assert asked(hub, "ada", size="small").status_code == 503
        # Nor may anybody draw on what nobody can look up.
        hub.api().post("users/bob")
        assert asked(hub, "bob", account="survey").status_code == 503
        assert asked(hub, "bob", size="large").status_code == 400
    # The hub was started again and nobody has asked it for anything since; the next who looks wakes it.
    hub.browser("ada").get("/hub/spawn").raise_for_status()
    check_exact(hub, ended(hub, "ada", 2), spans)
    # What is written does not count any more, and is not written again.
    with hanging(postgres):
        spans.append(run_once(hub, "ada"))
    check_exact(hub, ended(hub, "ada", 3), spans)


def test_a_database_that_was_killed_finds_what_still_runs(down_hub: Hub, postgres: Postgres) -> None:
    hub = down_hub
    hub.api().post("users/eve")
    with gone(postgres):
        began = hub.ledger._clock()
        assert asked(hub, "eve", size="medium").status_code in (201, 202)
        eventually(lambda: hub.server("eve", ready=True), "a server of eve")
    lease = eventually(
        lambda: hub.ledger.open_lease(server_key("eve", "")) if hub.ledger.account("eve") else None, "its lease"
    )
    assert (lease.label, lease.rate) == ("Medium server", 150_000)
    assert lease.started_at is not None
    assert lease.started_at >= began - timedelta(seconds=1)
    hub.stop("eve")
    (over,) = ended(hub, "eve", 1)
    assert (over.id, over.end_kind) == (lease.id, "stopped")
    assert hub.ledger.verify() == []


def test_what_runs_without_the_ledger_is_stopped_in_time(down_hub: Hub, postgres: Postgres) -> None:
    hub = down_hub
    hub.api().post("users/long")
    # So that the test takes no minute.
    file = AllowanceFile(hub.folder / "hubquota-allowance.sqlite")
    with hanging(postgres):
        assert asked(hub, "long", size="small").status_code in (201, 202)
        eventually(lambda: hub.server("long", ready=True), "a server of long")
        with file._open() as connection:
            connection.execute("UPDATE allowed SET stop_at = stop_at - 3600 WHERE person = 'long'")
        eventually(lambda: hub.server("long") is None, "the stop")
        assert (hub.folder / "long.saved").exists()
    (over,) = ended(hub, "long", 1)
    assert over.reason == "It ran for as long as a server may while the accounts cannot be read."
    assert over.end_kind == "longest-session"
    assert hub.ledger.verify() == []


def test_a_start_that_fails_without_the_ledger_costs_nothing_and_does_not_count(
    down_hub: Hub, postgres: Postgres
) -> None:
    hub = down_hub
    hub.api().post("users/unlucky")
    with hanging(postgres):
        for _ in range(3):
            assert asked(hub, "unlucky", size="small").status_code == 500
    assert AllowanceFile(hub.folder / "hubquota-allowance.sqlite").waiting(person="unlucky") == []
    # An admission that nobody waited for any more may get through after all; it is cancelled then.
    eventually(lambda: not hub.ledger.open_leases("server", "unlucky"), "the end of what nobody waited for")
    if hub.ledger.account("unlucky") is not None:
        assert [lease.charged for lease in hub.ledger.statement("unlucky").ended if lease.charged] == []
    assert hub.ledger.verify() == []


def test_nobody_gets_more_than_the_ledger_said_last(down_hub: Hub, postgres: Postgres) -> None:
    hub = down_hub
    for user in ("mallory", "gina"):
        hub.api().post(f"users/{user}")
        hub.ledger.open_account(user, "explorer", to_units(81), actor="test")
    hub.ledger.suspend(
        hub.ledger.allocations("mallory")[0].id, actor="admin", reason="Mining coins.", key="suspended"
    )
    hub.ledger.revoke(hub.ledger.allocations("gina")[0].id, actor="admin", reason="Left.", key="revoked")
    assert asked(hub, "mallory", size="small").status_code == 403
    # The form says it too.
    hub.browser("gina").get("/hub/spawn").raise_for_status()
    hub.kill()
    hub.start()
    with hanging(postgres):
        refused = asked(hub, "mallory", size="small")
        assert refused.status_code == 403
        assert "Mining coins." in refused.json()["message"]
        assert asked(hub, "gina", size="medium").status_code == 403
        run_once(hub, "gina")
    (lease,) = ended(hub, "gina", 1)
    assert (lease.label, lease.charged) == ("Clean-up server", 0)
    assert hub.ledger.verify() == []


# The file ----------------------------------------------------------------------------------------------


def allow(file: AllowanceFile, clock: Clock, person: str = "ada", starts: int = 2) -> str | None:
    found = file.allow(
        person=person,
        key=server_key(person, ""),
        tier="explorer",
        label="Small server",
        rate=7,
        starts=starts,
        now=clock.now,
        stop_at=clock.now + timedelta(minutes=5),
    )
    return None if found is None else found.id


def test_the_file_counts_per_person_across_openings(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "allowance.sqlite"
    assert AllowanceFile(path).waiting() == []
    first, second = allow(AllowanceFile(path), clock), allow(AllowanceFile(path), clock)
    assert first
    assert second
    assert allow(AllowanceFile(path), clock) is None
    assert allow(AllowanceFile(path), clock, "bob")
    # A copy that was made at any time can be read: everything is in the file at once.
    copy = AllowanceFile(shutil.copy(path, tmp_path / "copy.sqlite"))
    assert [found.person for found in copy.waiting()] == ["ada", "ada", "bob"]
    # What did not begin is forgotten; what is written counts no more.
    file = AllowanceFile(path)
    file.end(first, clock.now, reason="x", kind="failed")
    file.begin(second, clock.now)
    (one,) = file.waiting(person="ada")
    assert file.posted(one, clock.now)
    assert file.waiting(person="ada") == []
    assert allow(file, clock, starts=1)


def test_what_ends_while_it_is_being_written_is_written_again(tmp_path: Path, clock: Clock) -> None:
    file = AllowanceFile(tmp_path / "allowance.sqlite")
    number = allow(file, clock)
    assert number
    file.begin(number, clock.now)
    (running,) = file.waiting(key=server_key("ada", ""))
    file.end(number, clock.turn(60), reason="x", kind="stopped")
    assert not file.posted(running, clock.now)
    (over,) = file.waiting()
    assert (over.ended_at, over.reason) == (clock.now, "x")
    assert file.posted(over, clock.now)
