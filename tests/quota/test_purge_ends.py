"""What a purge means for an account: archived, restored, purged, or back with another allocation."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import get_args

import pytest
from hubquota.models.export import state_now
from hubquota.models.ledger import Allocation, Refused
from hubquota.models.purge import Act, Stage
from hubquota.models.reading import AccountQuery, AccountState
from hubquota.models.requests import Actor
from hubquota.models.states import State
from hubquota.models.tiers import CleanUp
from hubquota.services.ledger import Ledger
from hubquota.services.notices import Notices
from hubquota.services.purge import Purge
from hubquota.services.tiersfile import load_tiers
from hubquota.storage.engine import decision
from sqlalchemy import Engine, text

from tests.quota.purge_support import DAY, expire, fill, make_purge, make_settings, plan_and_approve, snapshot
from tests.quota.support import Clock

TIERS = load_tiers(Path(__file__).parent / "hub_tiers.yaml")
CLEAN = TIERS.model_copy(update={"clean_up": CleanUp(size="small", idle_stop_minutes=10, longest_session_hours=1)})


@pytest.fixture
def purge(engine: Engine, clock: Clock, tmp_path: Path, ledger: Ledger) -> Purge:
    """Ada and Bob are past their grace, and are told nothing before their homes are moved aside."""
    for name in ("ada", "bob"):
        fill(tmp_path / "homes" / name)
    expire(ledger, clock, "ada", "bob")
    return make_purge(engine, clock, make_settings(tmp_path, notice_days=[], quarantine_days=3, restore_days=20))


def run(purge: Purge) -> None:
    assert [step.failure for step in purge.advance(dry_run=False) if step.failure] == []


def of(ledger: Ledger, name: str) -> Allocation:
    """The first allocation of somebody."""
    return min(ledger.allocations(name, lapsed=True), key=lambda one: one.id)


def state(ledger: Ledger, clock: Clock, name: str) -> State:
    """The state of somebody's first allocation, and of their account in the list of all."""
    assert ledger.verify() == []
    found = state_now(of(ledger, name), clock.now)
    if len(ledger.allocations(name, lapsed=True)) == 1:
        listed = found if found in (State.ARCHIVED, State.PURGED) else State.EXPIRED
        for one in get_args(AccountState):
            rows = ledger.directory(AccountQuery(state=one)).rows
            assert (name in [row.summary.account.name for row in rows]) == (one == listed)
            assert all(row.state == one for row in rows)
    return found


def test_an_allocation_follows_what_a_purge_did(
    purge: Purge, ledger: Ledger, clock: Clock, tmp_path: Path, engine: Engine
) -> None:
    plan_and_approve(purge)
    assert ledger.entitlement(CLEAN, "ada").clean_up is not None
    run(purge)
    moved = clock.now
    assert (state(ledger, clock, "ada"), of(ledger, "ada").archived_at) == (State.ARCHIVED, moved)
    entitlement = ledger.entitlement(CLEAN, "ada")
    assert (entitlement.state, entitlement.clean_up, entitlement.sizes(CLEAN)) == (State.ARCHIVED, None, {})
    with pytest.raises(Refused, match=f"is in the archive since {moved:%Y-%m-%d}, so there is.*Ask for it back"):
        entitlement.check()

    clock.turn(3 * DAY)
    run(purge)
    assert of(ledger, "ada").archived_at == moved
    (bob,) = purge.items_of("bob")
    purge.restore(bob.id, by=Actor("bob"))
    assert (state(ledger, clock, "bob"), of(ledger, "bob").archived_at) == (State.GRACE, None)
    assert ledger.entitlement(CLEAN, "bob").clean_up is not None

    clock.turn(20 * DAY)
    run(purge)
    assert (state(ledger, clock, "ada"), of(ledger, "ada").purged_at) == (State.PURGED, clock.now)
    assert of(ledger, "ada").archived_at == moved
    with pytest.raises(Refused, match=f"What was kept under it is gone since {clock.now:%Y-%m-%d}"):
        ledger.entitlement(CLEAN, "ada").check()
    assert state(ledger, clock, "bob") is State.GRACE

    # Another term, after which another plan takes what there is by then.
    ledger.grant("ada", 5, actor="root", reason="x", key="1", end=clock.now + timedelta(days=1))
    assert ledger.entitlement(CLEAN, "ada").state is State.EXPIRING
    fill(tmp_path / "homes" / "ada")
    clock.turn(40 * DAY)
    ledger.sweep()
    assert ledger.entitlement(CLEAN, "ada").state is State.GRACE
    plan_and_approve(purge)
    run(purge)
    assert [state_now(one, clock.now) for one in ledger.allocations("ada", lapsed=True)] == [
        State.PURGED,
        State.ARCHIVED,
    ]
    assert (state(ledger, clock, "bob"), of(ledger, "bob").archived_at) == (State.ARCHIVED, clock.now)

    with decision(engine) as connection:
        connection.execute(
            text("UPDATE allocation SET archived_at = NULL WHERE id = :id"), {"id": of(ledger, "bob").id}
        )
    (found,) = ledger.verify()
    assert found.what == f"allocation {of(ledger, 'bob').id}: archived"


def test_what_is_given_back_was_not_archived(purge: Purge, ledger: Ledger, clock: Clock) -> None:
    number = plan_and_approve(purge)
    run(purge)
    purge.cancel(number, by=Actor("root", admin=True), reason="The wrong course")
    run(purge)
    assert state(ledger, clock, "ada") is State.GRACE
    assert of(ledger, "ada").archived_at is None


def test_with_another_allocation_everything_comes_back_by_itself(
    purge: Purge, ledger: Ledger, clock: Clock, tmp_path: Path, engine: Engine
) -> None:
    home, notices = tmp_path / "homes" / "ada", Notices(engine, clock)
    before = snapshot(home)
    plan_and_approve(purge)
    run(purge)
    clock.turn(3 * DAY)
    run(purge)
    assert not home.exists()
    ledger.grant("ada", 5, actor="root", reason="x", key="1", end=clock.now + timedelta(days=90))
    # However late the run comes: it is brought back, and not discarded.
    clock.turn(40 * DAY)
    assert [(step.item.account, step.act) for step in purge.advance()] == [
        ("ada", Act.RESTORE),
        ("bob", Act.DISCARD),
    ]
    for _ in range(2):
        run(purge)
    (item,) = purge.items_of("ada")
    assert (item.stage, item.asked_by) == (Stage.RESTORED, None)
    assert item.reason == "ada was granted an allocation since the plan was made"
    assert snapshot(home) == before
    assert state(ledger, clock, "ada") is State.GRACE
    told = notices.notices("ada")
    assert [notice.kind for notice in told].count("purge-undone") == 1
    assert f"is back in {home}: ada was granted an allocation since the plan was made." in told[0].text
    assert purge.items_of("bob")[0].stage is Stage.PURGED


def test_who_asked_is_named_with_what_came_back(purge: Purge, clock: Clock, tmp_path: Path) -> None:
    number = plan_and_approve(purge)
    run(purge)
    clock.turn(3 * DAY)
    run(purge)
    (item,) = purge.items_of("ada")
    purge.ask_back(item.id, by=Actor("ada"))
    run(purge)
    (item,) = purge.items_of("ada")
    assert item.reason == "ada asked for it"
    ended = [event.text for event in purge.events(number, item.id) if event.kind == "restore: ended"]
    assert ended == [f"It is back in {tmp_path / 'homes' / 'ada'}: ada asked for it."]
