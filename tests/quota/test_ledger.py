from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hubquota.models.ledger import (
    ConflictingKeyError,
    ImpossibleError,
    Lease,
    LeaseStartedError,
    Refused,
    UnknownAccountError,
    UnknownLeaseError,
)
from hubquota.models.money import LARGEST, rate_of, to_units
from hubquota.services.ledger import Ledger
from hubquota.storage import leases as stored_leases
from hubquota.storage.engine import decision
from sqlalchemy import Engine, text

from tests.quota.support import Clock

MEDIUM = rate_of("0.15")
ASK = "Ask us."


def admit(ledger: Ledger, name: str = "", *, account: str = "ada", rate: int = MEDIUM, **more: object) -> Lease:
    key = f"server:{account}/{name}"
    return ledger.admit(account, kind="server", key=key, label="Medium server", rate=rate, **more)  # type: ignore[arg-type]


@pytest.fixture
def ada(ledger: Ledger) -> str:
    ledger.open_account("ada", "explorer", to_units(1), actor="test")
    return "ada"


# Accounts ----------------------------------------------------------------------------------------------


def test_an_account_is_opened_once_with_its_budget(ledger: Ledger, clock: Clock) -> None:
    opened = ledger.open_account("ada", "explorer", to_units(50), actor="first start")
    again = ledger.open_account("ada", "team", to_units(5000), actor="somebody else")
    assert opened == again == ledger.account("ada")
    assert (opened.tiers, opened.balance, opened.created_at) == (("explorer",), to_units(50), clock.now)
    (entry,) = ledger.statement("ada").entries
    assert (entry.kind, entry.amount, entry.balance_after, entry.actor) == (
        "grant",
        to_units(50),
        to_units(50),
        "first start",
    )


def test_an_account_may_be_opened_with_nothing(ledger: Ledger) -> None:
    assert ledger.open_account("ada", "broke", 0, actor="test").balance == 0
    assert ledger.statement("ada").entries == ()
    with pytest.raises(ValueError, match="below zero"):
        ledger.open_account("eve", "broke", -1, actor="test")


def test_what_is_not_there_is_an_error(ledger: Ledger) -> None:
    assert ledger.account("nobody") is None
    assert ledger.lease(7) is None
    assert ledger.open_lease("server:nobody/") is None
    with pytest.raises(UnknownAccountError, match="There is no account 'nobody'"):
        ledger.balance("nobody")
    with pytest.raises(UnknownAccountError):
        admit(ledger, account="nobody")
    with pytest.raises(UnknownLeaseError, match="There is no lease 7"):
        ledger.close(7, reason="x")


def test_accounts_are_listed_by_name_page_by_page_with_what_runs(ledger: Ledger, clock: Clock) -> None:
    for name in ("ada", "bob", "a_a", "Eve"):
        ledger.open_account(name, "explorer", to_units(1), actor="test")
    ledger.begin(admit(ledger, account="bob").id)
    clock.turn(3600)
    everybody = ledger.accounts()
    pages = [*ledger.accounts(limit=2), *ledger.accounts(after=ledger.accounts(limit=2)[-1].account.name)]
    assert pages == everybody
    assert sorted(row.account.name for row in everybody) == ["Eve", "a_a", "ada", "bob"]
    bob = next(row for row in everybody if row.account.name == "bob")
    assert (bob.open_leases, bob.balance) == (1, ledger.balance("bob"))
    assert bob.balance.accrued == to_units("0.15")
    assert [row.account.name for row in ledger.accounts(search="_")] == ["a_a"]
    assert [row.account.name for row in ledger.accounts(search="EV")] == ["Eve"]


# From admission to charge ------------------------------------------------------------------------------


def test_a_lease_from_admission_to_charge(ledger: Ledger, clock: Clock, ada: str) -> None:
    lease = admit(ledger)
    assert (lease.account, lease.admitted_at, lease.started_at, lease.is_open) == ("ada", clock.now, None, True)
    assert ledger.balance(ada).set_aside == MEDIUM * 600
    clock.turn(30)
    begun = ledger.begin(lease.id)
    assert begun.started_at == clock.now
    clock.turn(100)
    balance = ledger.balance(ada)
    assert (balance.posted, balance.accrued, balance.set_aside) == (to_units(1), MEDIUM * 100, MEDIUM * 500)
    clock.turn(900)
    balance = ledger.balance(ada)
    assert (balance.accrued, balance.set_aside) == (MEDIUM * 1000, 0)
    assert ledger.open_leases() == ledger.open_leases("server", ada) == [begun]
    assert ledger.open_leases("dask-worker") == []

    closed = ledger.close(lease.id, reason="Stopped.", actor="ada")
    assert (closed.charged, closed.ended_at, closed.reason) == (MEDIUM * 1000, clock.now, "Stopped.")
    assert ledger.open_leases() == []
    statement = ledger.statement(ada)
    assert statement.ended == (closed,)
    charge = statement.entries[0]
    assert (charge.kind, charge.amount, charge.lease_id, charge.actor) == (
        "charge",
        -MEDIUM * 1000,
        lease.id,
        "ada",
    )
    assert charge.reason == "Medium server, 1000 s at 0.15 credits an hour"
    assert ledger.balance(ada).available == charge.balance_after == to_units(1) - MEDIUM * 1000


def test_a_close_that_is_told_twice_charges_once(ledger: Ledger, clock: Clock, ada: str) -> None:
    lease = admit(ledger)
    ledger.begin(lease.id)
    clock.turn(10)
    closed = ledger.close(lease.id, reason="First.")
    clock.turn(10)
    assert ledger.close(lease.id, reason="Second.") == closed
    assert ledger.cancel(lease.id, "Third.") == closed
    assert ledger.begin(lease.id) == closed
    assert len(ledger.statement(ada).entries) == 2


def test_fractions_of_a_second_are_cut_off_at_both_ends(ledger: Ledger, clock: Clock, ada: str) -> None:
    lease = admit(ledger)
    clock.now += timedelta(milliseconds=900)
    ledger.begin(lease.id)
    clock.now += timedelta(milliseconds=200)
    assert ledger.close(lease.id, reason="x").charged == MEDIUM


def test_a_begin_is_noted_once(ledger: Ledger, clock: Clock, ada: str) -> None:
    lease = admit(ledger)
    begun = ledger.begin(lease.id)
    clock.turn(10)
    assert ledger.begin(lease.id) == begun


def test_times_are_kept_within_what_can_have_been(ledger: Ledger, clock: Clock, ada: str) -> None:
    start = clock.now
    early, late = start - timedelta(days=1), start + timedelta(days=1)
    lease = admit(ledger)
    assert ledger.begin(lease.id, at=early).started_at == start
    assert ledger.seen([lease.key], at=late) == 1
    assert ledger.lease(lease.id).seen_at == start  # type: ignore[union-attr]
    clock.turn(10)
    other = admit(ledger, "other")
    assert ledger.begin(other.id, at=late).started_at == clock.now
    assert ledger.close(lease.id, reason="x", at=late).ended_at == clock.now
    clock.turn(-60)  # somebody set the machine's clock back
    back = ledger.close(other.id, reason="x")
    assert (back.charged, back.ended_at) == (0, back.started_at)
    assert ledger.verify() == []
    with pytest.raises(ValueError, match="without a time zone"):
        ledger.begin(admit(ledger, "third").id, at=datetime(2026, 11, 22))


def test_what_never_began_costs_nothing(ledger: Ledger, clock: Clock, ada: str) -> None:
    cancelled, closed = admit(ledger, "a"), admit(ledger, "b")
    clock.turn(100)
    cancelled = ledger.cancel(cancelled.id, "The start failed.")
    closed = ledger.close(closed.id, reason="The start failed.")
    for lease in (cancelled, closed):
        assert (lease.charged, lease.started_at, lease.reason) == (0, None, "The start failed.")
    assert ledger.balance(ada).available == to_units(1)


def test_what_has_begun_cannot_be_cancelled(ledger: Ledger, ada: str) -> None:
    lease = admit(ledger)
    ledger.begin(lease.id)
    with pytest.raises(LeaseStartedError):
        ledger.cancel(lease.id, "x")
    assert ledger.open_leases() != []


def test_a_sight_is_noted_for_what_runs_and_never_taken_back(ledger: Ledger, clock: Clock, ada: str) -> None:
    running, waiting = admit(ledger, "a"), admit(ledger, "b")
    ledger.begin(running.id)
    clock.turn(60)
    assert ledger.seen([running.key, waiting.key, "server:nobody/", running.key]) == 1
    assert ledger.seen([running.key], at=clock.now - timedelta(seconds=30)) == 0
    assert ledger.seen([]) == 0
    seen = ledger.lease(running.id)
    assert seen is not None
    assert seen.seen_at == seen.last_alive == clock.now
    assert ledger.lease(waiting.id) == waiting
    ledger.close(running.id, reason="x")
    assert ledger.seen([running.key]) == 0


def test_more_sights_than_one_statement_takes(
    ledger: Ledger, clock: Clock, ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_leases, "_GROUP", 3)
    leases = [admit(ledger, str(number), rate=0) for number in range(8)]
    for lease in leases:
        ledger.begin(lease.id)
    clock.turn(5)
    assert ledger.seen(lease.key for lease in leases) == 8


def test_an_announced_reason_stands(ledger: Ledger, ada: str) -> None:
    lease, other = admit(ledger, "a"), admit(ledger, "b")
    assert ledger.announce_stop(lease.id, "It was idle.")
    assert ledger.close(lease.id, reason="The server was stopped.").reason == "It was idle."
    assert not ledger.announce_stop(lease.id, "Too late.")
    ledger.announce_stop(other.id, "It was idle.")
    ledger.announce_stop(other.id, None)
    assert ledger.close(other.id, reason="The server was stopped.").reason == "The server was stopped."


# Refusals ----------------------------------------------------------------------------------------------


def test_an_admission_needs_the_first_ten_minutes_and_not_a_unit_less(ledger: Ledger) -> None:
    ledger.open_account("just", "explorer", MEDIUM * 600, actor="test")
    ledger.open_account("short", "explorer", MEDIUM * 600 - 1, actor="test")
    admit(ledger, account="just")
    with pytest.raises(Refused) as refused:
        admit(ledger, account="short", ask=ASK)
    assert refused.value.limit == "budget"
    assert str(refused.value) == (
        "Not enough credits: Medium server costs 0.15 credits an hour and needs 0.03 for its first 10 minutes, "
        "but short has 0.02 available (0.02 on the account, 0.00 of it taken by what runs now). Ask us."
    )
    assert ledger.open_leases(account="short") == []


def test_what_others_accrued_or_set_aside_is_not_available(ledger: Ledger, clock: Clock) -> None:
    ledger.open_account("ada", "explorer", MEDIUM * 1500, actor="test")
    first = admit(ledger, "1")
    admit(ledger, "2")
    with pytest.raises(Refused, match=r"0\.06 on the account, 0\.05 of it taken"):
        admit(ledger, "3")
    ledger.begin(first.id)
    clock.turn(300)  # uses what it set aside; nothing more is taken
    admit(ledger, "3", minimum_seconds=300)
    clock.turn(301)
    with pytest.raises(Refused):
        admit(ledger, "4", minimum_seconds=1)
    ledger.close(first.id, reason="x", at=clock.now - timedelta(seconds=600))
    admit(ledger, "4", minimum_seconds=1)


def test_a_balance_may_go_below_zero_and_then_only_what_is_free_starts(
    ledger: Ledger, clock: Clock, ada: str
) -> None:
    lease = admit(ledger)
    ledger.begin(lease.id)
    clock.turn(3600 * 100)
    assert ledger.balance(ada).available == to_units(1) - to_units(15)
    with pytest.raises(Refused, match=r"-14\.00 available"):
        admit(ledger, "2", rate=1)
    assert admit(ledger, "free", rate=0).held == 0
    assert ledger.close(lease.id, reason="x").charged == to_units(15)
    assert ledger.balance(ada).posted == -to_units(14)


def test_no_more_than_the_limit_of_one_kind(ledger: Ledger, ada: str) -> None:
    first = admit(ledger, "1", limit=2)
    admit(ledger, "2", limit=2)
    with pytest.raises(Refused) as refused:
        admit(ledger, "3", limit=2, ask=ASK)
    assert refused.value.limit == "count"
    assert str(refused.value) == "ada has 2 open of the kind server; the limit is 2. Ask us."
    ledger.cancel(first.id, "x")
    admit(ledger, "3", limit=2)
    with pytest.raises(Refused):
        admit(ledger, "4", limit=0)


def test_one_open_lease_a_key(ledger: Ledger, ada: str) -> None:
    admit(ledger)
    with pytest.raises(Refused, match="Medium server runs already, as server:ada/"):
        admit(ledger)


def test_a_leftover_is_closed_when_it_was_last_seen_even_if_the_start_is_refused(
    ledger: Ledger, clock: Clock, ada: str
) -> None:
    lost = admit(ledger)
    ledger.begin(lost.id)
    clock.turn(60)
    ledger.seen([lost.key])
    clock.turn(3600)
    with pytest.raises(Refused):
        admit(ledger, rate=to_units(1), settle_leftover=True)
    settled = ledger.lease(lost.id)
    assert settled is not None
    assert (settled.charged, settled.is_open) == (MEDIUM * 60, False)
    assert ledger.balance(ada).available == to_units(1) - MEDIUM * 60
    assert admit(ledger, settle_leftover=True).id != lost.id


def test_a_leftover_makes_room_for_the_start_that_settles_it(ledger: Ledger) -> None:
    ledger.open_account("ada", "explorer", MEDIUM * 600, actor="test")
    admit(ledger)
    assert admit(ledger, settle_leftover=True).is_open


def test_what_a_leftover_cost_is_not_there_for_the_start_that_settles_it(ledger: Ledger, clock: Clock) -> None:
    ledger.open_account("ada", "explorer", MEDIUM * 1199, actor="test")
    lost = admit(ledger)
    ledger.begin(lost.id)
    clock.turn(600)
    ledger.seen([lost.key])
    with pytest.raises(Refused):
        admit(ledger, settle_leftover=True)
    assert admit(ledger, minimum_seconds=599, settle_leftover=True).is_open


def test_nonsense_is_an_error(ledger: Ledger, ada: str) -> None:
    with pytest.raises(ValueError, match="below zero"):
        admit(ledger, rate=-1)
    with pytest.raises(ValueError, match="below zero"):
        admit(ledger, minimum_seconds=-1)


# The journal -------------------------------------------------------------------------------------------


def test_a_grant_counts_once_whatever_happens_to_the_answer(ledger: Ledger, ada: str) -> None:
    first = ledger.grant(ada, to_units(5), actor="eve", reason="A proposal.", key="proposal-7")
    assert ledger.grant(ada, to_units(5), actor="eve", reason="A proposal.", key="proposal-7") == first
    assert ledger.balance(ada).posted == to_units(6)
    assert (first.balance, first.tier, first.end) == (to_units(5), "explorer", None)
    with pytest.raises(ConflictingKeyError, match=r"stands for 5\.00 credits to ada already"):
        ledger.grant(ada, to_units(6), actor="eve", reason="A proposal.", key="proposal-7")
    ledger.open_account("bob", "explorer", 0, actor="test")
    with pytest.raises(ConflictingKeyError):
        ledger.grant("bob", to_units(5), actor="eve", reason="A proposal.", key="proposal-7")
    with pytest.raises(ValueError, match="above zero"):
        ledger.grant(ada, 0, actor="eve", reason="x", key="y")


def test_no_account_has_more_than_a_balance_can_say(ledger: Ledger, ada: str) -> None:
    for number in range(256):
        ledger.grant(ada, LARGEST, actor="eve", reason="x", key=str(number))
    before = ledger.balance(ada)
    for act in (ledger.grant, ledger.correct):
        with pytest.raises(ImpossibleError, match="more credits than a balance can say"):
            act(ada, LARGEST, actor="eve", reason="x", key="more")
    assert ledger.balance(ada) == before and ledger.verify() == []


def test_a_correction_may_take_away(ledger: Ledger, ada: str) -> None:
    corrected = ledger.correct(ada, -to_units("0.4"), actor="eve", reason="Granted twice.", key="1")
    assert corrected.balance == to_units("0.6")
    assert ledger.statement(ada).entries[0].kind == "correction"
    with pytest.raises(ValueError, match="nothing"):
        ledger.correct(ada, 0, actor="eve", reason="x", key="2")


def test_a_statement_is_read_page_by_page(ledger: Ledger, clock: Clock, ada: str) -> None:
    for number in range(5):
        clock.turn(1)
        ledger.grant(ada, 1 + number, actor="eve", reason="x", key=str(number))
    first = ledger.statement(ada, limit=4)
    assert [entry.amount for entry in first.entries] == [5, 4, 3, 2]
    rest = ledger.statement(ada, limit=4, before=first.next_before)
    assert [entry.amount for entry in rest.entries] == [1, to_units(1)]
    assert rest.next_before is None
    assert ledger.statement(ada, limit=6).next_before is None


def test_times_come_back_in_utc(ledger: Ledger, ada: str) -> None:
    assert ledger.statement(ada).entries[0].at.tzinfo is UTC


def test_verify_names_what_does_not_add_up(ledger: Ledger, engine: Engine, clock: Clock, ada: str) -> None:
    lease = admit(ledger)
    ledger.begin(lease.id)
    clock.turn(10)
    ledger.close(lease.id, reason="x")
    unposted = admit(ledger, "2")
    ledger.begin(unposted.id)
    assert ledger.verify() == []
    with decision(engine) as connection:
        for statement in (
            "UPDATE account SET balance = balance + 1",
            "UPDATE allocation SET end_at = 7, lapsed_at = 8",
            "UPDATE lease SET charged = charged + 2 WHERE id = :lease",
            "UPDATE segment SET from_at = from_at - 1 WHERE lease_id = :lease",
            "INSERT INTO entry (account_id, allocation_id, at, kind, amount, balance_after, allocation_after, "
            "actor, reason, idempotency_key) VALUES (1, 1, 0, 'supplement', 3, 0, 0, 'x', 'x', 'x')",
            "INSERT INTO hold (lease_id, allocation_id, amount, covers_until, expires_at) "
            "VALUES (:lease, 1, 5, 0, 0)",
        ):
            connection.execute(text(statement), {"lease": lease.id} if ":lease" in statement else {})
    posted = to_units(1) - MEDIUM * 10
    found = {(mismatch.what, mismatch.expected - mismatch.found) for mismatch in ledger.verify()}
    started = int(clock.now.timestamp()) - 10
    assert found == {
        ("balance", 2),
        ("allocation 1: balance", 3),
        ("allocation 1: end", -7),
        ("allocation 1: lapsed", -8),
        ("entry 3: balance after", posted + 3),
        ("entry 3: allocation after", posted + 3),
        (f"lease {lease.id}: charge", MEDIUM - 2),
        (f"lease {lease.id}: posted charge", -2),
        (f"lease {lease.id}: start of a segment", 1),
        (f"lease {lease.id}: charge of a segment", MEDIUM),
        (f"lease {lease.id}: held", -5),
    }
    assert {m.expected for m in ledger.verify() if m.what.endswith("start of a segment")} == {started}
