"""What is done for many in one transaction: the same as for one after the other, all or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest
from hubquota.hub.desk import LedgerDesk
from hubquota.models.ledger import (
    ConflictingKeyError,
    ImpossibleError,
    Refused,
    UnknownAccountError,
    UnknownLeaseError,
)
from hubquota.models.money import to_units
from hubquota.services.granting import Grant
from hubquota.services.leases import Closing
from hubquota.services.ledger import Ledger
from hubquota.services.opening import FirstAllocation
from hubquota.storage.engine import make_engine

from tests.quota.support import Clock

#: Two of them draw on one account, one is free of charge, and one runs past what was held and what there is.
RATES = {"ada": 3, "bob": 4, "survey": 2, "eve": 0}


def live(ledger: Ledger, clock: Clock, *, together: bool) -> list[object]:
    """Let everybody run something twice, and return all that came of it."""
    first = FirstAllocation(tier="explorer", units=4_000, term_days=1)
    names = ["ada", "bob", "eve"]
    if together:
        ledger.open_accounts(dict.fromkeys(names, first), actor="test")
    else:
        for name in names:
            ledger.open_account(name, first.tier, first.units, actor="test", term_days=first.term_days)
    ledger.open_project("survey", "team", pi="ada", actor="test")
    grants = [
        Grant(name, 3_000 if name == "survey" else 900, f"For {name}.", f"more for {name}") for name in RATES
    ]
    if together:
        ledger.grant_many([*grants, grants[0]], actor="test")
    for one in [] if together else [*grants, grants[0]]:
        ledger.grant(one.name, one.units, actor="test", reason=one.reason, key=one.key)
    for _ in range(2):
        asked = [
            (name, "ada" if name == "survey" else name, rate) for name, rate in [*RATES.items(), ("survey", 1)]
        ]
        numbers = [
            ledger.admit(
                name, person=who, kind="server", key=f"{name}:{rate}", label="x", rate=rate, minimum_seconds=60
            ).id
            for name, who, rate in asked
        ]
        # The last one never begins.
        begun = dict.fromkeys(numbers[:-1], clock.now)
        clock.turn(5)
        if together:
            ledger.begin_many(begun)
        for number, at in ({} if together else begun).items():
            ledger.begin(number, at)
        clock.turn(1_000)
        ends = [Closing(number, "Stopped.", "stopped", clock.now - timedelta(seconds=7)) for number in numbers]
        if together:
            ledger.close_many([*ends, ends[0]])
        for one in [] if together else [*ends, ends[0]]:
            ledger.close(one.lease_id, reason=one.reason, kind=one.kind, at=one.at)
    assert ledger.verify() == []
    found: list[object] = []
    for name in RATES:
        statement = ledger.statement(name)
        found += [ledger.balance(name), ledger.account(name).tiers]
        found += [(one.tier, one.balance, one.held, one.end) for one in ledger.allocations(name)]
        found += [(one.key, one.charged, one.ended_at, one.reason, one.end_kind) for one in statement.ended]
        found += [(one.kind, one.amount, one.balance_after, one.reason) for one in statement.entries]
    return found


def test_many_together_leave_what_they_would_one_after_the_other(new_url: Callable[[], str]) -> None:
    found: list[list[object]] = []
    for together in (True, False):
        engine, clock = make_engine(new_url()), Clock()
        found.append(live(Ledger(engine, clock), clock, together=together))
        engine.dispose()
    # Who holds what first may differ in order, and nothing else does.
    assert sorted(map(repr, found[0])) == sorted(map(repr, found[1]))


def test_what_is_wrong_with_one_changes_nothing(ledger: Ledger, clock: Clock) -> None:
    ledger.open_account("ada", "explorer", 1_000, actor="test")
    ledger.open_project("survey", "team", pi="ada", actor="test")
    fine = Grant("ada", 5, "x", "one")
    wrong: list[tuple[list[Grant], type[Exception]]] = [
        ([fine, Grant("nobody", 5, "x", "two")], UnknownAccountError),
        ([fine, Grant("ada", 6, "x", "one")], ConflictingKeyError),
        ([fine, Grant("ada", 0, "x", "two")], ValueError),
        (
            [
                fine,
                Grant(
                    "ada", 5, "x", "two", end=clock.now - timedelta(days=1), start=clock.now - timedelta(days=2)
                ),
            ],
            ImpossibleError,
        ),
    ]
    for grants, error in wrong:
        with pytest.raises(error):
            ledger.grant_many(grants, actor="test")
    with pytest.raises(Refused, match="project"):
        ledger.open_accounts(
            dict.fromkeys(["bob", "survey"], FirstAllocation(tier="explorer", units=1)), actor="test"
        )
    with pytest.raises(UnknownAccountError):
        ledger.balance("bob")
    lease = ledger.admit("ada", kind="server", key="a", label="x", rate=1, minimum_seconds=60)
    with pytest.raises(UnknownLeaseError):
        ledger.begin_many({lease.id: None, lease.id + 99: None})
    with pytest.raises(UnknownLeaseError):
        ledger.close_many([Closing(lease.id, "x"), Closing(lease.id + 99, "x")])
    assert (ledger.lease(lease.id).started_at, ledger.lease(lease.id).ended_at) == (None, None)
    assert ledger.balance("ada").posted == 1_000
    assert ledger.grant_many([], actor="test") == ledger.begin_many({}) == ledger.close_many([]) == []


async def test_the_begins_of_a_crowd_share_a_transaction(ledger: Ledger, clock: Clock) -> None:
    numbers: dict[str, int] = {}
    for name in ("ada", "bob", "eve"):
        ledger.open_account(name, "explorer", to_units(1), actor="test")
        numbers[name] = ledger.admit(name, kind="server", key=f"server:{name}/", label="x", rate=1).id
    calls: list[int] = []
    begin_many = ledger.begin_many

    def counted(begun: dict[int, object]) -> object:
        calls.append(len(begun))
        return begin_many(begun)  # type: ignore[arg-type]

    ledger.begin_many = counted  # type: ignore[method-assign,assignment]
    desk = LedgerDesk(ledger, deadline=60, clock=clock)
    await asyncio.gather(*(desk.begin(f"server:{name}/", number, clock.now) for name, number in numbers.items()))
    assert calls == [3]
    assert all(ledger.lease(number).started_at == clock.now for number in numbers.values())
