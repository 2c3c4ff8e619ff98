"""The end of a term: reminders, renewals, the news of the end and grace, each once and by dates alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from hubquota.hub.offers import offers_for
from hubquota.models.ledger import ImpossibleError, Lease, TermsSwept
from hubquota.models.letters import ADMINS
from hubquota.models.money import to_units
from hubquota.models.requests import Actor
from hubquota.models.tiers import Tiers
from hubquota.services.ledger import Ledger
from hubquota.services.notices import Notices
from hubquota.services.requests import Requests
from hubquota.services.terms import Terms
from hubquota.services.tiersfile import TiersFileError, parse_tiers
from sqlalchemy import Engine

from tests.quota.support import HERE, Clock

ADA, ADMIN = Actor("ada"), Actor("root", admin=True)
BEGAN = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
END = BEGAN + timedelta(days=90)  # the explorer's term


@pytest.fixture
def terms(engine: Engine, tiers: Tiers, clock: Clock) -> Terms:
    return Terms(engine, lambda: tiers, clock)


@pytest.fixture
def notices(engine: Engine, clock: Clock) -> Notices:
    return Notices(engine, clock)


def use(ledger: Ledger, clock: Clock, at: datetime, account: str = "ada", person: str = "ada") -> None:
    """Run something for a minute that begins at a time."""
    clock.now = at
    key = f"server:{person}/"
    lease = ledger.begin(ledger.admit(account, person=person, kind="server", key=key, label="A server", rate=1).id)
    clock.turn(60)
    ledger.close(lease.id, reason="Stopped.")


def kinds(notices: Notices, person: str = "ada") -> list[str]:
    return [notice.kind for notice in reversed(notices.notices(person))]


def test_an_account_that_was_used_is_renewed_without_a_gap(
    ledger: Ledger, terms: Terms, notices: Notices, tiers: Tiers, clock: Clock
) -> None:
    first = ledger.open_account("ada", "explorer", 1_000_000, actor="test", term_days=90)
    (old,) = ledger.allocations(first.name)
    use(ledger, clock, END - timedelta(days=20))
    clock.now = END - timedelta(days=15)
    assert terms.sweep() == TermsSwept()
    clock.now = END - timedelta(days=14)
    assert terms.sweep() == TermsSwept(renewed=1)
    assert terms.sweep() == TermsSwept()
    new = ledger.allocations("ada")[1]
    assert (new.start, new.end, new.balance, new.renewable, new.tier) == (
        old.end,
        END + timedelta(days=90),
        tiers.tiers["explorer"].budget_units,
        True,
        "explorer",
    )
    assert (
        new.reason == f"Renewed by itself. It was used within the 60 days before the end of allocation {old.id}."
    )
    # What runs over the end is paid by the one and then by the other, to the second.
    clock.now = END - timedelta(seconds=100)
    lease = ledger.begin(ledger.admit("ada", kind="server", key="server:ada/", label="x", rate=1).id)
    clock.now = END + timedelta(seconds=100)
    ledger.close(lease.id, reason="Stopped.")
    assert ledger.allocation(new.id).balance == new.balance - 100
    ledger.sweep()
    assert terms.sweep().ended == 1
    # Nobody is told of an end that is none.
    assert kinds(notices) == ["allocation-renewed"]
    assert ledger.verify() == []


def test_an_account_that_was_not_used_lapses_with_notice_and_grace(
    ledger: Ledger, terms: Terms, notices: Notices, clock: Clock
) -> None:
    ledger.open_account("ada", "explorer", 1_000_000, actor="test", term_days=90)
    use(ledger, clock, BEGAN)
    clock.now = END - timedelta(days=14)
    assert terms.sweep() == TermsSwept(reminded=1)
    assert terms.sweep() == TermsSwept()
    clock.now = END
    ledger.sweep()
    assert terms.sweep() == TermsSwept(ended=1)
    clock.now = END + timedelta(days=30)
    assert terms.sweep() == TermsSwept(over=1)
    assert terms.sweep() == TermsSwept()
    assert kinds(notices) == ["allocation-expiring", "allocation-expired", "grace-begun", "grace-over"]
    near, ended, grace, _ = reversed(notices.notices("ada"))
    assert near.subject == "The Explorer allocation of ada ends on 2027-02-20"
    assert "It renews itself if it is used within the 60 days before that." in near.text
    assert "ended on 2027-02-20 12:00 UTC." in ended.text
    assert "kept until 2027-03-22 12:00 UTC" in grace.text
    assert not any(notice.optional for notice in notices.notices("ada"))


def test_who_comes_back_after_the_reminder_is_renewed_up_to_the_end(
    ledger: Ledger, terms: Terms, notices: Notices, clock: Clock
) -> None:
    ledger.open_account("ada", "explorer", 1_000_000, actor="test", term_days=90)
    clock.now = END - timedelta(days=14)
    assert terms.sweep().reminded == 1
    use(ledger, clock, END - timedelta(minutes=15))
    assert terms.sweep() == TermsSwept(renewed=1)
    assert kinds(notices) == ["allocation-expiring", "allocation-renewed"]


def test_what_runs_counts_as_use(ledger: Ledger, terms: Terms, clock: Clock) -> None:
    ledger.open_account("ada", "explorer", 10**9, actor="test", term_days=90)
    lease = ledger.begin(ledger.admit("ada", kind="server", key="server:ada/", label="x", rate=1).id)
    clock.now = END - timedelta(days=40)
    ledger.seen([lease.key])
    clock.now = END - timedelta(days=14)
    assert terms.sweep().renewed == 1


def test_a_sweep_that_comes_months_late_does_the_same(
    ledger: Ledger, terms: Terms, notices: Notices, clock: Clock
) -> None:
    ledger.open_account("ada", "explorer", 1_000_000, actor="test", term_days=90)
    use(ledger, clock, END - timedelta(days=3))
    clock.now = END + timedelta(days=200)
    ledger.sweep()
    terms.sweep()
    ledger.sweep()
    terms.sweep()
    first, second = ledger.allocations("ada", lapsed=True)
    assert (second.start, second.end) == (END, END + timedelta(days=90))
    assert first.lapsed_at is not None and second.lapsed_at is not None
    assert kinds(notices) == [
        "allocation-expiring",
        "allocation-renewed",
        "allocation-expiring",
        "allocation-expired",
        "grace-begun",
        "grace-over",
    ]
    assert ledger.verify() == []


def test_who_starts_something_does_not_wait_for_a_sweep(engine: Engine, tiers: Tiers, clock: Clock) -> None:
    ledger = Ledger(engine, clock, lambda: tiers)
    ledger.open_account("ada", "explorer", 1_000_000, actor="test", term_days=90)
    use(ledger, clock, END - timedelta(days=3))
    clock.now = END + timedelta(days=40)
    # The spawn page offers it, and the start is admitted, as often as anybody asks at once.
    budget = tiers.tiers["explorer"].budget_units
    (payer,) = offers_for(ledger, tiers, "ada", ()).payers
    assert payer.balance.available == budget

    def start(number: int) -> Lease:
        key = f"server:ada/{number}"
        return ledger.admit("ada", kind="server", key=key, label="x", rate=1)

    with ThreadPoolExecutor(8) as threads:
        assert len(list(threads.map(start, range(8)))) == 8
    (first, second) = ledger.allocations("ada", lapsed=True)
    assert (first.end, second.start, second.end) == (END, END, END + timedelta(days=90))
    assert ledger.verify() == []


def test_what_people_decide_after_an_end_finds_the_renewal(engine: Engine, tiers: Tiers, clock: Clock) -> None:
    ledger, requests = Ledger(engine, clock, lambda: tiers), Requests(engine, clock, lambda: tiers)
    old: dict[str, int] = {}
    for name in ("ada", "bob", "eve"):
        clock.now = BEGAN
        ledger.open_account(name, "explorer", 1_000_000, actor="test", term_days=90)
        use(ledger, clock, END - timedelta(days=20), name, name)
        (one,) = ledger.allocations(name)
        old[name] = one.id
    asked = requests.renew(old["ada"], justification="More.", results="None.", by=ADA)
    clock.now = END + timedelta(days=3)
    # Not one budget by whoever approves, and another by a sweep that comes later.
    with pytest.raises(ImpossibleError, match="is renewed already"):
        requests.approve(asked.id, by=ADMIN, reason="Yes.", end=END + timedelta(days=90))
    why = {"actor": "root", "reason": "x", "key": "1"}
    ledger.change_tier("bob", "researcher", 5000, term_days=30, **why)
    besides = ledger.grant("eve", 5000, term_days=30, renewable=True, **why)
    ledger.sweep()
    Terms(engine, lambda: tiers, clock).sweep()
    found = {name: [one.tier for one in ledger.allocations(name)] for name in old}
    assert found == {"ada": ["explorer"], "bob": ["researcher"], "eve": ["explorer", "explorer"]}
    # What was granted besides does not renew itself.
    use(ledger, clock, clock.now + timedelta(days=29), "eve", "eve")
    Terms(engine, lambda: tiers, clock).sweep()
    assert not any(one.start == besides.end for one in ledger.allocations("eve"))
    assert ledger.verify() == []


@pytest.mark.parametrize("sweeping", [False, True], ids=["no sweep", "sweep"])
def test_what_runs_over_an_end_is_paid_as_by_a_sweep_in_time(
    engine: Engine, tiers: Tiers, clock: Clock, sweeping: bool
) -> None:
    ledger = Ledger(engine, clock, lambda: tiers)
    ledger.open_account("ada", "explorer", 1_000_000, actor="test", term_days=90)
    clock.now = END - timedelta(seconds=1000)
    lease = ledger.begin(ledger.admit("ada", kind="server", key="server:ada/", label="x", rate=1).id)
    if sweeping:
        Terms(engine, lambda: tiers, clock).sweep()
    clock.now = END + timedelta(seconds=250)
    ledger.seen([lease.key])
    # The watch was away for months, and the hub is the first to come by.
    clock.now = END + timedelta(days=30)
    ledger.close(lease.id, reason="Stopped.", at=END + timedelta(seconds=300))
    lines = ledger.statement("ada").entries
    charges = {(one.allocation_id, one.amount) for one in lines if one.kind == "charge"}
    first, second = ledger.allocations("ada", lapsed=True)
    assert charges == {(first.id, -1000), (second.id, -300)}
    assert ledger.verify() == []


def test_what_is_suspended_revoked_or_not_renewable_does_not_renew_itself(
    ledger: Ledger, terms: Terms, notices: Notices, clock: Clock
) -> None:
    for name in ("ada", "bob", "eve"):
        ledger.open_account(name, "explorer", 1_000_000, actor="test", term_days=90, renewable=name != "eve")
    for name in ("ada", "bob", "eve"):
        use(ledger, clock, END - timedelta(days=20), name, name)
    ledger.suspend(ledger.allocations("ada")[0].id, actor="root", reason="Asked to.", key="s")
    ledger.revoke(ledger.allocations("bob")[0].id, actor="root", reason="Left.", key="r")
    clock.now = END
    ledger.sweep()
    assert terms.sweep() == TermsSwept(reminded=2, ended=3)
    assert kinds(notices, "bob") == ["allocation-revoked", "grace-begun"]
    assert kinds(notices, "ada") == [
        "allocation-suspended",
        "allocation-expiring",
        "allocation-expired",
        "grace-begun",
    ]
    assert "Ask for another one" in notices.notices("eve")[-1].text


def test_what_is_revoked_is_not_paid_again_by_what_was_to_follow(
    engine: Engine, ledger: Ledger, terms: Terms, notices: Notices, clock: Clock
) -> None:
    ledger.open_account("ada", "explorer", 1_000_000, actor="test", term_days=90)
    (old,) = ledger.allocations("ada")
    use(ledger, clock, END - timedelta(days=20))
    clock.now = END - timedelta(days=5)
    assert terms.sweep().renewed == 1
    ledger.revoke(old.id, actor="root", reason="Miners.", key="1")
    new = ledger.allocations("ada", lapsed=True)[-1]
    assert (new.revoked_at, new.end) == (clock.now, clock.now)
    told = [one.text for one in notices.notices("ada") if one.kind == "allocation-revoked"]
    assert len(told) == 2 and any(f"with allocation {old.id}, on which it was to follow" in one for one in told)
    clock.now = END + timedelta(days=1)
    ledger.sweep()
    terms.sweep()
    assert ledger.balance("ada").available == 0
    assert all(one.revoked_at for one in ledger.allocations("ada", lapsed=True))
    assert ledger.verify() == []


def test_the_owner_of_a_suspended_allocation_is_told_what_is_so(
    ledger: Ledger, terms: Terms, notices: Notices, clock: Clock
) -> None:
    ledger.open_account("ada", "explorer", 1_000_000, actor="test", term_days=90)
    (one,) = ledger.allocations("ada")
    ledger.suspend(one.id, actor="root", reason="A question.", key="1")
    clock.now = END - timedelta(days=1)
    assert terms.sweep().reminded == 1
    assert "is not renewed while it is" in notices.notices("ada")[0].text


def test_what_was_granted_besides_is_for_once(
    engine: Engine, ledger: Ledger, terms: Terms, notices: Notices, clock: Clock
) -> None:
    requests = Requests(engine, clock)
    ledger.open_account("ada", "explorer", 1_000_000, actor="test", term_days=90)
    clock.now = BEGAN + timedelta(days=50)
    more: list[int] = []
    for number in (1, 2):
        asked = requests.ask("ada", "explorer", 500_000, justification="A larger cutout.", by=ADA)
        done = requests.approve(asked.id, by=ADMIN, reason="Yes.", end=clock.now + timedelta(days=90))
        assert done.allocation is not None
        more.append(done.allocation)
        clock.turn(number)
    use(ledger, clock, END - timedelta(days=1))
    assert terms.sweep().renewed == 1
    first, *besides, second = ledger.allocations("ada")
    assert [one.id for one in besides] == more and second.start == first.end
    # At the ends of what came besides, the account has the tier's budget already.
    clock.now = END + timedelta(days=49)
    use(ledger, clock, clock.now)
    assert terms.sweep() == TermsSwept(reminded=2)
    near = [one.text for one in notices.notices("ada") if one.kind == "allocation-expiring"]
    assert ["Ask for its renewal before then" in one for one in near] == [True, True, False]
    # What was renewed on request stays for once, and what renewed itself goes on doing so.
    asked = requests.renew(more[0], justification="Still.", results="None.", by=ADA)
    end = END + timedelta(days=91)
    followed = requests.approve(asked.id, by=ADMIN, reason="Yes.", end=end).allocation
    use(ledger, clock, END + timedelta(days=88))
    ledger.sweep()
    assert terms.sweep().renewed == 1
    assert {one.id for one in ledger.allocations("ada")} >= {second.id, followed}
    assert [one.start for one in ledger.allocations("ada") if one.reason.startswith("Renewed")][1] == second.end
    assert ledger.verify() == []


def test_what_is_granted_after_a_revocation_renews_itself(ledger: Ledger, terms: Terms, clock: Clock) -> None:
    ledger.open_account("ada", "explorer", 1_000_000, actor="test", term_days=90)
    (first,) = ledger.allocations("ada")
    ledger.revoke(first.id, actor="root", reason="x", key="1")
    one = ledger.grant("ada", 5000, actor="root", reason="x", key="2", end=END, renewable=True)
    use(ledger, clock, END - timedelta(days=1))
    assert terms.sweep().renewed == 1
    assert [got.start for got in ledger.allocations("ada") if got.id > one.id] == [one.end]


def test_a_higher_tier_is_asked_to_renew_and_a_project_s_pis_are_told(
    ledger: Ledger, terms: Terms, notices: Notices, clock: Clock
) -> None:
    ledger.open_project("survey", "team", pi="eve", actor="root")
    ledger.set_member("survey", "ida", "pi", actor="root")
    ledger.set_member("survey", "ada", "member", actor="root")
    ledger.grant("survey", 5000, actor="root", reason="P 42.", key="g", end=END, renewable=True)
    use(ledger, clock, END - timedelta(days=20), "survey", "ada")
    clock.now = END - timedelta(days=14)
    assert terms.sweep() == TermsSwept(reminded=1)
    for person in ("eve", "ida"):
        assert kinds(notices, person) == ["member-added", "allocation-granted", "allocation-expiring"]
        assert "Ask for its renewal before then, with what came of it" in notices.notices(person)[0].text
    assert kinds(notices, "ada") == ["member-added"]


def test_an_extension_makes_another_end_and_another_notice(
    ledger: Ledger, terms: Terms, notices: Notices, clock: Clock
) -> None:
    ledger.open_account("ada", "explorer", 1000, actor="test", term_days=90)
    clock.now = END - timedelta(days=14)
    assert terms.sweep().reminded == 1
    later = END + timedelta(days=30)
    ledger.extend_term(ledger.allocations("ada")[0].id, later, actor="root", reason="A month.", key="e")
    assert terms.sweep() == TermsSwept()
    clock.now = later - timedelta(days=14)
    assert terms.sweep().reminded == 1
    assert kinds(notices) == ["allocation-expiring", "allocation-extended", "allocation-expiring"]


def test_another_allocation_ends_the_grace(ledger: Ledger, terms: Terms, notices: Notices, clock: Clock) -> None:
    ledger.open_account("ada", "explorer", 1000, actor="test", term_days=90)
    clock.now = END
    ledger.sweep()
    assert terms.sweep().ended == 1
    ledger.grant("ada", 1000, actor="root", reason="Again.", key="g", end=END + timedelta(days=300))
    clock.now = END + timedelta(days=30)
    assert terms.sweep() == TermsSwept()
    assert kinds(notices)[-1] == "allocation-granted"


@pytest.mark.parametrize("undone", ["the follower is revoked", "the first is extended past it"])
def test_who_is_renewed_in_vain_is_told_of_the_end_all_the_same(
    undone: str, engine: Engine, ledger: Ledger, terms: Terms, notices: Notices, clock: Clock
) -> None:
    ledger.open_account("ada", "explorer", 1_000_000, actor="test", term_days=90)
    (old,) = ledger.allocations("ada")
    use(ledger, clock, END - timedelta(days=20))
    clock.now = END - timedelta(days=14)
    assert terms.sweep().renewed == 1
    new = ledger.allocations("ada")[1]
    if undone == "the follower is revoked":
        ledger.revoke(new.id, actor="root", reason="Too much.", key="r")
    else:
        ledger.extend_term(old.id, END + timedelta(days=100), actor="root", reason="More.", key="e")
    told = len(kinds(notices))
    for day in range(0, 150):
        clock.now = END - timedelta(days=14) + timedelta(days=day)
        ledger.sweep()
        terms.sweep()
    assert {"allocation-expiring", "allocation-expired", "grace-begun"} <= set(kinds(notices)[told:])
    # Nobody's decision is undone by itself; but whoever asks may have another.
    assert len(ledger.allocations("ada", lapsed=True)) == 2
    asked = Requests(engine, clock).renew(old.id, justification="More.", results="", by=ADA)
    again = Requests(engine, clock).approve(asked.id, by=ADMIN, reason="Yes.", end=clock.now + timedelta(days=90))
    assert again.allocation is not None
    assert ledger.verify() == []


def test_many_sweeps_and_an_approval_at_once_make_one_renewal(
    engine: Engine, ledger: Ledger, terms: Terms, notices: Notices, clock: Clock
) -> None:
    requests = Requests(engine, clock)
    ledger.open_account("ada", "explorer", 1_000_000, actor="test", term_days=90)
    (old,) = ledger.allocations("ada")
    use(ledger, clock, END - timedelta(days=20))
    asked = requests.renew(old.id, justification="More.", results="None.", by=ADA)
    clock.now = END - timedelta(days=14)
    together = threading.Barrier(5)

    def approve() -> int:
        try:
            requests.approve(asked.id, by=ADMIN, reason="Yes.", end=END + timedelta(days=365))
        except ImpossibleError:
            return 0
        return 1

    def at_once(act: Callable[[], int]) -> int:
        together.wait()
        return act()

    acts = [approve, *[lambda: terms.sweep().renewed] * 4]
    with ThreadPoolExecutor(5) as threads:
        assert sum(threads.map(at_once, acts)) == 1
    assert len(ledger.allocations("ada")) == 2
    assert ledger.verify() == []


def test_those_who_ask_and_decide_are_told(engine: Engine, ledger: Ledger, notices: Notices, clock: Clock) -> None:
    requests = Requests(engine, clock)
    ledger.open_project("survey", "team", pi="eve", actor="root")
    asked = requests.ask("survey", "team", to_units(1), justification="Lenses.", by=Actor("eve"))
    (told,) = notices.notices(ADMINS)
    assert told.subject == "eve asks for an allocation of the tier team"
    assert "Lenses." in told.text
    requests.approve(asked.id, by=ADMIN, reason="Half of it.", end=END, units=to_units("0.5"))
    text = notices.notices("eve")[0].text
    assert "was approved: 0.50 credits of the 1.00 that were asked for, by root." in text
    assert text.endswith("Half of it.")
    again = requests.ask("survey", "team", 9000, justification="More.", by=Actor("eve"))
    requests.deny(again.id, by=ADMIN, reason="Not now.")
    assert notices.notices("eve")[0].subject == "The request for the tier team for survey is denied"


def test_what_is_done_to_an_allocation_is_told_once(ledger: Ledger, notices: Notices, clock: Clock) -> None:
    ledger.open_account("ada", "explorer", 0, actor="test")
    for _ in range(2):
        made = ledger.grant("ada", 1000, actor="root", reason="A proposal.", key="g", end=END)
        ledger.supplement(made.id, 5, actor="root", reason="More.", key="s")
        ledger.extend_term(made.id, END + timedelta(days=1), actor="root", reason="A day.", key="e")
        ledger.suspend(made.id, actor="root", reason="Wait.", key="p")
        ledger.resume(made.id, actor="root", reason="Go.", key="q")
    ledger.revoke(made.id, actor="root", reason="Left.", key="r")
    assert kinds(notices) == [
        f"allocation-{what}" for what in ("granted", "supplemented", "extended", "suspended", "resumed", "revoked")
    ]
    optional = [notice.optional for notice in reversed(notices.notices("ada"))]
    assert optional == [True, True, True, False, True, False]
    assert "its end is now 2027-02-21 12:00 UTC, by root." in notices.notices("ada")[3].text


def test_whose_credits_are_moved_or_corrected_is_told_once(ledger: Ledger, notices: Notices, clock: Clock) -> None:
    for name in ("ada", "bob"):
        ledger.open_account(name, "explorer", to_units(10), actor="test", term_days=90)
    (given,), (taken,) = ledger.allocations("ada"), ledger.allocations("bob")
    for _ in range(2):
        ledger.transfer(given.id, taken.id, to_units(4), actor="root", reason="Shared.", key="t")
        ledger.correct("bob", -to_units(20), actor="root", reason="Twice.", key="c")
    told = [notice.text for name in ("ada", "bob") for notice in reversed(notices.notices(name))]
    assert len(told) == 3
    for text, part in zip(
        told,
        ("gave 4.00 credits to allocation", "got 4.00 credits from allocation", "20.00 credits were taken"),
        strict=True,
    ):
        assert part in text
        assert "root" in text


def test_a_tier_that_is_not_renewable_cannot_renew_itself() -> None:
    text = (HERE / "hub_tiers.yaml").read_text()
    text = text.replace(
        "    term_days:", "    renewable: false\n    renews_itself: {active_within_days: 3}\n    term_days:", 1
    )
    with pytest.raises(TiersFileError, match="cannot renew itself"):
        parse_tiers(text, name="tiers.yaml")
