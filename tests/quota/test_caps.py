"""Caps on what one member may use of a project: by the balance of the term, in the admission's transaction."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import timedelta

import pytest
from hubquota.models.kinds import WORKER
from hubquota.models.ledger import ImpossibleError, Lease, Refused
from hubquota.models.money import rate_of, to_units
from hubquota.services.ledger import Ledger
from hubquota.storage import caps
from hubquota.storage.engine import decision, make_engine, reading
from sqlalchemy import Engine, event, text

from tests.quota.support import HERE, Clock


@pytest.fixture(autouse=True)
def survey(ledger: Ledger, clock: Clock) -> None:
    ledger.open_project("survey", "team", pi="eve", actor="admin")
    ledger.set_member("survey", "ada", "member", actor="eve")
    end = clock.now + timedelta(days=30)
    ledger.grant("survey", 5_000_000, actor="admin", reason="A survey.", key="1", tier="team", end=end)


def start(ledger: Ledger, person: str, number: int = 0, *, rate: int = 1, kind: str = "server") -> Lease:
    key = f"{kind}:{person}/{number}"
    lease = ledger.admit("survey", kind=kind, key=key, label="A server", rate=rate, person=person)
    return ledger.begin(lease.id)


def test_a_member_spends_no_more_than_the_cap_and_the_others_go_on(ledger: Ledger, clock: Clock) -> None:
    ledger.set_cap("survey", "ada", credits=1000, actor="eve", reason="A share each.", by_member="eve")
    lease = start(ledger, "ada")  # holds 600
    with pytest.raises(Refused) as refused:
        start(ledger, "ada", 1)
    assert refused.value.limit == "cap"
    assert "A PI of the project (eve) or an administrator can raise it." in refused.value.message
    start(ledger, "eve")
    # It holds on to what the cap leaves, runs that out, and no further.
    extension = ledger.extend(lease.id)
    assert (extension.short, extension.covered_until) == (True, clock.now + timedelta(seconds=1000))
    assert ledger.cap_ends_at("survey", "ada") == clock.now + timedelta(seconds=1000)
    clock.turn(1000)
    ledger.seen([lease.key])
    assert ledger.extend(lease.id).lease.held == 0
    assert ledger.cap_ends_at("survey", "ada") == clock.now
    ledger.close(lease.id, reason="x")
    (mine,) = [use for use in ledger.member_use("survey") if use.member == "ada"]
    assert (mine.spent, mine.taken, mine.left) == (1000, 0, 0)
    with pytest.raises(Refused, match="cap on survey"):
        start(ledger, "ada")
    # What costs nothing, and a cap that is raised or lifted, pass.
    start(ledger, "ada", 2, rate=0)
    ledger.set_cap("survey", "ada", credits=1600, actor="eve", reason="x")
    ledger.close(start(ledger, "ada", 3).id, reason="x")
    assert ledger.set_cap("survey", "ada", actor="eve", reason="x") is None
    start(ledger, "ada", 4, rate=100)
    assert [(cap.credits, cap.workers) for cap in ledger.caps("survey")] == [
        (1000, None),
        (1600, None),
        (None, None),
    ]
    assert ledger.verify() == []


def test_the_refusal_names_the_cap_what_is_spent_and_who_can_raise_it(ledger: Ledger, clock: Clock) -> None:
    ledger.grant("survey", to_units(50), actor="admin", reason="x", key="2")
    ledger.set_cap("survey", "ada", credits=to_units(2), actor="eve", reason="x")
    rate = rate_of("1.2")
    lease = start(ledger, "ada", rate=rate)
    clock.turn(3600)
    ledger.close(lease.id, reason="x")
    running = start(ledger, "ada", rate=rate)
    with pytest.raises(Refused) as refused:
        start(ledger, "ada", 1, rate=rate_of("6"))
    assert refused.value.message == (
        "Your cap on survey is 2.00 credits a term: you have spent 1.20, what you run takes 0.20, and this needs "
        "1.00 more. A PI of the project (eve) or an administrator can raise it."
    )
    assert ledger.close(running.id, reason="x").charged == 0


def test_a_dearer_rate_keeps_to_the_cap(ledger: Ledger) -> None:
    ledger.set_cap("survey", "ada", credits=1000, actor="eve", reason="x")
    lease = start(ledger, "ada")
    with pytest.raises(Refused, match="cap on survey"):
        ledger.set_rate(lease.id, 2)
    assert ledger.lease(lease.id) == lease
    ledger.set_cap("survey", "ada", credits=1200, actor="eve", reason="x")
    assert ledger.set_rate(lease.id, 2).held == 1200


def test_a_new_term_begins_anew(ledger: Ledger, clock: Clock) -> None:
    ledger.set_cap("survey", "ada", credits=600, actor="eve", reason="x")
    lease = start(ledger, "ada")
    clock.turn(600)
    ledger.close(lease.id, reason="x")
    with pytest.raises(Refused, match="cap"):
        start(ledger, "ada")
    # A suspension is no new term.
    (one,) = ledger.allocations("survey")
    ledger.suspend(one.id, actor="admin", reason="x", key="s")
    assert [use.spent for use in ledger.member_use("survey")] == [600, 0]
    ledger.resume(one.id, actor="admin", reason="x", key="r")
    clock.turn(30 * 86_400)
    ledger.grant("survey", 5_000_000, actor="admin", reason="The next term.", key="2", tier="team")
    start(ledger, "ada")
    assert ledger.verify() == []


def test_workers_are_capped_by_person(ledger: Ledger) -> None:
    ledger.set_cap("survey", "ada", workers=2, actor="eve", reason="x")
    first = start(ledger, "ada", 0, kind=WORKER)
    start(ledger, "ada", 1, kind=WORKER)
    with pytest.raises(Refused, match="Your cap on survey is 2 workers at once and you run 2") as refused:
        start(ledger, "ada", 2, kind=WORKER)
    assert refused.value.limit == "cap"
    start(ledger, "eve", 0, kind=WORKER)
    start(ledger, "ada", kind="server")
    ledger.close(first.id, reason="x")
    start(ledger, "ada", 2, kind=WORKER)


def test_only_a_pi_or_an_administrator_caps_and_only_in_projects(ledger: Ledger) -> None:
    with pytest.raises(Refused, match="ada is not a PI of survey"):
        ledger.set_cap("survey", "eve", credits=1, actor="ada", reason="x", by_member="ada")
    ledger.open_account("bob", "explorer", 5, actor="test")
    with pytest.raises(ImpossibleError, match="no members"):
        ledger.set_cap("bob", "bob", credits=1, actor="admin", reason="x")
    with pytest.raises(ValueError, match="below zero"):
        ledger.set_cap("survey", "ada", credits=-1, actor="admin", reason="x")
    for _ in range(2):
        ledger.set_cap("survey", "ada", credits=5, workers=1, actor="eve", reason="x")
    assert len(ledger.caps("survey")) == 1


def test_what_is_kept_of_a_members_spending_is_verified(ledger: Ledger, clock: Clock, engine: Engine) -> None:
    lease = start(ledger, "ada")
    clock.turn(10)
    ledger.close(lease.id, reason="x")
    assert ledger.verify() == []
    with decision(engine) as connection:
        connection.execute(text("UPDATE spending SET charged = 9"))
    (wrong,) = ledger.verify()
    assert (wrong.account, wrong.what, wrong.expected, wrong.found) == (
        "survey",
        f"allocation {ledger.allocations('survey')[0].id}: spent by ada",
        10,
        9,
    )


def test_a_cap_is_decided_without_reading_the_journal_or_leases_that_ended(engine: Engine) -> None:
    statements: list[tuple[str, object]] = []

    def note(_c: object, _cursor: object, statement: str, parameters: object, *_more: object) -> None:
        statements.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    with reading(engine) as connection:
        caps.find(connection, 1, "ada")
        caps.spent(connection, "ada", [1, 2])
        caps.running(connection, 1, "ada", 1_800_000_000)
    event.remove(engine, "before_cursor_execute", note)
    prefix = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else "EXPLAIN "
    asked = [one for one in statements if one[0].lstrip().startswith("SELECT")]
    assert len(asked) == 3
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            # A small table is read whole whatever its indexes; with this it says whether one fits.
            connection.exec_driver_sql("SET enable_seqscan = off")
        for statement, parameters in asked:
            plan = "\n".join(
                str(tuple(row))
                for row in connection.exec_driver_sql(prefix + statement, parameters)  # type: ignore[arg-type]
            )
            assert "entry" not in plan
            assert "Seq Scan" not in plan, plan
            if engine.dialect.name == "sqlite":
                scans = [line for line in plan.splitlines() if "'SCAN" in line and "running" not in line]
                assert scans == [], plan
            if "lease" in statement.split("FROM", 1)[1]:
                # Any of them leads to the open ones alone.
                assert re.search("lease_open_(account|person)", plan), plan


def test_of_many_processes_as_many_start_as_the_cap_has_room_for(url: str) -> None:
    ledger = Ledger(make_engine(url, timeout=60))
    # By the real clock, for which the term of the other one may be over.
    ledger.grant("survey", 5_000_000, actor="admin", reason="A race.", key="2")
    ledger.set_cap("survey", "ada", credits=5 * 600 + 599, workers=50, actor="eve", reason="x")
    command = [sys.executable, str(HERE / "member_racer.py"), url]
    paths = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    racers = [
        subprocess.Popen(
            [*command, str(number), "5"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=paths
        )
        for number in range(3)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    admitted = [int(racer.communicate("go\n", timeout=60)[0]) for racer in racers]
    assert sum(admitted) == 5
    (mine,) = [use for use in ledger.member_use("survey") if use.member == "ada"]
    assert mine.taken == 5 * 600
    assert ledger.verify() == []
