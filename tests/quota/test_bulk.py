from __future__ import annotations

from datetime import timedelta

import pytest
from hubquota.services.bulk import Bulk, BulkAct
from hubquota.services.ledger import Ledger

from tests.quota.support import Clock


@pytest.fixture
def bulk(ledger: Ledger) -> Bulk:
    for name in ("ada", "bob"):
        ledger.open_account(name, "explorer", 100, actor="test", term_days=9)
    ledger.open_account("endless", "explorer", 100, actor="test")
    ledger.open_account("empty", "explorer", 0, actor="test")
    return Bulk.sharing(ledger)


def test_a_plan_is_done_as_it_was_shown_and_once(bulk: Bulk, ledger: Ledger, clock: Clock) -> None:
    act = BulkAct(units=7, days=3)
    plan = bulk.preview(["bob", "ada", "ada", "endless", "empty", "nobody"], act)
    assert [(row.account, row.refusal is None) for row in plan] == [
        ("bob", True), ("ada", True), ("endless", False), ("empty", False), ("nobody", False),
    ]  # fmt: skip
    seen = [(row.allocation.id, row.allocation.end) for row in plan if row.allocation]
    clock.turn(3600)

    for _ in range(2):
        results = bulk.apply(seen, act, actor="edwin", reason="The outage.", key="outage")
        assert [(one.account, one.refusal) for one in results] == [("bob", None), ("ada", None)]

    for row in plan[:2]:
        assert row.allocation is not None
        after = ledger.allocation(row.allocation.id)
        assert (after.balance, after.end) == (107, row.end)
        assert row.end == row.allocation.end + timedelta(days=3)  # type: ignore[operator]
    assert ledger.verify() == []


def test_what_has_changed_since_it_was_shown_is_left_alone(bulk: Bulk, ledger: Ledger, clock: Clock) -> None:
    act = BulkAct(days=3)
    seen = [(row.allocation.id, row.allocation.end) for row in bulk.preview(["ada", "bob"], act) if row.allocation]
    ledger.extend_term(seen[0][0], clock.now + timedelta(days=30), actor="nina", reason="x", key="y")

    results = bulk.apply(seen, act, actor="edwin", reason="The outage.", key="outage")

    assert "has been moved since" in (results[0].refusal or "")
    assert results[1].refusal is None
    assert ledger.allocation(seen[0][0]).end == clock.now + timedelta(days=30)


@pytest.mark.parametrize(("units", "days"), [(0, 0), (-1, 5), (5, -1)])
def test_an_act_that_changes_nothing_is_none(units: int, days: int) -> None:
    with pytest.raises(ValueError, match="above zero"):
        BulkAct(units=units, days=days)
