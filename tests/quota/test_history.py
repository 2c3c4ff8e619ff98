from __future__ import annotations

from datetime import timedelta

import pytest
from hubquota.models.burn import Pool, exhausts_at
from hubquota.models.burndown import project
from hubquota.models.ledger import Entry
from hubquota.models.overrides import Overridden
from hubquota.models.reading import AuditQuery, Deed, Place, Session
from hubquota.models.requests import Actor
from hubquota.services.export import Export
from hubquota.services.history import Histories
from hubquota.services.ledger import Ledger
from hubquota.services.projects import Projects
from hubquota.services.purge import PurgeRegister
from hubquota.services.requests import Requests
from hubquota.storage import history
from hubquota.storage.engine import reading
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event

from tests.quota.support import Clock


@pytest.fixture
def histories(ledger: Ledger) -> Histories:
    return Histories.sharing(ledger)


def slices(ledger: Ledger, clock: Clock, number: int, *keys: str) -> None:
    """Run things at once, charged slice by slice, and end them one after another."""
    leases = [ledger.begin(ledger.admit("ada", kind="server", key=key, label=key, rate=3).id) for key in keys]
    for _ in range(number):
        clock.turn(600)
        ledger.seen(keys)
        for lease in leases:
            ledger.extend(lease.id)
    for lease in leases:
        clock.turn(7)
        ledger.close(lease.id, reason="Stopped by ada.")


def test_every_session_is_one_line_and_the_lines_add_up(
    ledger: Ledger, clock: Clock, histories: Histories
) -> None:
    ledger.open_account("ada", "explorer", 10**9, actor="test")
    slices(ledger, clock, 4, "one")
    slices(ledger, clock, 6, "two", "three")
    ledger.grant("ada", 500, actor="edwin", reason="More.", key="more")
    slices(ledger, clock, 2, "four", "five")

    for limit in (1, 2, 3, 50):
        lines: list[Entry | Session] = []
        after: list[int] = []
        before: int | None = None
        while True:
            page = histories.history("ada", limit=limit, before=before)
            lines, after = [*lines, *page.lines], [*after, *page.after]
            if (before := page.next_before) is None:
                break
        labels = [line.lease.label if isinstance(line, Session) else line.kind for line in lines]
        assert labels == ["five", "four", "grant", "three", "two", "one", "grant"]
        balance = ledger.account("ada").balance  # type: ignore[union-attr]
        for line, told in zip(lines, after, strict=True):
            assert told == balance
            balance -= line.amount
        assert balance == 0
        sessions = [line for line in lines if isinstance(line, Session)]
        assert all(-line.amount == line.lease.charged for line in sessions)
        assert [line.lines for line in sessions] == [3, 3, 7, 7, 5]

    session = next(line for line in lines if isinstance(line, Session))
    first = histories.charges(session.lease.id, limit=2)
    rest = histories.charges(session.lease.id, limit=2, before=first.next_before)
    assert sum(entry.amount for entry in (*first.entries, *rest.entries)) == session.amount
    assert rest.next_before is None


def plans_of(engine: Engine, ask: object) -> list[str]:
    """The plans of every statement that a question takes (SQLite)."""
    statements: list[tuple[str, object]] = []

    def keep(_connection: object, _cursor: object, text: str, given: object, *_: object) -> None:
        statements.append((text, given))

    event.listen(engine, "before_cursor_execute", keep)
    ask()  # type: ignore[operator]
    event.remove(engine, "before_cursor_execute", keep)
    with reading(engine) as connection:
        return [
            row[3]
            for text, parameters in statements
            if text.startswith("SELECT")
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", parameters)  # type: ignore[arg-type]
        ]


def test_the_last_line_that_added_is_one_look_at_an_index(
    engine: Engine, ledger: Ledger, clock: Clock, histories: Histories
) -> None:
    ledger.open_account("ada", "explorer", 10**9, actor="test")
    ledger.grant("ada", 500, actor="edwin", reason="More.", key="more")
    slices(ledger, clock, 3, "one")
    ledger.suspend(1, actor="edwin", reason="x", key="s")

    found = histories.last_added("ada")

    assert found is not None
    assert (found.entry.kind, found.entry.amount) == ("grant", 500)
    assert found.taken_since == 3 * (1800 + 7)
    ledger.open_account("new", "explorer", 0, actor="test")
    assert histories.last_added("new") is None
    if engine.dialect.name == "sqlite":
        plans = plans_of(engine, lambda: histories.last_added("ada"))
        assert any("entry_added" in step for step in plans)
        assert not any(step.startswith("SCAN") or "TEMP" in step for step in plans)


def test_an_audit_is_filtered_and_paged(
    engine: Engine, ledger: Ledger, clock: Clock, histories: Histories
) -> None:
    begin = clock.now
    for name in ("ada", "bob"):
        ledger.open_account(name, "explorer", 10**9, actor="hubquota")
    slices(ledger, clock, 2, "one")
    middle = clock.turn(10)
    for number, actor in enumerate(("edwin", "nina", "edwin")):
        ledger.supplement(1, 5, actor=actor, reason=f"Reason {number}", key=str(number))
        clock.turn(60)
    ledger.correct("bob", -5, actor="edwin", reason="A mistake", key="c")

    def read(query: AuditQuery) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        before: Place | None = None
        while True:
            page = histories.audit(query, limit=2, before=before)
            found += [(line.kind, line.actor) for line in page.lines]
            if (before := page.next_before) is None:
                exported = Export.sharing(histories).audit(query)
                assert [(row.kind, row.actor) for row in exported] == found[::-1]
                return found

    edwins = [("correction", "edwin"), ("supplement", "edwin"), ("supplement", "edwin")]
    assert read(AuditQuery(actor="edwin")) == edwins
    assert read(AuditQuery(kind="supplement", actor="nina")) == [("supplement", "nina")]
    assert read(AuditQuery(kind="grant")) == [("grant", "hubquota")] * 2
    assert len(read(AuditQuery(kind="charge"))) == 3
    assert len(read(AuditQuery())) == 6
    assert len(read(AuditQuery(since=middle))) == 4
    assert len(read(AuditQuery(until=middle))) == 2
    assert len(read(AuditQuery(kind="charge", actor="hubquota", since=begin))) == 3
    with pytest.raises(ValueError, match="say from when on"):
        histories.audit(AuditQuery(kind="charge", actor="ada"))
    with pytest.raises(ValueError, match="say from when on"):
        list(Export.sharing(histories).audit(AuditQuery(kind="charge", actor="ada")))
    if engine.dialect.name == "sqlite":
        here = Place(int(clock.now.timestamp()), 0, 4)
        for query, index in (
            (AuditQuery(actor="edwin"), "entry_act_actor"),
            (AuditQuery(kind="grant"), "entry_act_kind"),
            (AuditQuery(kind="charge", since=middle), "entry_at"),
        ):
            # Of the journal, which grows; what is kept beside it is few.
            with reading(engine) as connection:
                plans = plans_of(
                    engine,
                    lambda query=query, connection=connection: history.audit(  # type: ignore[misc]
                        connection, query, limit=5, before=here
                    ),
                )
            assert any(index in step for step in plans), (query, plans)
            assert not any("TEMP" in step for step in plans), (query, plans)


def test_everything_that_was_decided_is_in_one_list_with_who_and_why(
    ledger: Ledger, clock: Clock, histories: Histories
) -> None:
    edwin = Actor("edwin", admin=True)
    ledger.open_account("ada", "explorer", 10**9, actor="hubquota")
    ledger.open_project("survey", "explorer", pi="ada", actor="edwin")
    register = PurgeRegister.sharing(ledger)
    ledger.admit("ada", kind="dask-cluster", key="dask-cluster:c1", label="Dask cluster", rate=0)
    begin = clock.turn(10)
    # Several in one second, and a line of the journal among them.
    register.hold("ada", by=edwin, reason="On leave")
    ledger.limit_cluster("c1", 3, actor="edwin", reason="The machine is full")
    ledger.supplement(1, 5, actor="edwin", reason="A little more", key="s")
    ledger.give_override(
        "ada",
        Overridden(sizes=("large",)),
        clock.now + timedelta(days=2),
        actor="edwin",
        reason="A school",
        key="o",
    )
    clock.turn(10)
    register.release("ada", by=edwin, reason="She is back")
    Projects.sharing(ledger).change_member("survey", "bob", "member", by=edwin)
    clock.turn(10)
    ledger.set_cap("survey", "bob", workers=4, actor="ada", reason="A share for each")
    Projects.sharing(ledger).change_member("survey", "bob", None, by=Actor("ada"))
    asked = Requests.sharing(ledger).ask("ada", "explorer", 5, justification="More.", by=Actor("ada"))
    Requests.sharing(ledger).deny(asked.id, by=edwin, reason="Not now")

    def read(query: AuditQuery, limit: int = 1) -> list[tuple[str, str, str]]:
        found: list[tuple[str, str, str]] = []
        before: Place | None = None
        while True:
            page = histories.audit(query, limit=limit, before=before)
            found += [
                (line.text if isinstance(line, Deed) else line.kind, line.actor, line.reason)
                for line in page.lines
            ]
            if page.next_before is None:
                # An export has the same, the other way round.
                rows = list(Export.sharing(histories).audit(query))[::-1]
                assert [(row.actor, row.reason) for row in rows] == [one[1:] for one in found]
                assert [row.what for row in rows if row.line is None] == [one[0] for one in found if " " in one[0]]
                return found
            before = Place.of(page.next_before.text)

    since = AuditQuery(since=begin)
    every = [
        ("Cap of bob: 4 workers", "ada", "A share for each"),
        ("Request 1 denied", "edwin", "Not now"),
        ("bob is no longer a member", "ada", ""),
        ("Hold lifted", "edwin", "She is back"),
        ("bob became a member", "edwin", ""),
        ("supplement", "edwin", "A little more"),
        ("Override 1 until 2026-01-03: sizes: large", "edwin", "A school"),
        ("Cluster c1 kept to 3 workers", "edwin", "The machine is full"),
        ("Put on hold: nothing of it is purged", "edwin", "On leave"),
    ]
    found = read(since)
    assert [one[1:] for one in found] == [one[1:] for one in every]
    assert [one[0].partition(" until")[0] for one in found] == [one[0].partition(" until")[0] for one in every]
    # However long the pages are, nothing is left out and nothing comes twice.
    for limit in (2, 3, 50):
        assert read(since, limit=limit) == found
    assert read(AuditQuery(actor="ada", since=begin)) == [one for one in found if one[1] == "ada"]
    assert [one[0] for one in read(AuditQuery("hold", since=begin))] == [
        "Hold lifted",
        "Put on hold: nothing of it is purged",
    ]
    assert read(AuditQuery("hold", until=begin)) == []
    with pytest.raises(ValueError, match="does not go on"):
        Place.of("1.x.3")


def test_a_burn_down_ends_when_the_credits_do(ledger: Ledger, clock: Clock, histories: Histories) -> None:
    ledger.open_account("ada", "explorer", 3 * 86400, actor="test", term_days=9)
    ledger.grant("ada", 86400, actor="x", reason="y", key="z", end=clock.now + timedelta(hours=4))
    clock.turn(60)
    calm = histories.burn_down("ada")
    assert (calm.rate, calm.exhausts_at) == (0, None)
    assert [sum(step.left.values()) for step in calm.future] == [345600, 345600, 259200, 259200]
    ledger.begin(ledger.admit("ada", kind="server", key="k", label="Server", rate=3).id)
    clock.turn(600)

    found = histories.burn_down("ada")

    assert found.exhausts_at == ledger.exhausts_at("ada")
    assert found.rate == 3
    assert sum(found.future[0].left.values()) == ledger.account("ada").balance - 3 * 600  # type: ignore[union-attr]
    assert sum(found.future[-1].left.values()) == 0
    assert [point.balance for point in found.past][-1] == 345600


_pools = st.lists(
    st.builds(
        Pool,
        id=st.integers(1, 10**6),
        free=st.integers(0, 500),
        start=st.integers(0, 50),
        end=st.none() | st.integers(51, 200),
        suspended=st.booleans(),
    ),
    max_size=4,
    unique_by=lambda pool: pool.id,
)


@given(pools=_pools, rate=st.integers(1, 9))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_the_steps_of_a_projection_reach_nothing_when_the_credits_end(pools: list[Pool], rate: int) -> None:
    ends = exhausts_at(pools, rate, 0)
    assert ends is not None
    steps = project(pools, rate, 0, 300)

    assert [step.at for step in steps] == sorted(step.at for step in steps)
    assert {pool.id: pool.free for pool in pools if pool.pays_at(0) and pool.free}.items() <= steps[0].left.items()
    for step in steps:
        # Up to the last whole second that can be paid, there is something to pay it with.
        if step.at < ends:
            assert step.total >= rate
